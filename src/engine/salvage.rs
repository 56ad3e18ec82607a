//! Copies what is left of a store to a new place and repairs the copy: the way out when a store can
//! not be repaired where it is, since its device fails or it may only be read.
//!
//! The copy is the same store: events keep their ids, versions, positions and times, and what is lost
//! is listed as after a repair, so that whoever remembers a position or a version goes on with it.
//!
//! Invariants:
//!
//! 1. Nothing is written where the store is.
//! 2. A copy that ended anywhere is marked as unfinished and is never taken for a store.

use super::directory::{self, LOG, SALVAGE};
use super::holes::Holes;
use super::ownership::Hold;
use super::repair::{self, Plan, RepairReport, unrepaired};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::format::{Hole, is_zero};
use crate::io::{Disk, DiskFile, MakeDirectory, OpenMode};
use crate::segment::{self, read_around_errors};

/// Bytes that are copied at once.
const PIECE_BYTES: usize = 1 << 20;

/// Tells what a salvage would do, and changes nothing.
pub(crate) fn plan_salvage<D: Disk>(from: &D, clock: &Clock) -> Result<RepairReport> {
    repair::plan(from, clock).map(|plan| plan.for_a_copy(from.path()).report)
}

/// Copies what verifies of a store to an empty directory.
pub(crate) fn salvage<D: Disk>(from: &D, to: &D, clock: &Clock) -> Result<RepairReport> {
    let (from, to) = (&from.clone().unmapped(), &to.clone().unmapped());
    let plan = repair::plan(from, clock)?.for_a_copy(from.path());
    check_empty(to)?;
    let hold = Hold::take(to)?;
    let to = &hold.guard(to.clone());
    mark(to)?;
    let failed = |source| Error::io("make", to.path().join(LOG), source);
    let log = to.directory(LOG, MakeDirectory::IfAbsent).map_err(failed)?;
    copy_segments(&directory::log_directory(from)?, &log, &plan.holes)?;
    plan.carry_out(to, &log)?;
    hold.lock_store()?;
    check(to, clock)?;
    directory::remove_if_there(to, SALVAGE)?;
    to.sync_dir().map_err(|source| Error::io("sync", to.path(), source))?;
    Ok(plan.report)
}

/// Refuses a directory that holds anything.
pub(crate) fn check_empty<D: Disk>(to: &D) -> Result<()> {
    let names = to.list().map_err(|source| Error::io("list", to.path(), source))?;
    directory::check_finished(to, &names)?;
    let path = to.path().to_owned();
    match names.into_iter().next() {
        None => Ok(()),
        Some(_) if to.open(directory::STORE, OpenMode::Read).is_ok() => {
            Err(Error::StoreExists { path })
        }
        Some(found) => Err(Error::NotAStore { path, found }),
    }
}

fn mark<D: Disk>(to: &D) -> Result<()> {
    let failed = |source| Error::io("mark", to.path(), source);
    let file = to.open(SALVAGE, OpenMode::CreateNew).map_err(failed)?;
    file.sync_data().map_err(failed)?;
    to.sync_dir().map_err(failed)
}

/// Checks that the copy is a store that needs no repair.
fn check<D: Disk>(to: &D, clock: &Clock) -> Result<()> {
    let Plan { report, .. } = repair::plan_unmarked(to, clock)?;
    match report.given_up.into_iter().next() {
        None => Ok(()),
        Some(left) => Err(unrepaired(left)),
    }
}

/// Copies every segment that is not given up whole.
fn copy_segments<D: Disk>(from: &D, to: &D, holes: &Holes) -> Result<()> {
    for number in segment::numbers(from)? {
        let is_in = |hole: &Hole| (hole.first_segment..=hole.last_segment).contains(&number);
        if !holes.of_segments().any(is_in) {
            copy(from, to, &segment::name(number))?;
        }
    }
    to.sync_dir().map_err(|source| Error::io("sync", to.path(), source))
}

/// Copies a file; what the device can not give back becomes bytes that are no frame, and zeros take
/// no room.
fn copy<D: Disk>(from: &D, to: &D, name: &str) -> Result<()> {
    let unread = |source| Error::io("open", from.path().join(name), source);
    let failed = |source| Error::io("copy to", to.path().join(name), source);
    let source = from.open(name, OpenMode::Read).map_err(unread)?;
    let target = to.open(name, OpenMode::CreateNew).map_err(failed)?;
    let length = source.len().map_err(unread)?;
    target.set_len(length).map_err(failed)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut offset = 0;
    while offset < length {
        let room = usize::try_from(length - offset).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let invariant = "a piece of a file that is copied has room for it";
        let piece = piece.get_mut(..room).ok_or(Error::Internal { invariant })?;
        if !matches!(source.read_up_to(piece, offset), Ok(read) if read == room) {
            read_around_errors(&source, piece, offset);
        }
        if !is_zero(piece) {
            target.write_all_at(piece, offset).map_err(failed)?;
        }
        offset += room as u64;
    }
    target.sync_data().map_err(failed)
}
