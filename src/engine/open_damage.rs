//! Damage of a walk behind which nothing good has been seen yet: what it takes is known only then.
//!
//! Damage is reported as it was met. What a repair would give up for it is put together: what follows
//! each other in one segment, or in segments side by side, is one gap.

use std::ops::RangeInclusive;

use super::route::Gap;
use crate::error::Damage;
use crate::format::{ALIGNMENT, Hole, HoleKind, Location, SegmentHeader};
use crate::io::DiskFile;
use crate::position::GlobalPosition;
use crate::segment::Segment;
use crate::timestamp::Timestamp;

/// Which part of the log damage takes.
pub(crate) enum Extent<'a, F> {
    /// From an offset of a segment on; where good frames follow in it, up to them.
    Behind(&'a Segment<F>, u64),
    /// As `Behind`, in a segment whose footer counts its events.
    BehindCounted(&'a Segment<F>, u64),
    /// Whole segments.
    Segments(RangeInclusive<u64>),
}

/// Damage behind which no good frame has been seen yet.
#[derive(Debug, Default)]
pub(crate) struct OpenDamage {
    damage: Vec<Damage>,
    gaps: Vec<Gap>,
    /// Where the segment or hole ends that was walked last.
    reached: Location,
}

impl OpenDamage {
    pub(crate) fn is_empty(&self) -> bool {
        self.damage.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.damage.len()
    }

    /// Learns from the header of the next segment how far the ones before it reached.
    pub(crate) fn reach_segment(&mut self, header: &SegmentHeader) {
        self.reached = header.end();
        let before = self.gaps.last_mut().map(|gap| &mut gap.hole);
        if let Some(hole) = before.filter(|hole| hole.kind == HoleKind::Segments) {
            hole.end = header.base.max(hole.start);
        }
    }

    /// Returns where the segments and holes that were met so far end.
    pub(crate) fn reached(&self) -> Location {
        self.reached
    }

    /// Learns where a hole ends.
    pub(crate) fn reach(&mut self, end: Location) {
        self.reached = self.reached.max(end);
    }

    /// Takes damage that is met where a position is expected.
    pub(crate) fn begin<F: DiskFile>(
        &mut self,
        damage: Damage,
        extent: Extent<'_, F>,
        expected: GlobalPosition,
    ) {
        self.damage.push(Damage { first_lost: Some(expected), first_good_after: None, ..damage });
        self.begin_gap(extent, expected);
    }

    /// As [`begin`](Self::begin), of damage that is told elsewhere.
    pub(crate) fn begin_gap<F: DiskFile>(
        &mut self,
        extent: Extent<'_, F>,
        expected: GlobalPosition,
    ) {
        let gap = self.gap(extent, expected);
        match self.gaps.last_mut() {
            Some(last) if last.hole.kind == gap.hole.kind && last.goes_on_in(&gap) => {
                last.hole.last_segment = gap.hole.last_segment;
                last.hole.start = last.hole.start.min(gap.hole.start);
                last.is_counted &= gap.is_counted;
            }
            _ => self.gaps.push(gap),
        }
    }

    fn gap<F: DiskFile>(&self, extent: Extent<'_, F>, expected: GlobalPosition) -> Gap {
        let is_counted = matches!(extent, Extent::BehindCounted(..));
        let (kind, segments, start, end) = match extent {
            Extent::Behind(segment, offset) | Extent::BehindCounted(segment, offset) => {
                let number = segment.header().number;
                let start = segment.location(offset / ALIGNMENT as u64 * ALIGNMENT as u64);
                (HoleKind::Part, number..=number, start, segment.header().end())
            }
            Extent::Segments(numbers) => (HoleKind::Segments, numbers, self.reached, self.reached),
        };
        let hole = Hole {
            kind,
            first_segment: *segments.start(),
            last_segment: *segments.end(),
            start,
            end,
            first_lost: expected,
            next: expected,
            repaired_at: Timestamp::MIN,
        };
        Gap { hole, is_counted, is_bounded: false }
    }

    /// Gives the damage and its gaps away, now that the first good position behind them is known and
    /// where that is; or that there is none, and a position is expected.
    pub(crate) fn close(
        &mut self,
        good: Option<(GlobalPosition, Location)>,
        expected: GlobalPosition,
        damage: &mut Vec<Damage>,
        gaps: &mut Vec<Gap>,
    ) {
        let first_good_after = good.map(|(position, _)| position);
        damage.extend(self.damage.drain(..).map(|one| {
            let is_lost = first_good_after.is_none_or(|good| Some(good) > one.first_lost);
            let first_lost = one.first_lost.filter(|_| is_lost);
            Damage { first_lost, first_good_after, ..one }
        }));
        let mut next = first_good_after.unwrap_or(expected);
        for gap in self.gaps.iter_mut().rev() {
            gap.is_bounded = good.is_some();
            gap.hole.next = next.max(gap.hole.first_lost);
            next = gap.hole.first_lost;
            if let Some((_, location)) = good
                && gap.hole.kind.is_part()
            {
                gap.hole.end = gap.hole.end.min(location);
            }
        }
        gaps.append(&mut self.gaps);
    }
}
