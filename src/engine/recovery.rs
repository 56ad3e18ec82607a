//! Finds out what a log holds after any end of the process before.
//!
//! Segments are walked in order and every frame is verified. Nothing is changed here: the walk
//! reports what is good, where the log ends, what has to be cut, and what is damaged; `tail` cuts.
//! What stands where a frame does not continue the log is decided by this table:
//!
//! | case | what is found | what it is |
//! |---|---|---|
//! | A | no segment, a number that is missing, or a sealed segment that no other follows | damage |
//! | B | a header that does not verify, of a segment that another follows or that follows a sealed one | damage |
//! | C | a header that does not verify, of the last segment, and the one before is not sealed | a note: it was the spare and held nothing |
//! | D | a header of another store, or one that does not continue the log | damage |
//! | E | a sealed segment whose frames agree with its footer | good |
//! | F | a sealed segment whose frames do not agree with its footer | damage |
//! | G | bytes that are no footer in the footer's place, and the next segment has no frames | a note: sealing was interrupted; it is cut |
//! | H | zeros behind the last frame of the last used segment | the end of the log |
//! | I | bytes behind it, and no later frame shows that they had been durable | a note: a torn tail; it is cut |
//! | J | bytes behind it, and a later frame that is not older shows that they had been durable | damage |
//! | K | no valid footer, and the next segment has frames | damage, unless the footer stands there when it is looked at again |
//! | L | stray bytes in unused space of a sealed segment | a note |
//! | M | frames that verify and do not continue the log: older ones as in I, others as in J | |
//! | N | a file that is shorter than its header says | damage; of a spare a note: it is set aside |
//! | O | a place that a repair has given up | a hole: nothing in it is looked at |
//! | P | damage as in F or J, and events in it verify | damage of the other events only |
//!
//! Only a later frame whose `durable_upto` lies behind the place proves that what stood there had
//! been durable; a valid frame behind a bad one also occurs in legal states after a crash.

use std::io::ErrorKind;
use std::sync::Arc;

use super::appender::{LastFrame, Tally};
use super::broken::{Broken, EVERYTHING, UNREADABLE, damage, reason};
use super::finding::Finding;
use super::open_damage::{Extent, OpenDamage};
use super::opening::{Opened, Opening, missing};
use super::route::{Cut, Route, Walked};
use crate::bugs::{self, Bug};
use crate::error::{Damage, Error, Result};
use crate::format::{Footer, Frame, FrameKind, Hole, HoleKind, Location, Resume};
use crate::io::{Disk, OpenMode};
use crate::position::GlobalPosition;
use crate::segment::{Scan, Scanned, Segment};

/// Takes frames, each with where the log goes on behind it.
type Sink<'a> = &'a mut dyn FnMut(&Frame, Resume) -> Result<()>;

/// Walks a log, and hands every good frame to `sink` in order.
pub(crate) fn walk<D: Disk>(route: &Route<'_, D>, sink: Sink<'_>) -> Result<Walked<D>> {
    let Opening { opened, unusable_spares, notes } = Opening::of(route)?;
    let walked = Walked { unusable_spares, notes, ..Walked::nothing() };
    let mut walk = Walk { route, sink, walked, open: OpenDamage::default() };
    walk.walk_segments(opened)?;
    Ok(walk.walked)
}

pub(super) struct Walk<'a, D: Disk> {
    pub(super) route: &'a Route<'a, D>,
    sink: Sink<'a>,
    pub(super) walked: Walked<D>,
    /// Damage behind which no good frame has been seen yet.
    pub(super) open: OpenDamage,
}

impl<D: Disk> Walk<'_, D> {
    fn walk_segments(&mut self, opened: Vec<Opened<D>>) -> Result<()> {
        let last = opened.len().saturating_sub(1);
        for (number, opened) in opened.into_iter().enumerate() {
            if self.is_done() {
                // What a damaged segment has lost goes by its footer to where the next one begins.
                self.close_damage(Some((self.walked.next_position, self.open.reached())));
                return Ok(());
            }
            match opened {
                Opened::Unreadable(damage, numbers) => {
                    self.begin_damage(damage, Extent::Segments(numbers));
                }
                Opened::Hole(hole) => {
                    self.pass_hole(&hole);
                    if number == last {
                        self.miss(hole.last_segment + 1);
                    }
                }
                Opened::Segment(segment) => {
                    self.walk_segment(segment)?;
                    if number == last {
                        self.walk_behind_sealed()?;
                    }
                }
            }
        }
        self.close_damage(None);
        Ok(())
    }

    /// Begins the damage of a segment that should be there behind the last one.
    fn miss(&mut self, number: u64) {
        let damage = missing(self.route.disk, number..number + 1);
        self.begin_damage(damage, Extent::Segments(number..=number));
    }

    /// Walks what follows a sealed segment that was the last one when they were listed: a segment is
    /// sealed only once there is a next one, so it is missing unless a writer has just made it.
    fn walk_behind_sealed(&mut self) -> Result<()> {
        while let Some(last) = self.walked.segments.last().filter(|last| last.footer().is_some()) {
            let number = last.header().number + 1;
            match self.route.open(number) {
                Ok(segment) => self.walk_segment(segment)?,
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                    self.miss(number);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells whether everything that is wanted has been walked.
    pub(super) fn is_done(&self) -> bool {
        self.route.last.is_some_and(|last| last < self.walked.next_position)
    }

    /// Passes over a segment before the beginning of the walk, going by its footer.
    fn pass_over(&mut self, segment: &Segment<D::File>) -> Result<()> {
        let holes = self.route.holes;
        let mut inside =
            holes.in_segment(segment.header().number, segment.header().base).peekable();
        let has_holes = inside.peek().is_some();
        if let Some(rest) = inside.find(|hole| hole.end >= segment.header().end()) {
            self.pass_hole(rest);
            self.seal_at(segment, segment.offset(rest.start));
            return Ok(());
        }
        let offset = segment.header().footer_offset();
        match segment.read_footer()? {
            Some(Ok(footer)) => {
                let is_next = footer.event_count == 0
                    || has_holes
                    || footer.first_position == self.walked.next_position;
                if !is_next && self.open.is_empty() {
                    let damage = damage(segment, offset, "footer: it does not continue the log");
                    self.begin_damage(damage, Extent::BehindCounted(segment, offset));
                }
                if footer.event_count > 0 {
                    self.close_damage(Some((footer.first_position, segment.header().end())));
                    self.walked.next_position =
                        footer.first_position.advanced_by(footer.event_count);
                }
                segment.mark_sealed(footer);
            }
            _ => {
                let reason = "footer: it does not verify, though the log goes on";
                let damage = damage(segment, offset, reason);
                self.begin_damage(damage, Extent::Behind(segment, offset));
                segment.set_readable(offset);
            }
        }
        Ok(())
    }

    /// Returns a scan of a segment from where the walk begins in it.
    fn begin_scan<'s>(&mut self, segment: &'s Segment<D::File>) -> Scan<'s, D::File> {
        let mut scan = Scan::new(segment);
        if let Some(from) = &self.route.from
            && from.segment == segment.header().number
        {
            scan.go_back_to(segment.offset(from.end));
            self.close_damage(Some((from.next_position, from.end)));
            self.walked.tally = Tally::resumed(from);
            self.walked.next_position = from.next_position;
            self.walked.epoch = from.epoch;
            // Only what was durable is ever indexed.
            self.walked.durable_upto = from.end;
            self.walked.recorded_at = from.recorded_at;
            self.walked.last_kind = Some(FrameKind::Commit);
            self.walked.last_event = Some(LastFrame::of(from));
        }
        scan
    }

    fn walk_segment(&mut self, segment: Segment<D::File>) -> Result<()> {
        let header = *segment.header();
        self.open.reach_segment(&header);
        if self.route.from.as_ref().is_some_and(|from| header.number < from.segment) {
            self.pass_over(&segment)?;
            self.walked.segments.push(Arc::new(segment));
            return Ok(());
        }
        // What was passed over is not looked at for its missing footer either: the index has its events.
        let was_passed_over =
            self.route.from.as_ref().is_some_and(|it| header.number == it.segment);
        let follows_end = !was_passed_over
            && self.walked.segments.last().is_some_and(|last| last.footer().is_none());
        if follows_end && self.is_spare(&segment)? {
            if segment.cut_short_at().is_none() {
                self.walked.spare.get_or_insert(segment);
            }
            return Ok(());
        }
        if follows_end && !self.go_on_before()? {
            self.seal_before()?;
        }
        self.walked.tally = Tally::new();
        let mut scan = self.begin_scan(&segment);
        if self.walk_up_to_holes(&segment, &mut scan)? == Rest::Open {
            match segment.read_footer()? {
                Some(Ok(footer)) => self.walk_sealed(&segment, &mut scan, footer)?,
                footer => self.walk_unsealed(&segment, &mut scan, footer.is_some())?,
            }
            if let Some(end) = segment.cut_short_at() {
                let damage = damage(&segment, end, "the file is cut short");
                // What is missing of a sealed segment may be nothing but zeros of its footer.
                let frames_end = segment.footer().map_or(self.walked.offset, |footer| footer.end);
                let start = frames_end.min(end);
                self.begin_damage(damage, Extent::Behind(&segment, start));
            }
        }
        self.walked.segments.push(Arc::new(segment));
        Ok(())
    }

    /// Walks the frames before each hole of a segment, and passes over the hole. Everything before one
    /// had been durable.
    fn walk_up_to_holes(
        &mut self,
        segment: &Segment<D::File>,
        scan: &mut Scan<'_, D::File>,
    ) -> Result<Rest> {
        let number = segment.header().number;
        let from = segment.location(scan.offset());
        let mut holes = self.route.holes.in_segment(number, from).peekable();
        while let Some(hole) = holes.next() {
            let end = segment.offset(hole.start);
            scan.end_at(end);
            let sealed = Sealed { end, next: hole.first_lost, is_counted: false };
            self.walk_frames(segment, scan, Some(sealed))?;
            if self.is_done() {
                return Ok(Rest::Taken);
            }
            let continues = self.walked.next_position == hole.first_lost || !self.open.is_empty();
            if scan.offset() != end || !continues {
                let damage = damage(segment, scan.offset(), "frame: it does not verify");
                self.begin_damage(damage, Extent::Behind(segment, scan.offset()));
            }
            self.pass_hole(hole);
            if hole.end >= segment.header().end() {
                self.seal_at(segment, end);
                return Ok(Rest::Taken);
            }
            scan.go_back_to(segment.offset(hole.end));
            scan.end_at(segment.header().size);
            if hole.kind == HoleKind::PartOfFrame {
                // Nothing of the next hole is read, not even on the way.
                if let Some(next) = holes.peek() {
                    scan.end_at(segment.offset(next.start));
                }
                self.walk_events(segment, scan)?;
            }
        }
        Ok(Rest::Open)
    }

    fn pass_hole(&mut self, hole: &Hole) {
        self.close_damage(Some((hole.first_lost, hole.start)));
        let walked = &mut self.walked;
        walked.tally.pass(hole.first_lost, hole.lost_count());
        walked.next_position = walked.next_position.max(hole.next);
        // What stood before it had been durable, or is gone with it.
        walked.durable_upto = walked.durable_upto.max(hole.end);
        self.open.reach(hole.end);
    }

    /// Takes a segment for sealed whose footer is lost.
    fn seal_at(&self, segment: &Segment<D::File>, end: u64) {
        let walked = &self.walked;
        segment.mark_sealed(walked.tally.footer(end, walked.recorded_at, walked.epoch));
    }

    /// Tells whether a segment behind the one where the log seems to end holds nothing; stray bytes in
    /// it are cut. If it holds a frame or is sealed, the one before had been sealed.
    fn is_spare(&mut self, segment: &Segment<D::File>) -> Result<bool> {
        let header = segment.header();
        if self.route.holes.in_segment(header.number, header.base).next().is_some() {
            return Ok(false);
        }
        let mut scan = Scan::new(segment);
        let start = scan.offset();
        let footer = segment.read_footer()?;
        let was_used = matches!(footer, Some(Ok(_)))
            || matches!(scan.advance()?, Scanned::Frame(_))
            || scan.search(self.route.depth.zeros_max(), |_| true)?.is_some();
        if !was_used && let Some(end) = segment.cut_short_at() {
            let what = "the file is cut short; the segment held no event yet".to_owned();
            self.walked.notes.push(Finding::note(segment.path().clone(), end, what));
            self.walked.unusable_spares.push(segment.header().number);
            return Ok(true);
        }
        if !was_used {
            let what = "stray bytes in a segment without events";
            self.note_cut(segment, start, scan.offset(), what);
            if footer.is_some() {
                let offset = segment.header().footer_offset();
                self.note_cut(segment, offset, segment.header().size, what);
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Goes on where the log seemed to end, if the segment has its footer by now: the next one is in use,
    /// so a writer at work has gone on since, and what looked unfinished was being written.
    fn go_on_before(&mut self) -> Result<bool> {
        let Some(last) = self.walked.segments.last().map(Arc::clone) else { return Ok(false) };
        let Some(Ok(footer)) = last.read_footer()? else { return Ok(false) };
        self.forget_cuts(&last);
        let mut scan = Scan::new(&last);
        scan.go_back_to(self.walked.offset);
        self.walk_sealed(&last, &mut scan, footer)?;
        Ok(true)
    }

    /// Takes the segment where the log seemed to end for sealed, since the next one is in use: everything
    /// in it had been durable.
    fn seal_before(&mut self) -> Result<()> {
        let Some(last) = self.walked.segments.last().map(Arc::clone) else { return Ok(()) };
        self.forget_cuts(&last);
        let mut scan = Scan::new(&last);
        scan.go_back_to(self.walked.offset);
        let (end, next) = (last.frames_end(), GlobalPosition::MAX);
        self.walk_frames(&last, &mut scan, Some(Sealed { end, next, is_counted: false }))?;
        let end = scan.offset();
        self.seal_at(&last, end);
        let offset = last.header().footer_offset();
        let damage = damage(&last, offset, "footer: it is missing, though the log goes on");
        self.begin_damage(damage, Extent::Behind(&last, end));
        Ok(())
    }

    /// Forgets what was to be cut of a segment behind which the log goes on.
    fn forget_cuts(&mut self, segment: &Segment<D::File>) {
        let end = self.walked.offset;
        self.walked.cuts.retain(|cut| cut.segment != segment.header().number);
        self.walked.notes.retain(|note| note.file != *segment.path() || note.offset < end);
    }

    fn walk_sealed(
        &mut self,
        segment: &Segment<D::File>,
        scan: &mut Scan<'_, D::File>,
        footer: Footer,
    ) -> Result<()> {
        let damage_before = self.damage_count();
        let next = match footer.event_count {
            0 => self.walked.next_position,
            count => footer.first_position.advanced_by(count),
        };
        self.walk_frames(segment, scan, Some(Sealed { end: footer.end, next, is_counted: true }))?;
        if self.is_done() {
            return Ok(());
        }
        let agrees = self.agrees(segment, scan.offset(), &footer);
        let ends_early = scan.offset() < footer.end;
        if ends_early || (!agrees && self.damage_count() == damage_before) {
            let offset = footer.end.min(scan.offset());
            let reason = "footer: the frames are not those that it counts";
            let extent = Extent::BehindCounted(segment, scan.offset());
            self.begin_damage(damage(segment, offset, reason), extent);
        }
        if !self.open.is_empty() {
            let behind = footer.first_position.advanced_by(footer.event_count);
            self.walked.next_position = self.walked.next_position.max(behind);
        }
        let end = scan.offset();
        scan.search(u64::MAX, |_| false)?;
        if scan.offset() > end && agrees {
            let what = "stray bytes behind the frames of a sealed segment".to_owned();
            self.walked.notes.push(Finding::note(segment.path().clone(), end, what));
        }
        segment.mark_sealed(footer);
        Ok(())
    }

    /// Tells whether a footer counts the frames that were found up to an offset. Where some of them
    /// were given up it may have been written before or after that.
    fn agrees(&self, segment: &Segment<D::File>, end: u64, footer: &Footer) -> bool {
        let walked = &self.walked;
        let header = segment.header();
        if self.route.holes.in_segment(header.number, header.base).next().is_some() {
            let next = footer.first_position.advanced_by(footer.event_count);
            return end == footer.end && (footer.event_count == 0 || next == walked.next_position);
        }
        let found = walked.tally.footer(end, walked.recorded_at, walked.epoch);
        let counts = |footer: &Footer| (footer.event_count, footer.frame_count, footer.end);
        counts(&found) == counts(footer) && found.frames_crc == footer.frames_crc
    }

    fn damage_count(&self) -> usize {
        self.walked.damage.len() + self.open.len()
    }

    fn walk_unsealed(
        &mut self,
        segment: &Segment<D::File>,
        scan: &mut Scan<'_, D::File>,
        has_bad_footer: bool,
    ) -> Result<()> {
        let behind_data = self.walk_frames(segment, scan, None)?;
        let start = scan.offset();
        let behind_data = match behind_data {
            Some(offset) => offset,
            None => {
                let zeros_max = self.route.depth.zeros_max_behind(&scan.advance()?);
                scan.go_back_to(start);
                scan.search(zeros_max, |_| false)?;
                scan.offset()
            }
        };
        self.walked.offset = start;
        segment.set_readable(start);
        let (footer, end) = (segment.header().footer_offset(), segment.header().size);
        if let Some(offset) = segment.unreadable_in(&(start..end)) {
            let damage = damage(segment, offset, UNREADABLE);
            self.begin_damage(damage, Extent::Behind(segment, start));
            return Ok(());
        }
        self.note_cut(segment, start, behind_data, "a commit that was not finished");
        if has_bad_footer {
            self.note_cut(segment, footer, end, "a footer that was not finished");
        }
        Ok(())
    }

    fn note_cut(&mut self, segment: &Segment<D::File>, start: u64, end: u64, what: &str) {
        if end > start {
            let what = format!("{what}: {} bytes", end - start);
            self.walked.notes.push(Finding::note(segment.path().clone(), start, what));
            self.walked.cuts.push(Cut { segment: segment.header().number, start, end });
        }
    }

    /// Takes frames until they end in this segment, passing over damage. In a sealed segment they end
    /// at a known offset. Returns where the bytes end that are not zero, if it had to look for that.
    fn walk_frames(
        &mut self,
        segment: &Segment<D::File>,
        scan: &mut Scan<'_, D::File>,
        sealed: Option<Sealed>,
    ) -> Result<Option<u64>> {
        loop {
            let offset = scan.offset();
            if self.is_done() || sealed.is_some_and(|sealed| offset >= sealed.end) {
                return Ok(None);
            }
            let scanned = scan.advance()?;
            if let Scanned::Frame(frame) = &scanned
                && self.continues(frame)
            {
                self.feed(segment, frame)?;
                continue;
            }
            let zeros_max = match sealed {
                Some(_) => u64::MAX,
                None => self.route.depth.zeros_max_behind(&scanned),
            };
            let reason = reason(segment, scanned)?;
            scan.go_back_to(offset);
            let is_sealed = sealed.is_some();
            let found = self.first_good_behind(segment, scan, is_sealed, zeros_max)?;
            let Some((frame, durable)) = found else {
                let behind_data = scan.offset();
                scan.go_back_to(offset);
                if let Some(Sealed { end, next, is_counted }) = sealed {
                    let (range, durable, reason) = (offset..end, EVERYTHING, reason.as_str());
                    let broken = Broken { range, next, durable, is_counted, reason };
                    let has_events = self.pass_broken(segment, scan, &broken, zeros_max)?;
                    scan.go_back_to(if has_events { end } else { offset });
                }
                return Ok(Some(behind_data));
            };
            // What had been durable before that frame was written stands there now, even if a writer
            // at work had not yet written it when it was looked at.
            let behind = scan.offset();
            scan.forget();
            scan.go_back_to(offset);
            if let Scanned::Frame(frame) = scan.advance()?
                && self.continues(&frame)
            {
                self.feed(segment, &frame)?;
                continue;
            }
            scan.go_back_to(behind);
            let reason = match segment.unreadable_in(&(offset..behind)) {
                Some(_) => UNREADABLE,
                None => reason.as_str(),
            };
            let (range, next) =
                (offset..segment.offset(frame.location()), frame.header().first_position);
            let broken = Broken { range, next, durable, is_counted: false, reason };
            if !self.pass_broken(segment, scan, &broken, zeros_max)? {
                let extent = Extent::Behind(segment, offset);
                self.begin_damage(damage(segment, offset, reason), extent);
            }
            scan.go_back_to(behind);
            self.feed(segment, &frame)?;
        }
    }

    fn continues(&self, frame: &Frame) -> bool {
        let is_next = frame.header().first_position == self.walked.next_position;
        self.goes_on(frame) && (is_next || !self.open.is_empty())
    }

    /// Tells whether a frame may come later in the log than the last one.
    pub(super) fn goes_on(&self, frame: &Frame) -> bool {
        let header = frame.header();
        header.first_position >= self.walked.next_position
            && (header.epoch >= self.walked.epoch || bugs::on(Bug::EpochUnchecked))
            && header.recorded_at >= self.walked.recorded_at
    }

    /// Takes a good frame. Whoever opens for writing refuses a damaged log, and is given nothing from
    /// behind damage: an index of it would hide the damage from the next opening.
    pub(super) fn feed(&mut self, segment: &Segment<D::File>, frame: &Frame) -> Result<()> {
        let header = frame.header();
        self.close_damage(Some((header.first_position, frame.location())));
        let walked = &mut self.walked;
        match frame.is_whole() {
            true => walked.tally.add(header.first_position, header.event_count.into(), header.crc),
            false => walked.tally.pass(header.first_position, header.event_count.into()),
        }
        walked.next_position = header.next_position();
        walked.epoch = header.epoch;
        walked.durable_upto = walked.durable_upto.max(header.durable_upto);
        walked.recorded_at = header.recorded_at;
        walked.last_kind = Some(header.kind());
        walked.frames += 1;
        let last = LastFrame {
            location: frame.end_mark(),
            end: frame.location().plus(header.length.into()),
            crc: header.crc,
            next_position: header.next_position(),
            epoch: header.epoch,
            recorded_at: header.recorded_at,
        };
        if header.event_count > 0 {
            self.walked.last_event = Some(last);
        }
        if self.route.mode != OpenMode::Read && !self.walked.damage.is_empty() {
            return Ok(());
        }
        (self.sink)(frame, last.resume(segment.header().number, &self.walked.tally))
    }

    pub(super) fn begin_damage(&mut self, damage: Damage, extent: Extent<'_, D::File>) {
        self.open.begin(damage, extent, self.walked.next_position);
    }

    /// Settles which positions are lost to the damage seen last, given the first good one behind it and
    /// where that is.
    fn close_damage(&mut self, good: Option<(GlobalPosition, Location)>) {
        let walked = &mut self.walked;
        self.open.close(good, walked.next_position, &mut walked.damage, &mut walked.gaps);
    }
}

/// Where the frames of a part of a segment are known to end, and with which position next.
#[derive(Debug, Clone, Copy)]
struct Sealed {
    end: u64,
    next: GlobalPosition,
    is_counted: bool,
}

/// What is left of a segment behind its holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Frames, and the footer if it is sealed.
    Open,
    /// Nothing that is to be walked.
    Taken,
}
