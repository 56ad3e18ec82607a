//! What is found without reading the log: positions to locations, and terms to positions.
//!
//! Everything here is derived from the log and can be made again from it. A term is anything an
//! event is looked up by (its stream, its id, its type, a tag ...), hashed to 64 bits with a key of
//! the store; its postings are the positions of the events that have it, ascending. Two terms may
//! share a hash: whoever follows a posting must check the event itself.
//!
//! The index is a row of parts, each over one interval of positions: runs on disk, at most one
//! memtable that is being written as a run, and the memtable that takes new events. Adjacent runs
//! are merged, four at a time, so that their number grows with the logarithm of the events.
//!
//! Invariants:
//!
//! 1. The parts cover every position from 1 on, in order, without overlap; only positions that damage
//!    has made unreadable are in none.
//! 2. Positions are added in order, of events that have been written. No run tells of one that is not
//!    durable, and nobody asks for it: it may be lost yet.
//! 3. A term that an event has is never missing from the postings: a part that fails a check is made
//!    again from the log before the question is answered.
//! 4. Of the files of runs the widest that is sound counts; a crash at any point of writing, merging
//!    or removing leaves a set from which the index is put together again.
//! 5. Memory is bounded: one memtable fills while another is written, then adding waits.

#![forbid(unsafe_code)]

mod memtable;
mod merge;
mod parts;
mod postings;
mod run;
mod run_writer;
mod runs;
mod term;
#[cfg(test)]
mod tests;
mod verify;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use uuid::Uuid;

pub(crate) use memtable::{Entry, MEMTABLE_EVENTS_MAX, Unhashed};
pub(crate) use postings::Postings;
pub(crate) use runs::{Access, Look, newest, remove_stale};
#[cfg(test)]
pub(crate) use term::COLLIDING_KEY;
pub(crate) use term::{NewTerms, RecordedTerms, Term, TermHash, TermHasher, TermList};
pub(crate) use verify::RunCheck;

use crate::error::{Error, Result};
use crate::format::{IdTime, Location, Resume};
use crate::io::Disk;
use crate::position::GlobalPosition;
use memtable::Memtable;
pub(crate) use merge::Pace;
use merge::{Activity, MergeError, Pacer, merge, write_table};
use parts::{Part, Parts};
use run::{Interval, Run, Unusable};
use runs::{
    IsCurrent, counts_of, due, fit_one_run, mergeable, open_runs, remove_runs, remove_superseded,
};

/// A memtable that is smaller is not worth a run when the store is closed: opening reads so many
/// events faster than it opens a file.
const WORTH_A_RUN: usize = 1024;

/// Runs that are mended for one question. It can meet each run once; a run that is no better when it
/// has been made again is the disk's fault.
const MENDS_MAX: usize = 64;

/// The index of a store.
pub(crate) struct Index<D: Disk> {
    /// The directory of the runs; `None` when nothing may be written.
    disk: Option<D>,
    store_id: Uuid,
    parts: RwLock<Arc<Parts<D>>>,
    log: OnceLock<Box<dyn LogSource>>,
    /// Held while the set of runs is changed other than at its end.
    maintenance: Mutex<()>,
    /// Held while runs that are parts are merged.
    merging: Mutex<()>,
    /// Events that a memtable takes before it is frozen.
    table_events_max: usize,
    /// Held while the frozen memtable is written as a run.
    freezing: Mutex<()>,
    /// Whether merges are to end.
    is_closing: AtomicBool,
    /// Whether nothing may be written any more.
    is_closed: AtomicBool,
}

/// Gives the events of a part of the log again.
pub(crate) trait LogSource: Send + Sync {
    /// Hands over the frames behind `from`, or from the first one on, up to the event at `last`.
    fn frames(
        &self,
        from: Option<Resume>,
        last: GlobalPosition,
        take: TakeEvents<'_>,
    ) -> Result<()>;
}

/// Takes the events of a frame: where they are, what they are looked up by, and where the log goes on
/// behind them.
pub(crate) type TakeEvents<'a> =
    &'a mut dyn FnMut(&[(GlobalPosition, Location)], &TermList, Resume) -> Result<()>;

impl<D: Disk> Index<D> {
    /// Opens the runs that are there. What they do not cover is to be added: first the gaps, by
    /// [`fill_gaps`](Self::fill_gaps), then the events behind [`resume`](Self::resume).
    pub(crate) fn open(
        disk: Option<D>,
        access: Access,
        store_id: Uuid,
        table_events_max: usize,
        is_current: IsCurrent<'_>,
    ) -> Result<Self> {
        let sealed = match &disk {
            Some(disk) => open_runs(disk, store_id, is_current)?,
            None => Vec::new(),
        };
        let sealed = sealed.into_iter().map(Part::Run).collect();
        let parts = Parts { sealed, active: Arc::default() };
        Ok(Self {
            disk: disk.filter(|_| access == Access::Write),
            store_id,
            parts: RwLock::new(Arc::new(parts)),
            log: OnceLock::new(),
            maintenance: Mutex::new(()),
            merging: Mutex::new(()),
            table_events_max,
            freezing: Mutex::new(()),
            is_closing: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Says where the events come from when a part must be made again.
    pub(crate) fn set_log(&self, log: impl LogSource + 'static) {
        let _once = self.log.set(Box::new(log));
    }

    fn parts(&self) -> Arc<Parts<D>> {
        Arc::clone(&self.parts.read())
    }

    /// Changes the parts.
    fn change(&self, change: impl FnOnce(&mut Parts<D>)) {
        let mut parts = self.parts.write();
        let mut changed = Parts { sealed: parts.sealed.clone(), active: Arc::clone(&parts.active) };
        change(&mut changed);
        *parts = Arc::new(changed);
    }

    /// Makes again what no run covers between the runs that are there. `is_lost` tells whether nothing
    /// but lost positions lies from one to another.
    pub(crate) fn fill_gaps(
        &self,
        is_lost: &dyn Fn(GlobalPosition, GlobalPosition) -> bool,
    ) -> Result<()> {
        let mut before: Option<Resume> = None;
        let mut filled = Vec::new();
        for part in &self.parts().sealed {
            let next = before.map_or(GlobalPosition::FIRST, |before| before.next_position);
            let last = part.first_position().previous();
            if next <= last && !is_lost(next, last) {
                filled.extend(self.make_again(before, last)?);
            }
            before = part.resume();
            filled.push(part.clone());
        }
        self.change(|parts| parts.sealed = filled);
        Ok(())
    }

    /// Removes the files of runs that are no part of the index: superseded, unusable, stale. To be called
    /// once the log is known to hold all that any of them tells of.
    pub(crate) fn remove_superseded(&self) -> Result<()> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let parts = self.parts();
        let kept: Vec<_> =
            parts.sealed.iter().filter_map(Part::as_run).map(|run| run.name()).collect();
        remove_superseded(disk, &kept)
    }

    /// Returns where the log goes on behind what is indexed.
    pub(crate) fn resume(&self) -> Option<Resume> {
        let parts = self.parts();
        parts.active.resume().or_else(|| parts.sealed.last().and_then(Part::resume))
    }

    /// Adds the events of a frame, for which there must be room. Positions between the last ones and
    /// these are lost: a part covers no gap.
    ///
    /// # Errors
    ///
    /// `Error::Internal` when the events do not follow each other.
    pub(crate) fn add<'a>(
        &self,
        entries: impl IntoIterator<Item = Entry<'a>>,
        resume: Resume,
    ) -> Result<()> {
        let mut entries = entries.into_iter().peekable();
        let Some(first) = entries.peek().map(|first| first.position) else { return Ok(()) };
        let last = self.parts().active.last_position();
        if last > GlobalPosition::ZERO && last.next() < first {
            self.change(|parts| {
                let before = std::mem::take(&mut parts.active);
                parts.sealed.push(Part::Table(before));
            });
        }
        self.parts().active.add(entries, resume)
    }

    /// Sees to it that `count` events have room in the active memtable, or that it is empty. Returns
    /// whether a memtable is now to be written by [`write_frozen`](Self::write_frozen). All that was
    /// added has to be durable by now.
    ///
    /// When the one before is still there, it is written here: whoever waited for another thread
    /// instead could be whom that thread waits for.
    ///
    /// # Errors
    ///
    /// `Error::NoSpace` or `Error::Io` when the one before could not be written.
    pub(crate) fn make_room(&self, count: usize) -> Result<bool> {
        let Some(disk) = self.disk.as_ref().filter(|_| self.is_full(count)) else {
            return Ok(false);
        };
        let failed = |source| Error::io("write an index run in", disk.path(), source);
        self.write_frozen().map_err(failed)?;
        self.freeze();
        Ok(true)
    }

    /// As [`make_room`](Self::make_room), of events of which it is not known yet whether they are durable:
    /// the memtable is set aside and not written.
    pub(crate) fn set_aside(&self, count: usize) {
        if self.disk.is_some() && self.is_full(count) {
            self.freeze();
        }
    }

    /// Tells whether the active memtable has no room for `count` events, and some of its own.
    fn is_full(&self, count: usize) -> bool {
        let length = self.parts().active.len();
        count > 0 && length > 0 && length + count > self.table_events_max
    }

    fn freeze(&self) {
        self.change(|parts| {
            let full = std::mem::take(&mut parts.active);
            parts.sealed.push(Part::Table(full));
        });
    }

    /// Tells whether a memtable is to be written.
    pub(crate) fn has_frozen(&self) -> bool {
        self.parts().sealed.iter().any(|part| part.as_table().is_some())
    }

    /// Writes the frozen memtables as runs, if there are any. After a failure they are kept, for the
    /// next call.
    pub(crate) fn write_frozen(&self) -> io::Result<()> {
        self.write_frozen_to(Location::new(u64::MAX)).map(|_| ())
    }

    /// As [`write_frozen`](Self::write_frozen), of those memtables whose events all stand before a location.
    /// Returns whether there was one.
    pub(crate) fn write_frozen_to(&self, durable_upto: Location) -> io::Result<bool> {
        let Some(disk) = &self.disk else { return Ok(false) };
        let _held = self.freezing.lock();
        let ends_before =
            |table: &Arc<Memtable>| table.resume().is_none_or(|resume| resume.end <= durable_upto);
        let frozen = self.parts().sealed.iter().filter_map(Part::as_table).collect::<Vec<_>>();
        let frozen: Vec<_> = frozen.into_iter().filter(ends_before).collect();
        for frozen in &frozen {
            write_table(disk, self.store_id, frozen)?;
            let run = self.reopen(disk, frozen)?;
            self.change(|parts| {
                for part in &mut parts.sealed {
                    if matches!(part, Part::Table(table) if Arc::ptr_eq(table, frozen)) {
                        *part = Part::Run(Arc::clone(&run));
                    }
                }
            });
        }
        Ok(!frozen.is_empty())
    }

    /// Ends a merge that is under way, and lets none begin.
    pub(crate) fn stop_merging(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    /// Writes what is in memory, if that spares the next opening work and all of it is durable: a run
    /// never tells of an event that is not. Nothing is written any more after that: what has to be
    /// made again for a reader who goes on is kept in memory.
    pub(crate) fn close(&self, durable: GlobalPosition) -> io::Result<()> {
        let _held = self.maintenance.lock();
        self.stop_merging();
        self.is_closed.store(true, Ordering::Relaxed);
        let Some(disk) = &self.disk else { return Ok(()) };
        self.write_frozen()?;
        let active = Arc::clone(&self.parts().active);
        let is_worth_it = active.len() >= WORTH_A_RUN.min(self.table_events_max);
        match is_worth_it && active.last_position() <= durable {
            true => write_table(disk, self.store_id, &active),
            false => Ok(()),
        }
    }

    /// Returns the directory of the runs as long as it may be written to.
    fn writable(&self) -> Option<&D> {
        self.disk.as_ref().filter(|_| !self.is_closed.load(Ordering::Relaxed))
    }

    fn reopen(&self, disk: &D, table: &Memtable) -> io::Result<Arc<Run<D::File>>> {
        let interval = (table.first_position(), table.last_position());
        Ok(Arc::new(Run::open(disk, self.store_id, interval)?))
    }

    /// Merges the smallest group of adjacent runs that is due, if one is; returns whether it did.
    ///
    /// Nothing waits for it: what is mended meanwhile is replaced by the merged run, which covers the
    /// same interval.
    pub(crate) fn merge_once(&self, pace: Pace) -> Result<bool> {
        let Some(disk) = self.writable() else { return Ok(false) };
        let _merging = self.merging.lock();
        let mut runs: Vec<_> = self.parts().sealed.iter().map_while(Part::as_run).collect();
        runs.drain(..mergeable(&runs));
        let Some(due) = due(&counts_of(&runs), self.table_events_max) else { return Ok(false) };
        let inputs = runs.get(due..).unwrap_or_default();
        let merged = match self.merged(disk, inputs, pace) {
            Ok(merged) => merged,
            Err(MergeError::Input(number, fault)) => {
                // The next call merges what this one has mended.
                let mended = inputs.get(number).map(|run| self.mend(run, &fault, &mut 0));
                return mended.transpose().map(|_| false);
            }
            Err(MergeError::Stopped) => return Ok(false),
            Err(MergeError::Output(error)) => {
                return Err(Error::io("merge index runs in", disk.path(), error));
            }
        };
        let _held = self.maintenance.lock();
        let replaced = self.replace(merged.interval(), vec![Part::Run(merged)]);
        if let Some(disk) = self.writable() {
            let runs: Vec<_> = replaced.iter().filter_map(Part::as_run).collect();
            remove_runs(disk, &runs);
        }
        Ok(true)
    }

    /// Writes one run in place of adjacent ones and opens it.
    fn merged(
        &self,
        disk: &D,
        inputs: &[Arc<Run<D::File>>],
        pace: Pace,
    ) -> Result<Arc<Run<D::File>>, MergeError> {
        let borrowed: Vec<&Run<D::File>> = inputs.iter().map(Arc::as_ref).collect();
        let activity = || {
            let parts = self.parts();
            Activity { newest: parts.active.last_position(), runs: parts.sealed.len() }
        };
        let mut pacer = Pacer::new(pace, &self.is_closing, &activity);
        let interval = merge(disk, self.store_id, &borrowed, &mut pacer)?;
        let run = Run::open(disk, self.store_id, interval).map_err(io::Error::from)?;
        Ok(Arc::new(run))
    }

    /// Puts parts in the place of those within an interval, and returns what they replace.
    fn replace(&self, (first, last): Interval, pieces: Vec<Part<D>>) -> Vec<Part<D>> {
        let mut replaced = Vec::new();
        self.change(|parts| {
            let start = parts.sealed.partition_point(|part| part.last_position() < first);
            let end = parts.sealed.partition_point(|part| part.last_position() <= last);
            replaced = parts.sealed.splice(start..end, pieces).collect();
        });
        replaced
    }

    /// Makes a run again that can not be used. `mends` counts how often one question has come to this.
    fn mend(&self, run: &Arc<Run<D::File>>, fault: &Unusable, mends: &mut usize) -> Result<()> {
        *mends += 1;
        if *mends > MENDS_MAX {
            let (name, fault) = (run.name(), io::Error::other(fault.to_string()));
            let path = self.disk.as_ref().map(|disk| disk.path().join(&name));
            return Err(Error::io("read", path.unwrap_or(name.into()), fault));
        }
        let _held = self.maintenance.lock();
        let parts = self.parts();
        let is_it = |part: &Part<D>| matches!(part, Part::Run(own) if Arc::ptr_eq(own, run));
        let Some(number) = parts.sealed.iter().position(is_it) else { return Ok(()) };
        let before = number.checked_sub(1).and_then(|before| parts.sealed.get(before));
        let pieces = self.make_again(before.and_then(Part::resume), run.interval().1)?;
        let keeps_name = pieces.iter().any(|piece| piece.interval() == run.interval());
        self.replace(run.interval(), pieces);
        if let Some(disk) = self.writable()
            && !keeps_name
        {
            remove_runs(disk, std::slice::from_ref(run));
        }
        Ok(())
    }

    /// Makes parts from the log for the events behind `from` up to `last`: one run, or tables in
    /// memory where nothing may be written.
    fn make_again(&self, from: Option<Resume>, last: GlobalPosition) -> Result<Vec<Part<D>>> {
        let invariant = "the index knows the log before it makes a part of it again";
        let log = self.log.get().ok_or(Error::Internal { invariant })?;
        let mut parts = Vec::new();
        let mut table = Arc::new(Memtable::default());
        log.frames(from, last, &mut |places, terms, resume| {
            let follows =
                places.first().is_none_or(|(first, _)| table.last_position().next() == *first);
            let is_full = table.len() + places.len() > self.table_events_max;
            if table.len() > 0 && (is_full || !follows) {
                parts.push(self.settle(std::mem::take(&mut table))?);
                self.join(&mut parts, false);
            }
            let entries = places.iter().zip(terms.iter());
            let entries = entries.map(|((position, location), terms)| Entry {
                position: *position,
                location: *location,
                terms,
            });
            table.add(entries, resume)
        })?;
        if table.len() > 0 {
            parts.push(self.settle(table)?);
        }
        self.join(&mut parts, true);
        Ok(parts)
    }

    /// Merges runs that are not parts yet, as soon as they are due or all of them: that many files
    /// could not be open at once. After a failure there are more of them.
    fn join(&self, parts: &mut Vec<Part<D>>, all: bool) {
        let Some(disk) = self.writable() else { return };
        loop {
            let mut runs: Vec<_> = parts.iter().map_while(Part::as_run).collect();
            let kept = mergeable(&runs);
            runs.drain(..kept);
            let start = match due(&counts_of(&runs), self.table_events_max) {
                None if all && runs.len() > 1 && fit_one_run(&counts_of(&runs)) => 0,
                None => return,
                Some(start) => start,
            };
            let inputs = runs.get(start..).unwrap_or_default();
            let Ok(merged) = self.merged(disk, inputs, Pace::Full) else { return };
            parts.truncate(kept + start);
            parts.push(Part::Run(merged));
            remove_runs(disk, inputs);
        }
    }

    /// Writes a full table as a run, or keeps it in memory where nothing may be written.
    fn settle(&self, table: Arc<Memtable>) -> Result<Part<D>> {
        let Some(disk) = self.writable() else { return Ok(Part::Table(table)) };
        let failed = |source| Error::io("write an index run in", disk.path(), source);
        write_table(disk, self.store_id, &table).map_err(failed)?;
        self.reopen(disk, &table).map(Part::Run).map_err(failed)
    }

    /// Returns where the event with a position is; `None` for one that is lost or not there.
    pub(crate) fn locate(&self, position: GlobalPosition) -> Result<Option<Location>> {
        let mut mends = 0;
        loop {
            let parts = self.parts();
            match parts.locate(position) {
                Ok(location) => return Ok(location),
                Err((run, fault)) => self.mend(run, &fault, &mut mends)?,
            }
        }
    }

    /// Appends where the events with positions are, up to the first that needs more than a look:
    /// without anything between two looks that would make one wait for the other.
    pub(crate) fn locate_all(
        &self,
        positions: &[GlobalPosition],
        located: &mut Vec<(GlobalPosition, Location)>,
    ) {
        let parts = self.parts();
        // Most are in the run of the one before.
        let mut near: Option<&Run<D::File>> = None;
        let look = |position: &GlobalPosition| {
            let location = match near.filter(|run| run.covers(*position)) {
                Some(run) => run.locate(*position).ok(),
                None => {
                    let part = parts.sealed_to(*position);
                    near = match part {
                        Some(Part::Run(run)) => Some(run),
                        _ => None,
                    };
                    parts.locate_in(part, *position).ok().flatten()
                }
            };
            location.map(|location| (*position, location))
        };
        located.extend(positions.iter().map_while(look));
    }

    /// Returns the postings of a term; of an event id, with what it tells of its time.
    pub(crate) fn postings(
        self: &Arc<Self>,
        term: TermHash,
        id_time: Option<IdTime>,
    ) -> Postings<D> {
        Postings::new(Arc::clone(self), term, id_time)
    }

    /// Tells whether an event at `position` or later may have a term, by what is in memory: what
    /// lies in a run may.
    pub(crate) fn may_have_from(&self, term: TermHash, position: GlobalPosition) -> bool {
        self.may_have_any_from(|| std::iter::once(term), position)
    }

    /// As [`may_have_from`](Self::may_have_from), of any of the event ids in lists of terms.
    pub(crate) fn may_have_id_of_from(&self, terms: &TermList, position: GlobalPosition) -> bool {
        self.may_have_any_from(|| terms.event_ids().map(|(hash, _)| hash), position)
    }

    fn may_have_any_from<I: Iterator<Item = TermHash>>(
        &self,
        terms: impl Fn() -> I,
        position: GlobalPosition,
    ) -> bool {
        let parts = self.parts();
        let later = parts.sealed.iter().rev();
        let in_sealed = later
            .take_while(|part| part.last_position() >= position)
            .any(|part| part.as_table().is_none_or(|table| table.has_any_from(terms(), position)));
        in_sealed || parts.active.has_any_from(terms(), position)
    }

    /// Tells whether none of the event ids in lists of terms is known. `false` where that needs a
    /// closer look: something shares a hash with an id, or a run can not be used.
    pub(crate) fn knows_no_id_of(&self, terms: &TermList) -> bool {
        let parts = self.parts();
        let hashes = || terms.event_ids().map(|(hash, _)| hash);
        let may_know = |part: &Part<D>| match part {
            Part::Table(table) => table.has_any(hashes()),
            Part::Run(run) => terms.event_ids().any(|(hash, time)| {
                run.may_hold_id(Some(time)) && !matches!(run.find(hash), Ok(None))
            }),
        };
        !parts.active.has_any(hashes()) && !parts.sealed.iter().any(may_know)
    }

    /// Returns the ranges of positions up to a last one that no part covers, both ends included.
    pub(crate) fn gaps_to(&self, last: GlobalPosition) -> Vec<(GlobalPosition, GlobalPosition)> {
        let parts = self.parts();
        let active = &parts.active;
        let newest = (active.first_position(), active.last_position());
        let newest = Some(newest).filter(|_| active.len() > 0);
        let mut next = GlobalPosition::FIRST;
        let mut gaps = Vec::new();
        for (first, end) in parts.sealed.iter().map(Part::interval).chain(newest) {
            let before = first.previous().min(last);
            if next <= before {
                gaps.push((next, before));
            }
            next = end.next();
        }
        if next <= last {
            gaps.push((next, last));
        }
        gaps
    }

    /// Returns how many events are indexed in memory only.
    pub(crate) fn events_in_memory(&self) -> u64 {
        let parts = self.parts();
        let sealed = parts.sealed.iter().filter_map(Part::as_table);
        let sealed: usize = sealed.map(|table| table.len()).sum();
        (sealed + parts.active.len()) as u64
    }
}
