//! What of a log can be relied on before it is walked: what the disk holds, and where an index may go on.

use std::io::ErrorKind;

use super::holes::Holes;
use crate::bugs::{self, Bug};
use crate::error::{Error, Result};
use crate::format::{EventPlace, FrameHeader, Resume};
use crate::index::Look;
use crate::io::{Disk, DiskFile, OpenMode};
use crate::segment::{self, Scan, Scanned, Segment};

/// Tells whether the log has the frame behind which an indexed part of it ends.
///
/// Its header alone tells it from every other frame; that all of it is sound is known after a look at
/// the whole.
pub(crate) fn has_frame(
    disk: &impl Disk,
    holes: &Holes,
    resume: &Resume,
    look: Look,
) -> Result<bool> {
    if bugs::on(Bug::StaleRunTaken) {
        return Ok(true);
    }
    let segment = match Segment::open(disk, resume.segment, OpenMode::Read) {
        Ok(segment) => segment,
        Err(Error::Damage(_)) => return Ok(false),
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let header = segment.header();
    if resume.last_frame < header.base || header.end() <= resume.last_frame {
        return Ok(false);
    }
    let mut scan = Scan::new(&segment);
    scan.go_back_to(segment.offset(resume.last_frame));
    // What stands behind the frame is not asked for and may be what a repair has given up.
    scan.end_at(segment.offset(resume.end));
    let is_it = |header: &FrameHeader| {
        header.crc == resume.last_frame_crc
            && header.next_position() == resume.next_position
            && resume.last_frame.plus(header.length.into()) == resume.end
    };
    let is_there = match look {
        Look::Header => scan.header()?.is_some_and(|header| is_it(&header)),
        Look::Whole => match scan.advance()? {
            Scanned::Frame(frame) => is_it(frame.header()),
            Scanned::Blank | Scanned::Fault(_) => false,
        },
    };
    if is_there {
        return Ok(true);
    }
    // Of a frame that a repair has given up in part, the last event is named.
    scan.go_back_to(segment.offset(resume.last_frame));
    let is_last = |place: &EventPlace| place.global_position.next() == resume.next_position;
    let Some(found) = scan.events(u64::MAX, resume.epoch, is_last)? else { return Ok(false) };
    let is_given_up = holes.hold(segment.location(found.frame_offset));
    Ok(is_given_up && is_it(found.events.header()))
}

/// How many segments a failed sync can concern: the one that was being sealed, the one after it, and
/// the spare.
const UNSETTLED_SEGMENTS_MAX: usize = 3;

/// Makes durable what an unclean end may have left in the cache only, and drops the cache, so that
/// what is read next is what the disk holds: after a failed sync a later one reports success while
/// the disk still has the old bytes.
pub(crate) fn settle<D: Disk>(disk: &D, mode: OpenMode) -> Result<()> {
    for number in segment::numbers(disk)?.into_iter().rev().take(UNSETTLED_SEGMENTS_MAX) {
        let segment = match Segment::open(disk, number, mode) {
            Ok(segment) => segment,
            Err(Error::Damage(_)) => continue,
            // A reader goes on behind what can not be read.
            Err(Error::Read { .. }) if mode == OpenMode::Read => continue,
            Err(error) => return Err(error),
        };
        let failed = |source| Error::io("sync", segment.path(), source);
        let synced = match bugs::on(Bug::ResyncSkipped) {
            true => Ok(()),
            false => segment.file().sync_data(),
        };
        match synced {
            // Windows syncs no file that is open for reading only; its writer syncs it.
            Err(error) if mode == OpenMode::Read && error.kind() == ErrorKind::PermissionDenied => {
            }
            synced => synced.map_err(failed)?,
        }
        if !bugs::on(Bug::CacheNotDropped) {
            segment.file().evict().map_err(failed)?;
        }
    }
    match mode {
        OpenMode::Read => Ok(()),
        _ if bugs::on(Bug::NamesNotResynced) => Ok(()),
        _ => disk.sync_dir().map_err(|source| Error::io("sync", disk.path(), source)),
    }
}
