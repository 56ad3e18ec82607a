//! Opens the segments of a log for a walk: each as it should be, or why it can not be walked.
//!
//! Looks at headers and numbers only (the cases A to D of `recovery`). Segments that a repair has given
//! up are not looked at.

use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;

use super::finding::Finding;
use super::route::Route;
use crate::error::{Damage, Error, Result};
use crate::format::{Hole, Location};
use crate::io::Disk;
use crate::segment::{self, Segment};

/// A segment that is to be walked, or why it can not be.
pub(crate) enum Opened<D: Disk> {
    Segment(Segment<D::File>),
    Unreadable(Damage, RangeInclusive<u64>),
    /// Segments that a repair has given up.
    Hole(Hole),
}

/// The segments of a log in the order of their numbers.
pub(crate) struct Opening<D: Disk> {
    pub(crate) opened: Vec<Opened<D>>,
    /// Last segments that can not be used and that held nothing.
    pub(crate) unusable_spares: Vec<u64>,
    pub(crate) notes: Vec<Finding>,
}

impl<D: Disk> Opening<D> {
    /// Opens every segment. Without a header that verifies nothing of a segment can be read.
    pub(crate) fn of(route: &Route<'_, D>) -> Result<Self> {
        let mut opening =
            Self { opened: Vec::new(), unusable_spares: Vec::new(), notes: Vec::new() };
        let numbers = segment::numbers(route.disk)?;
        let mut holes = route.holes.of_segments().peekable();
        let mut expected = 1;
        let last = numbers.last().copied().unwrap_or_default();
        for number in numbers {
            while let Some(hole) = holes.next_if(|hole| hole.first_segment <= number) {
                opening.reach(route, expected, hole.first_segment);
                opening.opened.push(Opened::Hole(*hole));
                expected = hole.last_segment + 1;
            }
            if number < expected {
                continue;
            }
            opening.reach(route, expected, number);
            expected = number + 1;
            opening.open(route, number, number == last)?;
        }
        for hole in holes {
            opening.reach(route, expected, hole.first_segment);
            opening.opened.push(Opened::Hole(*hole));
            expected = hole.last_segment + 1;
        }
        if opening.opened.is_empty() {
            let path = route.disk.path().to_owned();
            let nothing = unreadable(path, "there is no segment");
            opening.opened.push(Opened::Unreadable(nothing, 1..=1));
        }
        Ok(opening)
    }

    /// Notes the segments that are missing before the next one.
    fn reach(&mut self, route: &Route<'_, D>, expected: u64, next: u64) {
        if expected < next {
            let damage = missing(route.disk, expected..next);
            self.opened.push(Opened::Unreadable(damage, expected..=next - 1));
        }
    }

    fn open(&mut self, route: &Route<'_, D>, number: u64, is_last: bool) -> Result<()> {
        match route.open(number) {
            Ok(segment) => self.take(route, segment),
            Err(Error::Damage(damage)) if is_last && self.follows_unsealed()? => {
                let what = format!("{}; the segment held no event yet", damage.reason);
                self.notes.push(Finding::note(damage.file, damage.offset, what));
                self.unusable_spares.push(number);
            }
            Err(Error::Damage(damage)) => {
                self.opened.push(Opened::Unreadable(*damage, number..=number));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes a segment, if it belongs to this store and continues the log.
    fn take(&mut self, route: &Route<'_, D>, segment: Segment<D::File>) {
        let header = segment.header();
        let base = match self.opened.last() {
            Some(Opened::Segment(before)) => Some(before.header().end()),
            Some(Opened::Unreadable(..)) => None,
            Some(Opened::Hole(hole)) => Some(hole.end),
            None => Some(Location::default()),
        };
        let why = if header.store_id != route.store_id {
            "the segment is of another store"
        } else if base.is_some_and(|base| base != header.base) {
            "the segment does not continue the one before"
        } else {
            return self.opened.push(Opened::Segment(segment));
        };
        let (path, number) = (segment.path().clone(), header.number);
        self.opened.push(Opened::Unreadable(unreadable(path, why), number..=number));
    }

    fn follows_unsealed(&self) -> Result<bool> {
        match self.opened.last() {
            Some(Opened::Segment(before)) => Ok(!matches!(before.read_footer()?, Some(Ok(_)))),
            _ => Ok(false),
        }
    }
}

/// Returns the damage of segments that are missing, however many.
pub(crate) fn missing(disk: &impl Disk, numbers: Range<u64>) -> Damage {
    let path = disk.path().join(segment::name(numbers.start));
    let reason = match numbers.end - numbers.start {
        1 => "the segment is missing".to_owned(),
        count => format!("the segment is missing, and so are the {} after it", count - 1),
    };
    unreadable(path, &reason)
}

fn unreadable(file: PathBuf, reason: &str) -> Damage {
    let (first_lost, first_good_after) = (None, None);
    Damage { file, offset: 0, reason: reason.to_owned(), first_lost, first_good_after }
}
