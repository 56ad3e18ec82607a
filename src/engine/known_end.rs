//! How far a log is known to have been durable, whatever it holds now: what the file `END` and the newest
//! run of the index say, kept where a loss of the log's end does not reach it.
//!
//! A log that ends before a known position has lost events. Without that knowledge such a log looks
//! like one that never had them.
//!
//! Invariants:
//!
//! 1. What is known was durable before it was written down: `END` follows the sync of what it claims,
//!    and so does a run.
//! 2. `END` only ever claims more, never less. One that is absent, damaged, foreign or newer proves
//!    nothing and hinders nothing.
//! 3. What proves a loss is not removed before the loss is decided on.

use std::io::ErrorKind;
use std::path::PathBuf;

use parking_lot::Mutex;
use uuid::Uuid;

use super::appender::LastFrame;
use super::directory::{INDEX, remove_if_there};
use super::finding::Finding;
use super::route::{Gap, Walked};
use crate::bugs::{self, Bug};
use crate::error::{Damage, Error, Result};
use crate::format::{ALIGNMENT, END_FILE_BYTES_MAX, EndFile, Fault, Hole, HoleKind, Resume};
use crate::index;
use crate::io::{Disk, DiskFile, MakeDirectory, OpenMode};
use crate::position::GlobalPosition;
use crate::timestamp::Timestamp;

/// The file in the folder of the log that says how far it is durable.
pub(crate) const END: &str = "END";
pub(crate) const END_UNFINISHED: &str = "END.tmp";

/// What is known of the end of a log besides the log itself.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// What `END` says, if it can be used.
    pub(crate) claimed: Option<EndFile>,
    /// The most that anything says, and the file that says it.
    pub(crate) most: Option<(EndFile, PathBuf)>,
    /// Why `END` cannot be used.
    pub(crate) notes: Vec<Finding>,
}

/// Finds out what is known of the end of the log of a store. To be asked before the log is walked: a writer
/// at work only ever adds to it.
pub(crate) fn find<D: Disk>(root: &D, log: &D, store_id: Uuid) -> Result<Known> {
    let mut known = read(log, store_id)?;
    let claimed = known.claimed.map(|claimed| (claimed, log.path().join(END)));
    let told = newest_run(root, store_id)?;
    known.most = claimed.into_iter().chain(told).max_by_key(|(end, _)| end.next_position);
    Ok(known)
}

/// Reads `END`.
pub(crate) fn read<D: Disk>(log: &D, store_id: Uuid) -> Result<Known> {
    let path = log.path().join(END);
    let note = |why: String| {
        let what = format!("known end of the log: {why}; it is written again at the next close");
        Ok(Known { notes: vec![Finding::note(path.clone(), 0, what)], ..Known::default() })
    };
    let file = match log.open(END, OpenMode::Read) {
        Ok(file) => file,
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(Known::default()),
        Err(source) if source.kind() == ErrorKind::InvalidInput => return note(source.to_string()),
        Err(source) => return Err(Error::io("open", path, source)),
    };
    // One byte more than the longest, which is then refused for its checksum or length.
    let bytes = match file.read_bytes(0, END_FILE_BYTES_MAX + 1) {
        Ok(bytes) => bytes,
        Err(source) => return note(format!("the device cannot read it: {source}")),
    };
    match EndFile::decode(&bytes, store_id) {
        Ok(claimed) => Ok(Known { claimed: Some(claimed), ..Known::default() }),
        Err(Fault::Newer { found, .. }) => note(format!("it is of a newer format, {found}")),
        Err(fault) => note(fault.to_string()),
    }
}

/// Reads `END` of a log of whichever store.
pub(crate) fn claim_of_any_store<D: Disk>(log: &D) -> Result<Option<EndFile>> {
    let failed = |source| Error::io("read", log.path().join(END), source);
    let file = log.open(END, OpenMode::Read).map_err(failed)?;
    let bytes = file.read_bytes(0, END_FILE_BYTES_MAX + 1).map_err(failed)?;
    Ok(EndFile::store_id_of(&bytes).and_then(|store_id| EndFile::decode(&bytes, store_id).ok()))
}

/// Returns what the newest run of the index says, believed or not by the log.
fn newest_run<D: Disk>(root: &D, store_id: Uuid) -> Result<Option<(EndFile, PathBuf)>> {
    let Ok(runs) = root.directory(INDEX, MakeDirectory::Never) else { return Ok(None) };
    let newest = index::newest(&runs, store_id)?;
    Ok(newest.map(|(name, resume)| (told_by(&resume, store_id), runs.path().join(name))))
}

fn told_by(resume: &Resume, store_id: Uuid) -> EndFile {
    let Resume { next_position, end, last_frame, last_frame_crc, epoch, recorded_at, .. } = *resume;
    EndFile { store_id, next_position, end, last_frame, last_frame_crc, epoch, recorded_at }
}

/// Returns what is to be claimed of a log with this last event, in which a position comes next.
pub(crate) fn claim(
    store_id: Uuid,
    last: Option<&LastFrame>,
    next_position: GlobalPosition,
) -> EndFile {
    let nothing = EndFile { next_position, ..EndFile::of_nothing(store_id) };
    last.map_or(nothing, |last| EndFile {
        store_id,
        next_position,
        end: last.end,
        last_frame: last.location,
        last_frame_crc: last.crc,
        epoch: last.epoch,
        recorded_at: last.recorded_at,
    })
}

/// Holds a log that was walked to its end to what is known of it: where fewer positions are left, the rest
/// is damage.
pub(crate) fn hold<D: Disk>(walked: &mut Walked<D>, known: &Known) {
    walked.notes.extend(known.notes.iter().cloned());
    let Some((most, told_by)) = &known.most else { return };
    let next = walked.next_position;
    let is_lost = most.next_position > next && !bugs::on(Bug::KnownEndIgnored);
    // The end is known to be lost already; a repair asks for `most` itself.
    let is_known = walked.gaps.last().is_some_and(|last| !last.is_bounded);
    let Some(last) = walked.segments.last().filter(|_| is_lost && !is_known) else { return };
    let (path, offset) = (last.path().clone(), walked.offset);
    let reason = format!(
        "the log ends at position {}, though events up to position {} had been durable: {} says so",
        next.previous(),
        most.next_position.previous(),
        told_by.display(),
    );
    let number = last.header().number;
    let hole = Hole {
        kind: HoleKind::Part,
        first_segment: number,
        last_segment: number,
        start: last.location(offset / ALIGNMENT as u64 * ALIGNMENT as u64),
        end: last.header().end(),
        first_lost: next,
        next,
        repaired_at: Timestamp::MIN,
    };
    // What stands there was no commit that was not finished: it is a part of the loss.
    walked.cuts.retain(|cut| cut.segment != number || cut.start < offset);
    walked.notes.retain(|note| note.file != path || note.offset < offset);
    walked.gaps.push(Gap { hole, is_counted: false, is_bounded: false });
    let (first_lost, first_good_after) = (Some(next), None);
    walked.damage.push(Damage { file: path, offset, reason, first_lost, first_good_after });
}

/// Writes `END`, whole or not at all. The log has to be durable as far as is claimed.
pub(crate) fn write<D: Disk>(log: &D, claim: &EndFile) -> Result<()> {
    let failed = |source| Error::io("write", log.path().join(END), source);
    remove_if_there(log, END_UNFINISHED)?;
    let file = log.open(END_UNFINISHED, OpenMode::CreateNew).map_err(failed)?;
    file.write_all_at(&claim.encode(), 0).map_err(failed)?;
    if !bugs::on(Bug::EndFileUnsynced) {
        file.sync_data().map_err(failed)?;
    }
    log.rename(END_UNFINISHED, END).map_err(failed)?;
    log.sync_dir().map_err(failed)
}

/// Keeps `END` up to date while a store is open.
pub(crate) struct EndKeeper<D: Disk> {
    log: D,
    /// What `END` says, as far as is known.
    claimed: Mutex<Option<EndFile>>,
}

impl<D: Disk> EndKeeper<D> {
    pub(crate) fn new(log: D, claimed: Option<EndFile>) -> Self {
        Self { log, claimed: Mutex::new(claimed) }
    }

    /// Writes `END` unless it says as much. Without it a loss of the log's end may go unnoticed, and
    /// nothing else: a failure is left to the next claim.
    pub(crate) fn keep(&self, claim: &EndFile) {
        let mut claimed = self.claimed.lock();
        let is_newer = claimed.is_none_or(|own| own.next_position < claim.next_position);
        if is_newer && write(&self.log, claim).is_ok() {
            *claimed = Some(*claim);
        }
    }
}
