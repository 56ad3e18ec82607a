//! How the stores of one history are opened: small, so that a few commits meet every boundary.

use annals::Clock;
use annals::testing::simulation;

use super::chance::Chance;

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) segment_bytes: u64,
    pub(crate) memtable_events: usize,
    pub(crate) clock: Clock,
    /// The most bytes that a call moves.
    pub(crate) bytes_per_call_max: usize,
    /// How often no cache can be dropped because another process has the files mapped: `u32::MAX` stands
    /// for always.
    pub(crate) evictions_in_vain: u32,
}

impl Settings {
    pub(crate) fn drawn(chance: &mut Chance, clock: Clock) -> Self {
        Self {
            segment_bytes: chance.pick(&[8192, 12_288, 12_288, 16_384, 32_768]),
            memtable_events: chance.pick(&[2, 3, 5, 8, 1000]),
            clock,
            bytes_per_call_max: match chance.once_in(8) {
                true => 50 + chance.below(2000),
                false => usize::MAX,
            },
            evictions_in_vain: match chance.once_in(8) {
                true => chance.pick(&[1, 2, 3, 4, u32::MAX, u32::MAX]),
                false => 0,
            },
        }
    }

    /// Returns the smallest there are: three events are more than one memtable, two large commits more
    /// than one segment.
    pub(crate) fn least(clock: Clock) -> Self {
        Self {
            segment_bytes: 8192,
            memtable_events: 2,
            clock,
            bytes_per_call_max: usize::MAX,
            evictions_in_vain: 0,
        }
    }

    pub(crate) fn of_store(&self) -> simulation::Settings {
        simulation::Settings {
            segment_bytes: self.segment_bytes,
            memtable_events: self.memtable_events,
            clock: self.clock.clone(),
        }
    }

    /// Makes a disk behave as the machine of this history does.
    pub(crate) fn apply(&self, disk: &simulation::SimulatedDisk) {
        disk.limit_bytes_per_call(self.bytes_per_call_max);
        disk.hold_cache(self.evictions_in_vain);
    }
}
