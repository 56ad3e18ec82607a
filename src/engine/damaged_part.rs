//! The walk over a part of a log in which no frame verifies: which events of it are taken, and what of
//! it is damage.
//!
//! `recovery` walks frame by frame and comes here where none continues the log; `broken` finds the
//! events that verify by themselves.
//!
//! Invariants:
//!
//! 1. Nothing is taken of a part that may never have become durable.
//! 2. Each byte of such a part is either of an event that is taken or of a gap.

use std::ops::Range;

use super::broken::{
    Broken, EVENT_BROKEN, EVERYTHING, FRAME_BROKEN, Keeps, Reached, UNREADABLE, damage,
};
use super::open_damage::Extent;
use super::recovery::Walk;
use super::route::Walked;
use crate::bugs::{self, Bug};
use crate::error::{Damage, Result};
use crate::format::{EventPlace, FRAME_HEADER_BYTES, Frame, HoleKind, Location};
use crate::io::{Disk, DiskFile};
use crate::segment::{Scan, Segment};

impl<D: Disk> Walk<'_, D> {
    /// Returns the next frame that goes on with the log, if what stands at the scan's offset had been
    /// durable: always in a sealed segment, else if a frame shows that it was written when it was. Returns
    /// how much had been durable, too. Without one the scan is then behind the last byte that is not zero.
    pub(super) fn first_good_behind(
        &self,
        segment: &Segment<D::File>,
        scan: &mut Scan<'_, D::File>,
        is_sealed: bool,
        zeros_max: u64,
    ) -> Result<Option<(Frame, Location)>> {
        let offset = scan.offset();
        let place = segment.location(offset);
        let mut durable = EVERYTHING;
        if !is_sealed {
            let is_evident = |frame: &Frame| {
                frame.header().durable_upto > place || bugs::on(Bug::EvidenceFromAnyFrame)
            };
            let shows = |frame: &Frame| {
                self.goes_on(frame) && is_evident(frame) && !bugs::on(Bug::EvidenceIgnored)
            };
            let Some(evidence) = scan.search(zeros_max, shows)? else { return Ok(None) };
            durable = evidence.header().durable_upto;
            scan.go_back_to(offset);
        }
        let found = scan.search(zeros_max, |frame| self.goes_on(frame))?;
        Ok(found.map(|frame| (frame, durable)))
    }

    /// Takes the events of a frame that follow a hole in it. The first that does not verify is met again
    /// where a frame is expected.
    pub(super) fn walk_events(
        &mut self,
        segment: &Segment<D::File>,
        scan: &mut Scan<'_, D::File>,
    ) -> Result<()> {
        let expected = self.walked.next_position;
        let is_next = |place: &EventPlace| place.global_position == expected;
        match scan.events(u64::MAX, self.walked.epoch, is_next)? {
            Some(found) => self.feed(segment, &found.events),
            None => Ok(()),
        }
    }

    /// Takes the events that verify of a part in which no frame does. What is lost between them is
    /// damage; so is what is lost behind the last, which is left open. Returns whether there were any:
    /// without any nothing is changed but the scan's offset.
    pub(super) fn pass_broken(
        &mut self,
        segment: &Segment<D::File>,
        scan: &mut Scan<'_, D::File>,
        broken: &Broken<'_>,
        zeros_max: u64,
    ) -> Result<bool> {
        let Range { start, end } = broken.range;
        let mut at = start;
        // The damage of a frame header of which it is not known yet whether its own checksum is wrong or
        // that of an event behind it.
        let mut header: Option<Damage> = None;
        scan.go_back_to(start);
        while self.route.keeps() == Keeps::Events && !self.is_done() {
            let Walked { next_position, recorded_at, epoch, .. } = self.walked;
            let reached = Reached { position: next_position, recorded_at, epoch };
            let Some(found) = broken.next_events(scan, reached)? else { break };
            let behind = scan.offset();
            if !self.was_durable(segment, scan, broken, found.frame_offset, zeros_max)? {
                break;
            }
            scan.go_back_to(behind);
            let first = found.events.header().first_position;
            let reason = why_lost(segment, broken, at..found.offset, first > next_position);
            let own = damage(segment, at, reason);
            let is_header = first == next_position
                && found.offset - at == FRAME_HEADER_BYTES as u64
                && found.frame_offset == at;
            let extent = Extent::Behind(segment, at);
            match is_header {
                true => self.open.begin_gap(extent, next_position),
                false => self.begin_damage(own.clone(), extent),
            }
            let is_told = first > next_position;
            self.walked.damage.extend(header.take().filter(|_| !is_told));
            header = is_header.then_some(Damage { first_good_after: Some(first), ..own });
            self.feed(segment, &found.events)?;
            if let Some(gap) = self.walked.gaps.last_mut() {
                gap.hole.kind = HoleKind::PartOfFrame;
            }
            at = behind;
        }
        if at == start {
            return Ok(false);
        }
        let loses = self.walked.next_position < broken.next;
        if (at < end || loses) && !self.is_done() {
            let own = damage(segment, at, why_lost(segment, broken, at..end, loses));
            let extent = match broken.is_counted {
                true => Extent::BehindCounted(segment, at),
                false => Extent::Behind(segment, at),
            };
            self.begin_damage(own, extent);
        }
        self.walked.damage.extend(header.filter(|_| !loses));
        Ok(true)
    }

    /// Returns whether a frame at an offset of a part in which no frame verifies had been durable, as a
    /// later frame shows. One that never was may have been written in part, and is taken whole or not at
    /// all.
    fn was_durable(
        &self,
        segment: &Segment<D::File>,
        scan: &mut Scan<'_, D::File>,
        broken: &Broken<'_>,
        frame_offset: u64,
        zeros_max: u64,
    ) -> Result<bool> {
        let frame = segment.location(frame_offset);
        if frame < broken.durable {
            return Ok(true);
        }
        scan.go_back_to(broken.range.end);
        let shows = |later: &Frame| self.goes_on(later) && later.header().durable_upto > frame;
        Ok(scan.search(zeros_max, shows)?.is_some())
    }
}

/// Says why a part between events that verify is lost, or the part before the first.
fn why_lost<'a, F: DiskFile>(
    segment: &Segment<F>,
    broken: &Broken<'a>,
    part: Range<u64>,
    loses: bool,
) -> &'a str {
    match segment.unreadable_in(&part) {
        Some(_) => UNREADABLE,
        None if part.start == broken.range.start => broken.reason,
        None if loses => EVENT_BROKEN,
        None => FRAME_BROKEN,
    }
}
