//! When event ids were made, as far as they tell: what says that a run can not hold an id.
//!
//! A UUID v7 opens with the time at which it was made. Runs cover intervals of the log, so the
//! times of the ids of one run lie close together, and a look-up of an id passes over most runs.

use crate::event::EventId;

const VERSION_7: usize = 7;

/// What an event id tells of when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdTime {
    /// A UUID v7 says it, in milliseconds since 1970.
    At(u64),
    /// Any other id says nothing.
    Unknown,
}

impl IdTime {
    pub(crate) fn of(id: EventId) -> Self {
        match id.as_uuid().get_version_num() {
            VERSION_7 => Self::At((id.as_uuid().as_u128() >> 80) as u64),
            _ => Self::Unknown,
        }
    }
}

/// The times of some event ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct IdTimes {
    /// The earliest and the latest time, if there is an id that tells one.
    pub(crate) range: Option<(u64, u64)>,
    /// Whether there is an id that tells none.
    pub(crate) has_unknown: bool,
}

impl IdTimes {
    pub(crate) fn add(&mut self, time: IdTime) {
        let own = match time {
            IdTime::At(at) => Self { range: Some((at, at)), has_unknown: false },
            IdTime::Unknown => Self { range: None, has_unknown: true },
        };
        *self = self.joined(own);
    }

    /// Returns the times of both.
    pub(crate) fn joined(self, other: Self) -> Self {
        let both = self.range.zip(other.range);
        let wider = both.map(|(one, other)| (one.0.min(other.0), one.1.max(other.1)));
        Self {
            range: wider.or(self.range).or(other.range),
            has_unknown: self.has_unknown || other.has_unknown,
        }
    }

    /// Tells whether an id of this time may be among them.
    pub(crate) fn may_hold(&self, time: IdTime) -> bool {
        match time {
            IdTime::At(at) => self.range.is_some_and(|(from, to)| (from..=to).contains(&at)),
            IdTime::Unknown => self.has_unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::{NoContext, Timestamp, Uuid};

    use super::*;

    const NOON: u64 = 1_700_000_000_123;

    fn times(of: &[IdTime]) -> IdTimes {
        let mut times = IdTimes::default();
        of.iter().for_each(|time| times.add(*time));
        times
    }

    #[test]
    fn a_uuid_v7_tells_its_milliseconds_and_no_other_id_does() {
        let seconds = NOON / 1000;
        let nanos = u32::try_from(NOON % 1000).unwrap() * 1_000_000;
        let v7 = Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, nanos));
        assert_eq!(IdTime::of(EventId::from_uuid(v7)), IdTime::At(NOON));
        for other in [Uuid::nil(), Uuid::max(), Uuid::new_v4(), Uuid::from_u128(NOON.into())] {
            assert_eq!(IdTime::of(EventId::from_uuid(other)), IdTime::Unknown);
        }
    }

    #[test]
    fn ids_that_are_among_them_are_never_ruled_out() {
        let (early, late) = (IdTime::At(5), IdTime::At(9));
        for given in [vec![early], vec![early, late], vec![late, IdTime::Unknown, early]] {
            let times = times(&given);
            assert!(given.iter().all(|time| times.may_hold(*time)));
            assert!(times.joined(IdTimes::default()) == times);
        }
    }

    #[test]
    fn ids_out_of_the_range_and_of_another_kind_are_ruled_out() {
        let known = times(&[IdTime::At(5), IdTime::At(9)]);
        let ruled_out = [IdTime::At(4), IdTime::At(10), IdTime::At(0), IdTime::Unknown];
        assert!(ruled_out.iter().all(|time| !known.may_hold(*time)));
        assert!(known.may_hold(IdTime::At(7)));
        let unknown = times(&[IdTime::Unknown]);
        assert!(unknown.may_hold(IdTime::Unknown) && !unknown.may_hold(IdTime::At(5)));
        let both = known.joined(unknown);
        assert!(both.may_hold(IdTime::Unknown) && both.may_hold(IdTime::At(5)));
        assert!(!both.may_hold(IdTime::At(4)));
    }

    #[test]
    fn two_ranges_join_to_the_one_over_both() {
        let joined = times(&[IdTime::At(3)]).joined(times(&[IdTime::At(8)]));
        assert_eq!(joined.range, Some((3, 8)));
    }
}
