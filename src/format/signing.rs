//! What the checksums of a segment are made with.

use super::Location;
use super::layout::SEGMENT_EVENTS_IN_ORDER;
use crate::bugs::{self, Bug};

/// Ties checksums to one place: bytes that were moved or come from elsewhere never verify. Says in which
/// order the bytes of an event are hashed, too.
///
/// Source: the "log signing" of TiKV's raft-engine, extended by the location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signing {
    salt: u64,
    order: HashOrder,
}

/// In which order the bytes of an event are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HashOrder {
    /// In that of the event, in one step.
    InOrder,
    /// The body before the header: the order of segments without the feature flag.
    BodyFirst,
}

impl HashOrder {
    pub(crate) const ALL: [Self; 2] = [Self::InOrder, Self::BodyFirst];

    /// Returns the feature flags of a segment whose events are hashed in this order.
    pub(super) fn flags(self) -> u32 {
        match self {
            Self::InOrder => SEGMENT_EVENTS_IN_ORDER,
            Self::BodyFirst => 0,
        }
    }

    fn of_flags(flags: u32) -> Self {
        match flags & SEGMENT_EVENTS_IN_ORDER {
            0 => Self::BodyFirst,
            _ => Self::InOrder,
        }
    }
}

impl Signing {
    /// Returns what a new segment is signed with.
    pub(crate) const fn new(salt: u64) -> Self {
        Self { salt, order: HashOrder::InOrder }
    }

    /// Returns what a segment with these feature flags is signed with.
    pub(super) fn of_segment(salt: u64, flags: u32) -> Self {
        Self { salt, order: HashOrder::of_flags(flags) }
    }

    #[must_use]
    pub(crate) fn with_order(self, order: HashOrder) -> Self {
        Self { order, ..self }
    }

    /// Returns what gives a location this signature, and with it every other location the signature
    /// of the salt that was lost: only what a salt folds to counts.
    pub(super) fn of_signature(signature: u32, location: Location) -> Self {
        Self::new((signature ^ Self::new(0).signature(location)).into())
    }

    pub(super) fn salt(self) -> u64 {
        self.salt
    }

    #[inline]
    pub(super) fn order(self) -> HashOrder {
        self.order
    }

    /// Returns what a checksum at `location` is combined with. Within one segment no two locations
    /// have the same signature: locations that differ in their lower half only differ in it.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "both halves are folded into one")]
    pub(super) fn signature(self, location: Location) -> u32 {
        if bugs::on(Bug::Unsigned) {
            return 0;
        }
        let folded = self.salt ^ location.get();
        (folded >> 32) as u32 ^ folded as u32
    }
}
