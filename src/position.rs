//! Where an event stands: its global position in the store and its version in its stream.
//!
//! Both count from 1 without gaps and are never reused (CONTRACT S3); 0 is the position before the
//! first event. They are types of their own so that one is never passed for the other.

#![forbid(unsafe_code)]

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

macro_rules! counted_from_one {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(u64);

        impl $name {
            /// 0: before the first event, or "there is none".
            pub const ZERO: Self = Self(0);
            /// 1: the first event.
            pub const FIRST: Self = Self(1);
            /// The largest number that can be represented.
            pub const MAX: Self = Self(u64::MAX);

            /// Wraps a number.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// Returns the number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// Returns the number `count` further on, stopping at the largest.
            #[must_use]
            pub const fn advanced_by(self, count: u64) -> Self {
                Self(self.0.saturating_add(count))
            }

            /// Returns the one after this, stopping at the largest.
            #[must_use]
            pub const fn next(self) -> Self {
                self.advanced_by(1)
            }

            /// Returns the one before this; the one before 0 is 0.
            #[must_use]
            pub const fn previous(self) -> Self {
                Self(self.0.saturating_sub(1))
            }

            /// Returns how many steps lead from `earlier` to this, 0 when it is not earlier.
            pub const fn distance_from(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            /// Reads what `Display` writes.
            fn from_str(text: &str) -> Result<Self, ParseIntError> {
                text.parse().map(Self)
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }
    };
}

counted_from_one! {
    /// The place of an event in the whole store: 1, 2, 3 ... in the order of their commits.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::GlobalPosition;
    ///
    /// let position = GlobalPosition::new(41);
    /// assert_eq!(position.next().get(), 42);
    /// assert_eq!(position.to_string().parse(), Ok(position));
    /// ```
    #[doc(alias = "global_position")]
    #[doc(alias = "Position")]
    GlobalPosition
}

counted_from_one! {
    /// The place of an event in its stream: 1, 2, 3 ...; for a whole stream, that of its last event.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::StreamVersion;
    ///
    /// assert_eq!(StreamVersion::ZERO.next(), StreamVersion::new(1));
    /// ```
    #[doc(alias = "aggregate_version")]
    #[doc(alias = "stream_position")]
    StreamVersion
}
