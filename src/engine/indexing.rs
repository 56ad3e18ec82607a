//! Connects the index with the log it is derived from.

use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use super::broken_event;
use super::directory::{Directory, INDEX};
use super::holes::Holes;
use super::log::Segments;
use super::recovery;
use super::route::{Depth, NONE_MENDED, Route};
use super::settling;
use crate::error::{Damage, Error, Result};
use crate::format::{Frame, Location, Resume};
use crate::index::{
    Access, Entry, Index, LogSource, Look, Pace, RecordedTerms, RunCheck, TakeEvents, TermHasher,
    TermList,
};
use crate::io::{Disk, MakeDirectory, OpenMode};
use crate::position::GlobalPosition;

/// Opens the index of a store, and makes again what is missing of it between its runs. Returns the
/// damage of the log that was met there, with which a store is opened for reading only.
pub(crate) fn open<D: Disk>(
    directory: &Directory<D>,
    access: Access,
    table_events_max: usize,
) -> Result<(Arc<Index<D>>, Vec<Damage>)> {
    let disk = runs_directory(&directory.root, access)?;
    let log = directory.log.clone();
    let holes = &directory.holes;
    let is_current = |resume: &Resume, look| has_frame(&log, holes, access, resume, look);
    let store_id = directory.identity.store_id;
    let index = Index::open(disk, access, store_id, table_events_max, &is_current)?;
    let hasher = TermHasher::new(directory.identity.hash_key);
    let found = Arc::new(Mutex::new(match access {
        Access::Read => Some(Vec::new()),
        Access::Write => None,
    }));
    let (log, met) = (directory.log.clone(), Arc::clone(&found));
    let holes = Arc::clone(&directory.holes);
    index.set_log(LogFrames { log, store_id, hasher, access, holes, found });
    let holes = &directory.holes;
    index.fill_gaps(&|first, last| holes.take_all(first, last))?;
    let met = met.lock().take().unwrap_or_default();
    Ok((Arc::new(index), met))
}

/// Returns whether the log has the frame behind which a run ends. A reader goes by the log where that can
/// not be read; a writer stops.
fn has_frame(
    log: &impl Disk,
    holes: &Holes,
    access: Access,
    resume: &Resume,
    look: Look,
) -> Result<bool> {
    match settling::has_frame(log, holes, resume, look) {
        Err(Error::Read { .. }) if access == Access::Read => Ok(false),
        answer => answer,
    }
}

/// Opens the runs of a store to be checked against its log.
pub(crate) fn check<D: Disk>(directory: &Directory<D>) -> Result<Option<RunCheck<D>>> {
    let log = directory.log.clone();
    let holes = &directory.holes;
    let is_current = |resume: &Resume, look| has_frame(&log, holes, Access::Read, resume, look);
    let store_id = directory.identity.store_id;
    let disk = runs_directory(&directory.root, Access::Read)?;
    disk.map(|disk| RunCheck::open(&disk, store_id, &is_current)).transpose()
}

fn runs_directory<D: Disk>(root: &D, access: Access) -> Result<Option<D>> {
    let make = match access {
        Access::Read => MakeDirectory::Never,
        Access::Write => MakeDirectory::IfAbsent,
    };
    match root.directory(INDEX, make) {
        Ok(disk) => Ok(Some(disk)),
        Err(source) if access == Access::Read && source.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(source) => Err(Error::io("open", root.path().join(INDEX), source)),
    }
}

/// Adds the events of a frame to an index while a store is opened. A full memtable is written as a run on the
/// way, once a later frame shows that the log is durable as far: a run tells of nothing that a crash can
/// still remove, and what was read may stand in the cache only.
pub(crate) fn add_frame<D: Disk>(
    index: &Index<D>,
    hasher: &TermHasher,
    frame: &Frame,
    resume: Resume,
) -> Result<()> {
    let durable_upto = frame.header().durable_upto;
    let (places, terms) = events_of(hasher, frame)?;
    index.set_aside(places.len());
    let failed = |source| Error::io("write an index run in", INDEX, source);
    if index.write_frozen_to(durable_upto).map_err(failed)? {
        // Nothing else merges while a store is opened, and more runs than a process may have files
        // open could come together. A failure leaves more of them.
        while matches!(index.merge_once(Pace::Full), Ok(true)) {}
    }
    if places.is_empty() {
        return Ok(());
    }
    let entries = places.iter().zip(terms.iter());
    index.add(
        entries.map(|((position, location), terms)| Entry {
            position: *position,
            location: *location,
            terms,
        }),
        resume,
    )
}

/// Where the events of a frame are, and what they are looked up by.
pub(crate) type Events = (Vec<(GlobalPosition, Location)>, TermList);

pub(crate) fn events_of(hasher: &TermHasher, frame: &Frame) -> Result<Events> {
    let event_count = frame.header().event_count.into();
    let (mut terms, mut recorded) =
        (TermList::with_room_for(event_count), RecordedTerms::new(hasher));
    let mut places = Vec::with_capacity(event_count);
    for event in frame.events() {
        let (location, event) = event.map_err(|fault| broken_event(frame.location(), &fault))?;
        places.push((event.global_position(), location));
        recorded.push(&mut terms, event);
    }
    Ok((places, terms))
}

/// The log as the index asks for parts of it again.
struct LogFrames<D: Disk> {
    log: D,
    store_id: Uuid,
    hasher: TermHasher,
    access: Access,
    holes: Arc<Holes>,
    /// Takes the damage that is met while a store is opened for reading: what verifies is indexed,
    /// and its readers know what is lost. Met later, or by a writer, damage is an error.
    found: Arc<Mutex<Option<Vec<Damage>>>>,
}

impl<D: Disk> LogSource for LogFrames<D> {
    fn frames(
        &self,
        from: Option<Resume>,
        last: GlobalPosition,
        take: TakeEvents<'_>,
    ) -> Result<()> {
        let route = Route {
            disk: &self.log,
            store_id: self.store_id,
            mode: match self.access {
                Access::Read => OpenMode::Read,
                Access::Write => OpenMode::Write,
            },
            depth: Depth::Near,
            from,
            last: Some(last),
            holes: &self.holes,
            mended: (self.access == Access::Read).then_some(NONE_MENDED),
        };
        let walked = recovery::walk(&route, &mut |frame, resume| {
            let (places, terms) = events_of(&self.hasher, frame)?;
            match places.first() {
                // Behind damage the next good frame may lie beyond what was asked for.
                Some((first, _)) if *first <= last => take(&places, &terms, resume),
                _ => Ok(()),
            }
        })?;
        match (&mut *self.found.lock(), walked.damage) {
            (Some(found), damage) if !damage.is_empty() => found.extend(damage),
            (found, damage) => {
                if let Some(damage) = damage.into_iter().next() {
                    return Err(damage.into());
                }
                if walked.next_position <= last {
                    let missing = self.ends_early(
                        &walked.segments,
                        walked.offset,
                        (walked.next_position, last),
                    );
                    match found {
                        Some(found) => found.push(missing),
                        None => return Err(missing.into()),
                    }
                }
            }
        }
        Ok(())
    }
}

impl<D: Disk> LogFrames<D> {
    /// Returns the damage of a log that ends before events that were indexed, and so were durable.
    fn ends_early(
        &self,
        segments: &Segments<D>,
        offset: u64,
        (first_lost, last_lost): (GlobalPosition, GlobalPosition),
    ) -> Damage {
        let reason = "the log ends before events that had been durable".to_owned();
        let segment = segments.last().map(|segment| segment.path().clone());
        let file = segment.unwrap_or_else(|| self.log.path().to_owned());
        let (first_lost, first_good_after) = (Some(first_lost), Some(last_lost.next()));
        Damage { file, offset, reason, first_lost, first_good_after }
    }
}
