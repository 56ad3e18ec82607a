//! Every bound on what a store takes, with its unit and its reason.
//!
//! The constants are bounds of the format or of the contract and hold for every store; [`Limits`]
//! lowers the larger ones for one store. All are checked before anything is written (CONTRACT A8).

#![forbid(unsafe_code)]

/// Bytes of one payload: what a reader may have to hold for one event.
pub const PAYLOAD_BYTES_MAX: u32 = 16 << 20;
/// Events of one commit: the event count of a frame is 16 bits wide.
pub const COMMIT_EVENTS_MAX: u32 = 65_535;
/// Bytes of one commit as stored, framing included: what recovery may have to hold at once.
pub const COMMIT_BYTES_MAX: u32 = 64 << 20;
/// Bytes of the encoded metadata map of one event: it is decoded as a whole.
pub const METADATA_BYTES_MAX: u32 = 64 << 10;
/// Tags of one event: each is a term of the index.
pub const TAGS_MAX: u32 = 64;
/// Bytes of one tag.
pub const TAG_BYTES_MAX: u32 = 255;
/// Bytes of an aggregate id, tenant id or actor id in text form: its length is 8 bits wide.
pub const ID_BYTES_MAX: u32 = 255;
/// Bytes of an aggregate type.
pub const AGGREGATE_TYPE_BYTES_MAX: u32 = 128;
/// Bytes of an event type: its length is 8 bits wide.
pub const EVENT_TYPE_BYTES_MAX: u32 = 255;

/// Bytes of the content of one record beside the log: it is written, read and decoded as a whole.
pub const RECORD_BYTES_MAX: u32 = 16 << 20;
/// Bytes of the name of a record: room for the name of a stream and more.
pub const RECORD_NAME_BYTES_MAX: u32 = 512;

/// Events that a projection sets aside before it stops: they are kept with its state, and one that fails at
/// so many is not at fault for single events.
pub const DEAD_LETTERS_MAX: usize = 256;
/// Bytes that are kept of what a handler said of an event that was set aside.
pub const DEAD_LETTER_ERROR_BYTES_MAX: usize = 1024;

/// Bytes of the first segment of a store, so that a store of ten events stays small.
pub(crate) const FIRST_SEGMENT_BYTES: u64 = 256 << 10;
/// Bytes up to which each segment of a store is twice as large as the one before, so that a store has few of
/// them before it has a size that a share of it can be taken of.
pub(crate) const DOUBLED_SEGMENT_BYTES_MAX: u64 = 4 << 20;
/// Which share of the log a segment behind those is: what is allocated ahead of the events stays small
/// beside them.
pub(crate) const SEGMENT_SHARE_OF_LOG: u64 = 32;
/// Bytes of the smallest segment size that can be configured.
pub const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Bytes of the largest segment size that can be configured: an offset is 32 bits wide.
pub const SEGMENT_BYTES_MAX: u64 = 4 << 30;
/// Bytes of a segment when nothing else is configured.
pub const SEGMENT_BYTES_DEFAULT: u64 = 256 << 20;

/// Bytes that wait for one sync before further appends are held back: bounds, with one commit more,
/// the memory of the commit queue and what a crash can leave unacknowledged behind the durable end.
pub(crate) const GROUP_BYTES_MAX: usize = 16 << 20;

/// As [`GROUP_BYTES_MAX`], for commits whose callers do not wait: a group is large enough to be worth its
/// sync, and there are always two.
pub(crate) const UNATTENDED_BYTES_MAX: usize = 2 << 20;

/// The bounds of one store, each at most the constant of this module that it starts from.
///
/// A larger value than the constant counts as the constant.
///
/// # Examples
///
/// ```
/// use annals::limits::{Limits, PAYLOAD_BYTES_MAX};
///
/// let limits = Limits { payload_bytes_max: 4096, ..Limits::default() };
/// assert!(limits.payload_bytes_max < PAYLOAD_BYTES_MAX);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one payload. Default and upper bound: [`PAYLOAD_BYTES_MAX`].
    pub payload_bytes_max: u32,
    /// Events of one commit. Default and upper bound: [`COMMIT_EVENTS_MAX`].
    pub commit_events_max: u32,
    /// Bytes of one commit as stored. Default and upper bound: [`COMMIT_BYTES_MAX`].
    pub commit_bytes_max: u32,
    /// Bytes of the encoded metadata of one event. Default and upper bound:
    /// [`METADATA_BYTES_MAX`].
    pub metadata_bytes_max: u32,
    /// Tags of one event. Default and upper bound: [`TAGS_MAX`].
    pub tags_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            commit_events_max: COMMIT_EVENTS_MAX,
            commit_bytes_max: COMMIT_BYTES_MAX,
            metadata_bytes_max: METADATA_BYTES_MAX,
            tags_max: TAGS_MAX,
        }
    }
}

impl Limits {
    /// Returns these limits with none above its constant.
    pub(crate) fn capped(self) -> Self {
        let most = Self::default();
        Self {
            payload_bytes_max: self.payload_bytes_max.min(most.payload_bytes_max),
            commit_events_max: self.commit_events_max.min(most.commit_events_max),
            commit_bytes_max: self.commit_bytes_max.min(most.commit_bytes_max),
            metadata_bytes_max: self.metadata_bytes_max.min(most.metadata_bytes_max),
            tags_max: self.tags_max.min(most.tags_max),
        }
    }
}
