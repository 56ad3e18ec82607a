//! Cuts what a crash left behind the end of the log, keeps the cut bytes aside, and makes durable what
//! is kept.
//!
//! Invariants:
//!
//! 1. Cut bytes are durable in a file of their own before they are overwritten.
//! 2. They are overwritten with zeros, durably, before the store serves: an old frame behind the new
//!    end must never come back to life.
//! 3. What no later frame shows to have been durable is written again, as it is, and synced: after a
//!    failed sync it may stand in the cache only, where dropping the cache does not reach a page that
//!    somebody has mapped, and a sync passes over pages that count as written.

use std::path::PathBuf;
use std::sync::Arc;

use super::route::{Cut, Walked};
use crate::bugs::{self, Bug};
use crate::error::{Error, Result};
use crate::format::SEGMENT_HEADER_BYTES;
use crate::io::{Disk, DiskFile, MakeDirectory, OpenMode};
use crate::segment::{self, Segment};

/// The directory of a store that keeps cut bytes.
pub(crate) const CUT_DIRECTORY: &str = "cut";

/// Bytes that are copied at once.
const PIECE_BYTES: u64 = 1 << 20;

/// Cuts everything that a walk noted, and says in its notes where the bytes are kept.
pub(crate) fn cut<D: Disk>(root: &D, log: &D, walked: &mut Walked<D>) -> Result<()> {
    for cut in std::mem::take(&mut walked.cuts) {
        let active = walked.segments.last().filter(|last| last.header().number == cut.segment);
        let segment = match (active.map(Arc::clone), &walked.spare) {
            (Some(active), _) => Cuttable::Active(active),
            (None, Some(spare)) => Cuttable::Spare(spare),
            (None, None) => continue,
        };
        let kept_in = keep(root, segment.get(), &cut)?;
        zero(segment.get(), &cut)?;
        let path = segment.get().path().clone();
        let note =
            walked.notes.iter_mut().find(|note| note.file == path && note.offset == cut.start);
        if let Some(note) = note {
            note.kept_in = Some(kept_in);
        }
    }
    // The last one first: what a stop leaves has no gap.
    let mut spares = std::mem::take(&mut walked.unusable_spares);
    spares.sort_unstable_by(|one, other| other.cmp(one));
    spares.into_iter().try_for_each(|number| set_aside(log, number))
}

enum Cuttable<'a, F> {
    Active(Arc<Segment<F>>),
    Spare(&'a Segment<F>),
}

impl<F> Cuttable<'_, F> {
    fn get(&self) -> &Segment<F> {
        match self {
            Self::Active(segment) => segment,
            Self::Spare(segment) => segment,
        }
    }
}

/// Copies the bytes of a cut to a new file, durably, and returns its path.
fn keep<D: Disk>(root: &D, segment: &Segment<D::File>, cut: &Cut) -> Result<PathBuf> {
    let failed = |source| Error::io("keep cut bytes in", root.path().join(CUT_DIRECTORY), source);
    let directory = root.directory(CUT_DIRECTORY, MakeDirectory::IfAbsent).map_err(failed)?;
    let taken = directory.list().map_err(failed)?;
    let name = (0_u64..)
        .map(|attempt| format!("{:016}-{:010}-{attempt}.bin", cut.segment, cut.start))
        .find(|name| !taken.contains(name))
        .ok_or_else(|| failed(std::io::ErrorKind::AlreadyExists.into()))?;
    let path = directory.path().join(&name);
    let file_failed = |source| Error::io("keep cut bytes in", &path, source);
    let file = directory.open(&name, OpenMode::CreateNew).map_err(file_failed)?;
    let mut offset = cut.start;
    while offset < cut.end {
        let mut piece = piece(offset, cut.end);
        segment.read(&mut piece, offset)?;
        file.write_all_at(&piece, offset - cut.start).map_err(file_failed)?;
        offset += piece.len() as u64;
    }
    if !bugs::on(Bug::CutBytesUnsynced) {
        file.sync_data().map_err(file_failed)?;
    }
    if !bugs::on(Bug::CutNameUnsynced) {
        directory.sync_dir().map_err(failed)?;
    }
    Ok(path)
}

fn zero<F: DiskFile>(segment: &Segment<F>, cut: &Cut) -> Result<()> {
    if bugs::on(Bug::TailNotZeroed) {
        return Ok(());
    }
    let failed = |source| Error::io("cut", segment.path(), source);
    let mut offset = cut.start;
    while offset < cut.end {
        let zeros = piece(offset, cut.end);
        segment.file().write_all_at(&zeros, offset).map_err(failed)?;
        offset += zeros.len() as u64;
    }
    segment.file().sync_data().map_err(failed)
}

/// Writes again what only its own frames vouch for: the last group, and a footer that no frame
/// follows.
pub(crate) fn write_again<D: Disk>(walked: &Walked<D>) -> Result<()> {
    if bugs::on(Bug::LastGroupNotRewritten) {
        return Ok(());
    }
    let doubtful = |segment: &&Arc<Segment<D::File>>| segment.header().end() > walked.durable_upto;
    for segment in walked.segments.iter().filter(doubtful) {
        let header = segment.header();
        let start = segment.offset(walked.durable_upto).max(SEGMENT_HEADER_BYTES as u64);
        match segment.footer() {
            Some(footer) => {
                copy_over(segment, start, footer.end)?;
                copy_over(segment, header.footer_offset(), header.size)?;
            }
            None => rewrite_end(segment, start, walked.offset)?,
        }
        let failed = |source| Error::io("sync", segment.path(), source);
        if !bugs::on(Bug::RewrittenUnsynced) {
            segment.file().sync_data().map_err(failed)?;
        }
    }
    Ok(())
}

/// Writes the end of the active segment again. If that is little, what was read of the segment leaves the
/// cache in between: the system caches what is read in a row in large pieces, and would write the whole
/// piece out for this and for every small commit in it. The bytes are at hand by then, for the disk may
/// not have them.
fn rewrite_end<F: DiskFile>(segment: &Segment<F>, start: u64, end: u64) -> Result<()> {
    if end.saturating_sub(start) > PIECE_BYTES {
        return copy_over(segment, start, end);
    }
    let failed = |source| Error::io("write again", segment.path(), source);
    let mut bytes = piece(start, end);
    segment.read(&mut bytes, start)?;
    segment.file().evict().map_err(failed)?;
    segment.file().write_all_at(&bytes, start).map_err(failed)
}

fn copy_over<F: DiskFile>(segment: &Segment<F>, start: u64, end: u64) -> Result<()> {
    let failed = |source| Error::io("write again", segment.path(), source);
    let mut offset = start;
    while offset < end {
        let mut bytes = piece(offset, end);
        segment.read(&mut bytes, offset)?;
        segment.file().write_all_at(&bytes, offset).map_err(failed)?;
        offset += bytes.len() as u64;
    }
    Ok(())
}

/// Returns room for the next bytes before an end.
fn piece(offset: u64, end: u64) -> Vec<u8> {
    vec![0; end.saturating_sub(offset).min(PIECE_BYTES) as usize]
}

/// Renames a segment that holds nothing and can not be used, so that its number is free.
fn set_aside<D: Disk>(log: &D, number: u64) -> Result<()> {
    let name = segment::name(number);
    let failed = |source| Error::io("set aside", log.path().join(&name), source);
    let taken = log.list().map_err(failed)?;
    let free = (0_u64..)
        .map(|attempt| match attempt {
            0 => format!("{name}.unusable"),
            more => format!("{name}.unusable.{more}"),
        })
        .find(|free| !taken.contains(free))
        .unwrap_or_default();
    log.rename_new(&name, &free).map_err(failed)?;
    log.sync_dir().map_err(failed)
}
