//! Repairs a store: finds out what has to be given up, and makes the store one that opens again.
//!
//! A repair is planned first, which changes nothing, and then carried out. What a store can tell twice
//! (its identity, the headers of segments) is written anew; for the rest the log stays as it is, and
//! the list of holes says what is passed over.
//!
//! Invariants:
//!
//! 1. Bytes are durable in `cut/` before others are written in their place.
//! 2. A position that may have been given out is never given out again: what is not known to be less
//!    is counted as much as there can have been.
//! 3. A repair that ended anywhere leaves a store that can be repaired again: until the list is
//!    replaced, whole and at once, the store is as damaged as it was.
//! 4. Runs of the index that know of lost events are removed before the list is replaced; all runs are
//!    where nobody knows any more which events they leave out.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::broken::Keeps;
use super::directory::{self, Before, INDEX, STORE};
use super::finding::Finding;
use super::holes::{Holes, LOST};
use super::known_end::{self, END, Known};
use super::mending;
use super::ownership::Hold;
use super::recovery;
use super::route::{Depth, Gap, Mended, Route, Walked};
use super::settling;
use super::tail::CUT_DIRECTORY;
use crate::clock::Clock;
use crate::error::{Damage, Error, Result};
use crate::format::{
    ALIGNMENT, EVENT_HEADER_BYTES, EndFile, HOLES_MAX, Hole, HoleKind, SEGMENT_HEADER_BYTES,
    SegmentHeader, Signing, StoreFile, decode_lost, encode_lost,
};
use crate::index::remove_stale;
use crate::io::{Disk, DiskFile, MakeDirectory, OpenMode};
use crate::limits::{FIRST_SEGMENT_BYTES, SEGMENT_BYTES_MAX};
use crate::position::GlobalPosition;
use crate::segment::{self, Preallocation, prepare, read_around_errors};
use crate::sidecar::{Sidecar, Writing};
use crate::timestamp::Timestamp;

/// What a repair does, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairReport {
    /// What is given up: the file, where, why, and the positions that are lost with it. Positions that
    /// can not be known to be fewer are as many as there can have been.
    pub given_up: Vec<Finding>,
    /// What is written, in this order.
    pub steps: Vec<RepairStep>,
}

/// Something that a repair writes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairStep {
    /// The file.
    pub file: PathBuf,
    /// What is done with it, as one sentence.
    pub what: String,
}

impl RepairReport {
    /// Tells whether there is anything to do.
    pub fn is_needed(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Returns how many positions are given up.
    pub fn lost_positions(&self) -> u64 {
        let ranges = self.given_up.iter();
        let ends = ranges.filter_map(|it| Some((it.first_lost?, it.first_good_after?)));
        ends.map(|(lost, good)| good.distance_from(lost)).fold(0, u64::saturating_add)
    }
}

/// What is to be done for a store.
pub(crate) struct Plan {
    pub(crate) identity: StoreFile,
    pub(crate) writes_identity: bool,
    /// Whether no run of the index can be believed.
    forgets_index: bool,
    headers: BTreeMap<u64, SegmentHeader>,
    /// A segment that has to be there for the log to go on.
    next_segment: Option<SegmentHeader>,
    /// What is given up, by this repair and by those before.
    pub(crate) holes: Holes,
    writes_holes: bool,
    /// What is known of the log's end by what the repair removes.
    claim: Option<EndFile>,
    /// The positions that this repair gives up.
    lost: Vec<(GlobalPosition, GlobalPosition)>,
    pub(crate) report: RepairReport,
}

/// How often a repair is planned anew for what only shows once the first plan is carried out.
const ROUNDS_MAX: usize = 4;

/// Plans the repair of the store in a directory, and changes nothing.
pub(crate) fn plan<D: Disk>(root: &D, clock: &Clock) -> Result<Plan> {
    let root = &root.clone().unmapped();
    let names = root.list().map_err(|source| Error::io("list", root.path(), source))?;
    directory::check_finished(root, &names)?;
    plan_unmarked(root, clock)
}

/// As [`plan`], for a copy that is not finished as well.
pub(crate) fn plan_unmarked<D: Disk>(root: &D, clock: &Clock) -> Result<Plan> {
    let names = root.list().map_err(|source| Error::io("list", root.path(), source))?;
    if ![STORE, directory::LOG].iter().any(|name| names.iter().any(|own| own == name)) {
        return Err(Error::Missing { path: root.path().to_owned() });
    }
    let log = directory::log_directory(root)?;
    Planner::new(root, &log, clock.now())?.plan()
}

/// Repairs the store in a directory.
pub(crate) fn repair<D: Disk>(root: &D, clock: &Clock) -> Result<RepairReport> {
    let root = &root.clone().unmapped();
    // What is no store is refused before a lock file is made in it.
    plan(root, clock)?;
    let hold = Hold::take(root)?;
    let root = &hold.guard(root.clone());
    let log = directory::log_directory(root)?;
    match settling::settle(&log, OpenMode::Write) {
        // What can not be read is what is to be repaired.
        Ok(()) | Err(Error::Read { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut report = RepairReport { given_up: Vec::new(), steps: Vec::new() };
    for _ in 0..ROUNDS_MAX {
        let plan = plan(root, clock)?;
        if !plan.report.is_needed() {
            return Ok(report);
        }
        plan.carry_out(root, &log)?;
        if plan.writes_identity {
            hold.lock_store()?;
        }
        report.given_up.extend(plan.report.given_up);
        report.steps.extend(plan.report.steps);
    }
    match plan(root, clock)?.report.given_up.into_iter().next() {
        None => Ok(report),
        Some(left) => Err(unrepaired(left)),
    }
}

/// Returns the error for damage that is still there after a repair.
pub(crate) fn unrepaired(left: Finding) -> Error {
    let Finding { file, offset, what, first_lost, first_good_after, .. } = left;
    let reason = format!("{what}; the repair did not help");
    Damage { file, offset, reason, first_lost, first_good_after }.into()
}

struct Planner<'a, D: Disk> {
    root: &'a D,
    log: &'a D,
    now: Timestamp,
    identity: StoreFile,
    old: Holes,
    writes_identity: bool,
    writes_holes: bool,
    known: Known,
    steps: Vec<RepairStep>,
}

impl<'a, D: Disk> Planner<'a, D> {
    fn new(root: &'a D, log: &'a D, now: Timestamp) -> Result<Self> {
        let mut steps = Vec::new();
        let (identity, writes_identity) = match directory::read_identity(root) {
            Ok(identity) => (identity, false),
            Err(error) => (told_identity(log, now, error)?, true),
        };
        let (old, writes_holes) = match Holes::read(root, identity.store_id) {
            Ok(old) => (old, false),
            Err(Error::Damage(_) | Error::Read { .. }) => (Holes::default(), true),
            Err(error) => return Err(error),
        };
        if writes_holes {
            let what = "make the list of what is lost anew; what stands there is kept in cut";
            steps.push(RepairStep { file: root.path().join(LOST), what: what.to_owned() });
        }
        let known = known_end::find(root, log, identity.store_id)?;
        Ok(Self { root, log, now, identity, old, writes_identity, writes_holes, known, steps })
    }

    fn plan(mut self) -> Result<Plan> {
        let first = self.walk(&BTreeMap::new(), Keeps::Events)?;
        let is_whole = |gap: &&Gap| gap.hole.kind == HoleKind::Segments;
        let damaged: Vec<_> = first.gaps.iter().filter(is_whole).map(numbers).collect();
        let headers = mending::headers(self.log, self.identity.store_id, &damaged, &self.old)?;
        let mut walked = match headers.is_empty() {
            true => first,
            false => self.walk(&headers, Keeps::Events)?,
        };
        if walked.gaps.len() + self.old.iter().count() > HOLES_MAX {
            // Fewer holes take more.
            walked = self.walk(&headers, Keeps::Nothing)?;
        }
        if let (0, Some(damage)) = (walked.frames, walked.damage.first()) {
            let reason = format!("{}; nothing of the log is left to go by", damage.reason);
            return Err(Damage { reason, ..damage.clone() }.into());
        }
        known_end::hold(&mut walked, &self.known);
        let mut holes = std::mem::take(&mut walked.gaps);
        let next_segment = self.settle_tail(&walked, &mut holes)?;
        let given_up = self.describe(&holes, &walked);
        let new: Vec<Hole> =
            holes.iter().map(|gap| Hole { repaired_at: self.now, ..gap.hole }).collect();
        let lost = new.iter().filter(|hole| hole.lost_count() > 0);
        let lost: Vec<_> = lost.map(|hole| (hole.first_lost, hole.next)).collect();
        // A list that can not be read is made anew; what it passed over may be there again.
        let forgets_index = self.writes_identity || self.writes_holes;
        self.writes_holes |= !new.is_empty();
        let holes = self.together(&new)?;
        let removes_runs = forgets_index || !lost.is_empty();
        let claim = self.claim(&walked).filter(|_| removes_runs);
        if claim.is_some() {
            let what = "keep how far the log had been durable, which a run tells that is removed";
            self.steps.push(RepairStep { file: self.log.path().join(END), what: what.to_owned() });
        }
        self.add_steps(&headers, next_segment.as_ref(), removes_runs, !given_up.is_empty());
        let report = RepairReport { given_up, steps: self.steps };
        Ok(Plan {
            identity: self.identity,
            writes_identity: self.writes_identity,
            forgets_index,
            headers,
            next_segment,
            holes,
            writes_holes: self.writes_holes,
            claim,
            lost,
            report,
        })
    }

    /// Walks the whole log as it would be with these headers.
    fn walk(&self, headers: &BTreeMap<u64, SegmentHeader>, keeps: Keeps) -> Result<Walked<D>> {
        let route = Route {
            disk: self.log,
            store_id: self.identity.store_id,
            mode: OpenMode::Read,
            depth: Depth::Full,
            from: None,
            last: None,
            holes: &self.old,
            mended: Some(Mended { headers, keeps }),
        };
        recovery::walk(&route, &mut |_, _| Ok(()))
    }

    /// Settles how much may be lost where nothing good stands behind, and returns the header of a
    /// segment that has to be made for the log to go on.
    fn settle_tail(&self, walked: &Walked<D>, gaps: &mut [Gap]) -> Result<Option<SegmentHeader>> {
        if gaps.last().is_none_or(|last| last.is_bounded) {
            return Ok(None);
        }
        let store_id = self.identity.store_id;
        let mut shift = 0;
        for gap in gaps.iter_mut().filter(|gap| !gap.is_bounded) {
            gap.hole.first_lost = gap.hole.first_lost.advanced_by(shift);
            if !gap.is_counted {
                shift += self.bytes_of(&mut gap.hole)? / EVENT_HEADER_BYTES as u64;
            }
            gap.hole.next = gap.hole.next.advanced_by(shift);
        }
        let Some(tail) = gaps.last_mut().map(|gap| &mut gap.hole) else { return Ok(None) };
        if let Some((most, _)) = &self.known.most {
            tail.next = tail.next.max(most.next_position);
        }
        if let Some(number) = walked.unusable_spares.iter().max() {
            tail.last_segment = tail.last_segment.max(*number);
            tail.kind = HoleKind::Segments;
        }
        let tail = *tail;
        let last = walked.segments.last().map(|segment| *segment.header());
        let spare = walked.spare.as_ref().map(|spare| *spare.header());
        let follows = |header: &SegmentHeader| header.number == tail.last_segment + 1;
        if last.is_some_and(|it| follows(&it)) || spare.is_some_and(|it| follows(&it)) {
            return Ok(None);
        }
        Ok(Some(SegmentHeader {
            store_id,
            number: tail.last_segment + 1,
            signing: Signing::new(Uuid::new_v4().as_u64_pair().1),
            base: tail.end,
            size: FIRST_SEGMENT_BYTES,
        }))
    }

    /// Returns what is to be kept of the known end: what only a run tells that the log does not.
    fn claim(&self, walked: &Walked<D>) -> Option<EndFile> {
        let (most, _) = self.known.most.as_ref()?;
        let is_claimed = self.known.claimed.is_some_and(|own| own == *most);
        (most.next_position > walked.next_position && !is_claimed).then_some(*most)
    }

    /// Returns how many bytes may have held events in a part of the log of which nothing is known, and
    /// lets whole segments end behind their files. The length of a file tells nothing: it may have been
    /// cut short.
    fn bytes_of(&self, hole: &mut Hole) -> Result<u64> {
        if hole.kind.is_part() {
            return Ok(hole.end.distance_from(hole.start));
        }
        let mut there = 0;
        let numbers = hole.first_segment..=hole.last_segment;
        let count = numbers.clone().count() as u64;
        for number in numbers {
            let name = segment::name(number);
            match self.log.open(&name, OpenMode::Read).and_then(|file| file.len()) {
                Ok(bytes) => there += bytes.next_multiple_of(ALIGNMENT as u64),
                Err(source) if source.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(Error::io("open", self.log.path().join(name), source)),
            }
        }
        // Files are longer than their segments, so the segment after them knows better.
        if hole.end == hole.start {
            hole.end = hole.start.plus(there);
        }
        Ok(count * SEGMENT_BYTES_MAX)
    }

    /// Says of every part that is given up why, and what is lost with it.
    fn describe(&self, gaps: &[Gap], walked: &Walked<D>) -> Vec<Finding> {
        let describe = |gap: &Gap| {
            let file = self.log.path().join(segment::name(gap.hole.first_segment));
            let own = || walked.damage.iter().filter(|damage| damage.file == file);
            let numbered = walked.segments.iter().rev();
            let offset = numbered.map(|segment| segment.header()).find_map(|header| {
                (header.number == gap.hole.first_segment)
                    .then(|| gap.hole.start.distance_from(header.base))
            });
            let exact = own().find(|damage| Some(damage.offset) == offset);
            if exact.is_none() && gap.is_aside() {
                return None;
            }
            let damage = exact.or_else(|| own().next()).cloned().unwrap_or_else(|| Damage {
                file,
                offset: 0,
                reason: "it can not be read".to_owned(),
                first_lost: None,
                first_good_after: None,
            });
            let first_lost = Some(gap.hole.first_lost).filter(|_| gap.hole.lost_count() > 0);
            let mut finding = Finding::from(&Damage {
                first_lost,
                first_good_after: first_lost.map(|_| gap.hole.next),
                ..damage
            });
            if !gap.is_bounded && !gap.is_counted {
                finding.what += "; as many positions count as lost as there can have been";
            }
            Some(finding)
        };
        gaps.iter().filter_map(describe).collect()
    }

    /// Returns all holes of the log: those of the repairs before that are not within new ones, and the
    /// new ones.
    fn together(&self, new: &[Hole]) -> Result<Holes> {
        let is_within =
            |old: &Hole| new.iter().any(|hole| hole.start <= old.start && old.end <= hole.end);
        let mut holes: Vec<Hole> =
            self.old.iter().filter(|hole| !is_within(hole)).copied().collect();
        holes.extend(new);
        holes.sort_by_key(|hole| (hole.start, hole.first_segment, hole.first_lost));
        if holes.len() > HOLES_MAX {
            let (limit, actual) = (HOLES_MAX as u64, holes.len() as u64);
            return Err(Error::Limit { what: "parts of the log to give up", limit, actual });
        }
        if holes.is_empty() {
            return Ok(Holes::default());
        }
        let store_id = self.identity.store_id;
        // What would not be read back is not written.
        decode_lost(&encode_lost(store_id, &holes), store_id).map(Holes::new).map_err(|fault| {
            let reason = format!("what is lost can not be listed: {fault}");
            let (first_lost, first_good_after) = (None, None);
            let file = self.root.path().join(LOST);
            Damage { file, offset: 0, reason, first_lost, first_good_after }.into()
        })
    }

    fn add_steps(
        &mut self,
        headers: &BTreeMap<u64, SegmentHeader>,
        next_segment: Option<&SegmentHeader>,
        removes_runs: bool,
        gives_up: bool,
    ) {
        let (root, log) = (self.root.path(), self.log.path());
        let mut step = |file, what: &str| {
            self.steps.push(RepairStep { file, what: what.to_owned() });
        };
        if removes_runs {
            step(root.join(INDEX), "remove the runs that are stale; they are made again");
        }
        for number in headers.keys() {
            let what = "write the header anew; what stands there is kept in cut";
            step(log.join(segment::name(*number)), what);
        }
        if let Some(header) = next_segment {
            step(log.join(segment::name(header.number)), "make the segment where the log goes on");
        }
        if gives_up {
            step(root.join(LOST), "list what is lost; the log itself stays as it is");
        }
        if self.writes_identity {
            let what =
                "write the identity anew from the segments; what stands there is kept in cut";
            step(root.join(STORE), what);
        }
    }
}

fn numbers(gap: &Gap) -> std::ops::RangeInclusive<u64> {
    gap.hole.first_segment..=gap.hole.last_segment
}

/// Returns the identity of a store whose own file does not tell it.
fn told_identity<D: Disk>(log: &D, now: Timestamp, error: Error) -> Result<StoreFile> {
    let is_lost = match &error {
        Error::Damage(_) | Error::Read { .. } => true,
        Error::Io { source, .. } => source.kind() == ErrorKind::NotFound,
        _ => false,
    };
    match is_lost {
        true => mending::identity(log, now)?.ok_or(error),
        false => Err(error),
    }
}

impl Plan {
    /// Returns the plan for a copy of the store in a directory, which has no files yet.
    pub(crate) fn for_a_copy(self, from: &Path) -> Self {
        let what = "copy every segment that is not given up, then list what is lost".to_owned();
        let steps = vec![RepairStep { file: from.to_owned(), what }];
        let report = RepairReport { steps, ..self.report };
        let writes_holes = !self.holes.is_empty();
        Self { writes_identity: true, writes_holes, report, ..self }
    }

    /// Carries the plan out, in the order of its steps.
    pub(crate) fn carry_out<D: Disk>(&self, root: &D, log: &D) -> Result<()> {
        if let Some(claim) = &self.claim {
            known_end::write(log, claim)?;
        }
        self.remove_stale_runs(root)?;
        for header in self.headers.values() {
            write_header(root, log, header)?;
        }
        if let Some(header) = self.next_segment {
            prepare(log, header, Preallocation::Zeros)?;
        }
        if self.writes_holes {
            self.write_holes(root)?;
        }
        if self.writes_identity {
            let StoreFile { store_id, hash_key, .. } = self.identity;
            Sidecar::new(root.clone(), store_id, hash_key, Writing::Allowed).name_by_key()?;
            keep_file(root, STORE)?;
            directory::write_identity(root, &self.identity, Before::File)?;
        }
        Ok(())
    }

    fn remove_stale_runs(&self, root: &impl Disk) -> Result<()> {
        let index = match root.directory(INDEX, MakeDirectory::Never) {
            Ok(index) => index,
            Err(source) if source.kind() == ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(Error::io("open", root.path().join(INDEX), source)),
        };
        remove_stale(&index, &|first, last| {
            let is_hit =
                |(lost, next): &(GlobalPosition, GlobalPosition)| first < *next && *lost <= last;
            self.forgets_index || self.lost.iter().any(is_hit)
        })
    }

    fn write_holes(&self, root: &impl Disk) -> Result<()> {
        if Holes::read(root, self.identity.store_id).is_err() {
            keep_file(root, LOST)?;
        }
        match self.holes.is_empty() {
            true => directory::remove_if_there(root, LOST),
            false => self.holes.write(root, self.identity.store_id),
        }
    }
}

/// Writes the header of a segment anew, in its place.
fn write_header<D: Disk>(root: &D, log: &D, header: &SegmentHeader) -> Result<()> {
    let name = segment::name(header.number);
    let path = log.path().join(&name);
    let failed = |source| Error::io("write the header of", &path, source);
    let file = log.open(&name, OpenMode::Write).map_err(failed)?;
    let mut bytes = vec![0; SEGMENT_HEADER_BYTES];
    read_around_errors(&file, &mut bytes, 0);
    let kept_as = format!("{:016}-{:010}", header.number, 0);
    keep(root, &kept_as, &bytes)?;
    file.write_all_at(&header.encode(), 0).map_err(failed)?;
    file.sync_data().map_err(failed)
}

/// Copies a file of the store's directory to `cut`, if it is there.
fn keep_file(root: &impl Disk, name: &str) -> Result<()> {
    let failed = |source| Error::io("keep", root.path().join(name), source);
    let file = match root.open(name, OpenMode::Read) {
        Ok(file) => file,
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(source)),
    };
    const KEPT_BYTES_MAX: u64 = 8 << 20;
    let length = file.len().map_err(failed)?.min(KEPT_BYTES_MAX);
    let length = usize::try_from(length).map_err(|_| failed(ErrorKind::FileTooLarge.into()))?;
    let mut bytes = vec![0; length];
    read_around_errors(&file, &mut bytes, 0);
    keep(root, name, &bytes)
}

/// Writes bytes that are to be replaced to a new file of `cut`, durably.
fn keep(root: &impl Disk, kept_as: &str, bytes: &[u8]) -> Result<()> {
    let failed = |source| Error::io("keep bytes in", root.path().join(CUT_DIRECTORY), source);
    let directory = root.directory(CUT_DIRECTORY, MakeDirectory::IfAbsent).map_err(failed)?;
    let taken = directory.list().map_err(failed)?;
    let name = (0_u64..)
        .map(|attempt| format!("{kept_as}-{attempt}.bin"))
        .find(|name| !taken.contains(name))
        .ok_or_else(|| failed(ErrorKind::AlreadyExists.into()))?;
    let file = directory.open(&name, OpenMode::CreateNew).map_err(failed)?;
    file.write_all_at(bytes, 0).map_err(failed)?;
    file.sync_data().map_err(failed)?;
    directory.sync_dir().map_err(failed)
}
