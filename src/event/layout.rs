//! How an event stands in bytes: its header, and which optional parts follow.
//!
//! The tables are a part of the format: `docs/format.md` is printed from them, with those of `format`.

use crate::field::table;

table! {
    /// Opens every event of a frame.
    EVENT_HEADER, "Event header", 64;
    EVENT_CRC: 0, 4, "crc", "CRC-32 of the event from byte 4 on, signed";
    EVENT_LENGTH: 4, 4, "length", "bytes of the event without padding";
    EVENT_STREAM_VERSION: 8, 8, "stream version", "1, 2, 3 ... in its stream";
    EVENT_GLOBAL_POSITION: 16, 8, "global position", "that of its frame's first event and its index";
    EVENT_RECORDED_AT: 24, 8, "recorded at", "as in its frame";
    EVENT_FRAME_DISTANCE: 32, 4, "frame distance", "bytes back to the frame header";
    EVENT_INDEX: 36, 2, "index", "place in the frame, from 0";
    EVENT_FLAGS: 38, 2, "flags", "which optional parts follow; unknown ones are refused";
    EVENT_AGGREGATE_TYPE_LENGTH: 40, 1, "aggregate type length", "1 to 128";
    EVENT_AGGREGATE_ID_LENGTH: 41, 1, "aggregate id length", "1 to 255; 16 for a UUID";
    EVENT_TYPE_LENGTH: 42, 1, "event type length", "1 to 255";
    EVENT_CONTENT_TYPE: 43, 1, "content type", "0 bytes, 1 text, 2 JSON, 3 bincode";
    EVENT_PAYLOAD_LENGTH: 44, 4, "payload length", "bytes of the payload";
    EVENT_ID: 48, 16, "event id", "a UUID";
}

/// A part of an event that is there when its flag is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) bit: u16,
    #[cfg(test)]
    pub(crate) part: &'static str,
}

macro_rules! flags {
    ($($flag:ident: $bit:literal, $part:literal;)*) => {
        $(pub(crate) const $flag: Flag = Flag {
            bit: 1 << $bit,
            #[cfg(test)]
            part: $part,
        };)*
        /// All flags that this version knows.
        pub(crate) const KNOWN_EVENT_FLAGS: u16 = 0 $(| 1 << $bit)*;
        /// Every flag, in the order of the documentation.
        #[cfg(test)]
        pub(crate) const EVENT_FLAG_LIST: &[Flag] = &[$($flag),*];
    };
}

flags! {
    HAS_OCCURRED_AT: 0, "occurred at: 8 bytes, microseconds since 1970, signed; without it the commit time";
    HAS_EVENT_VERSION: 1, "event version: 4 bytes; without it 1";
    HAS_CORRELATION_ID: 2, "correlation id: 16 bytes";
    HAS_CAUSATION_ID: 3, "causation id: 16 bytes";
    AGGREGATE_ID_IS_UUID: 4, "(no part) the aggregate id is the 16 bytes of a UUID, not text";
    HAS_TENANT: 5, "tenant id: a length of 1 byte, then text";
    TENANT_IS_UUID: 6, "(no part) the tenant id is the 16 bytes of a UUID, without a length";
    HAS_ACTOR: 7, "actor id: a length of 1 byte, then text";
    ACTOR_IS_UUID: 8, "(no part) the actor id is the 16 bytes of a UUID, without a length";
    HAS_TAGS: 9, "tags: a length of 2 bytes, then the tags with a line feed between them";
    HAS_METADATA: 10, "metadata: a length of 4 bytes, then a map of text to text in bincode 2, standard configuration";
}
