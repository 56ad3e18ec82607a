//! Every offset, width, magic and version on disk.
//!
//! The tables here are the format: the code reads and writes through them, `docs/format.md` is
//! printed from them by a test, and golden bytes pin them. All integers are little-endian; all
//! structures start at a multiple of eight bytes. Bytes that no field names are zero.

#[cfg(test)]
use crate::field::Table;
use crate::field::table;

pub(crate) use crate::event::layout::EVENT_HEADER;

/// The version of the format that this code writes, and the newest it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Everything in the log starts at a multiple of this.
pub(crate) const ALIGNMENT: usize = 8;

/// Opens the file `STORE`.
pub(crate) const STORE_MAGIC: [u8; 8] = *b"annalsST";
/// Opens the file `END`.
pub(crate) const END_MAGIC: [u8; 8] = *b"annalsEN";
/// Opens a segment.
pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"annalsSG";
/// Opens the footer of a sealed segment.
pub(crate) const FOOTER_MAGIC: [u8; 8] = *b"annalsFT";

/// Bytes of the file `STORE` in any version: a longer one is cut short when it is read, and refused.
pub(crate) const STORE_BYTES_MAX: usize = 4096;

/// Bytes of the file `END` in any version: a longer one is refused.
pub(crate) const END_BYTES_MAX: usize = 4096;

table! {
    /// The file `STORE`: the identity of a store, written once.
    STORE, "Store file", 128;
    STORE_FILE_MAGIC: 0, 8, "magic", "`annalsST`";
    STORE_VERSION: 8, 4, "format version", "1; a newer one is refused";
    STORE_FLAGS: 12, 4, "feature flags", "0; an unknown flag is refused";
    STORE_ID: 16, 16, "store id", "a random UUID that every segment repeats";
    STORE_HASH_KEY: 32, 16, "hash key", "keys the hash of index terms";
    STORE_CREATED_AT: 48, 8, "created at", "microseconds since 1970, signed";
    STORE_RESERVED: 56, 68, "reserved", "zero";
    STORE_CRC: 124, 4, "crc", "CRC-32 of the bytes before it";
}

table! {
    /// The file `END`: how far the log is known to be durable, for when its end is lost.
    END, "End file", 128;
    END_FILE_MAGIC: 0, 8, "magic", "`annalsEN`";
    END_VERSION: 8, 4, "format version", "1; a newer one is not used";
    END_FLAGS: 12, 4, "feature flags", "0; a file with an unknown flag is not used";
    END_STORE_ID: 16, 16, "store id", "that of the file `STORE`";
    END_NEXT_POSITION: 32, 8, "next position", "all global positions before it are durable or lost; at least 1";
    END_END: 40, 8, "end", "the location after the frame of the last event; 0 without one";
    END_LAST_FRAME: 48, 8, "last frame", "the location of that frame; 0 without one";
    END_RECORDED_AT: 56, 8, "recorded at", "its commit time; microseconds since 1970, signed; 0 without one";
    END_EPOCH: 64, 4, "epoch", "its epoch; 0 without one";
    END_LAST_FRAME_CRC: 68, 4, "last frame crc", "its crc field; 0 without one";
    END_RESERVED: 72, 52, "reserved", "zero";
    END_CRC: 124, 4, "crc", "CRC-32 of the bytes before it";
}

table! {
    /// The first block of a segment, written before the segment gets its name.
    SEGMENT_HEADER, "Segment header", 4096;
    SEGMENT_FILE_MAGIC: 0, 8, "magic", "`annalsSG`";
    SEGMENT_VERSION: 8, 4, "format version", "1; a newer one is refused";
    SEGMENT_FLAGS: 12, 4, "feature flags", "bit 0: events are hashed in order; an unknown flag is refused";
    SEGMENT_STORE_ID: 16, 16, "store id", "that of the file `STORE`";
    SEGMENT_NUMBER: 32, 8, "segment number", "1, 2, 3 ... without gaps; also in the file's name";
    SEGMENT_SALT: 40, 8, "salt", "random; part of every signature of this segment";
    SEGMENT_BASE: 48, 8, "base", "the location of the segment's first byte";
    SEGMENT_SIZE: 56, 8, "size", "bytes of the segment, header and footer included";
    SEGMENT_RESERVED: 64, 4028, "reserved", "zero";
    SEGMENT_CRC: 4092, 4, "crc", "CRC-32 of the bytes before it";
}

/// Feature flag of a segment: its events are hashed in the order of their bytes, not the body before the
/// header.
pub(crate) const SEGMENT_EVENTS_IN_ORDER: u32 = 1;

table! {
    /// The last bytes of a sealed segment.
    SEGMENT_FOOTER, "Segment footer", 64;
    FOOTER_FILE_MAGIC: 0, 8, "magic", "`annalsFT`";
    FOOTER_NUMBER: 8, 8, "segment number", "that of the header";
    FOOTER_EVENT_COUNT: 16, 8, "event count", "events of the segment";
    FOOTER_FIRST_POSITION: 24, 8, "first position", "global position of its first event, 0 without events";
    FOOTER_END: 32, 8, "end", "offset behind the last frame";
    FOOTER_RECORDED_AT: 40, 8, "recorded at", "commit time of the last frame";
    FOOTER_FRAME_COUNT: 48, 4, "frame count", "frames of the segment";
    FOOTER_FRAMES_CRC: 52, 4, "frames crc", "CRC-32 of the crc fields of all frames, in order";
    FOOTER_EPOCH: 56, 4, "epoch", "that of the last frame";
    FOOTER_CRC: 60, 4, "crc", "CRC-32 of the bytes before it, signed with the footer's location";
}

table! {
    /// Opens every frame: one commit, or a watermark without events.
    FRAME_HEADER, "Frame header", 40;
    FRAME_CRC: 0, 4, "crc", "CRC-32 of the rest of the header and of the crc field of every event, signed";
    FRAME_LENGTH: 4, 4, "length", "bytes of the frame, a multiple of 8; never 0";
    FRAME_FIRST_POSITION: 8, 8, "first position", "global position of the first event; of the next one in a watermark";
    FRAME_DURABLE_UPTO: 16, 8, "durable upto", "the location up to which the log was durable when this was written";
    FRAME_RECORDED_AT: 24, 8, "recorded at", "commit time in microseconds since 1970, signed; never decreases";
    FRAME_EPOCH: 32, 4, "epoch", "grows with every opening for writing; never decreases";
    FRAME_EVENT_COUNT: 36, 2, "event count", "0 in a watermark";
    FRAME_FLAGS: 38, 2, "flags", "bit 0: the store was closed after this frame; the rest zero";
}

table! {
    /// The first page of a run of the index.
    RUN_HEADER, "Run header", 4096;
    RUN_FILE_MAGIC: 0, 8, "magic", "`annalsRN`";
    RUN_VERSION: 8, 4, "format version", "1; a run of a newer one is made anew";
    RUN_FLAGS: 12, 4, "feature flags", "0; a run with an unknown flag is made anew";
    RUN_STORE_ID: 16, 16, "store id", "that of the file `STORE`";
    RUN_FIRST_POSITION: 32, 8, "first position", "global position of the first event that is indexed";
    RUN_LAST_POSITION: 40, 8, "last position", "global position of the last one";
    RUN_BASE: 48, 8, "base", "the location from which locations are counted";
    RUN_END: 56, 8, "end", "the location behind the frame of the last event";
    RUN_END_SEGMENT: 64, 8, "segment number", "the segment of that frame";
    RUN_END_EPOCH: 72, 4, "epoch", "the epoch of that frame";
    RUN_END_FRAME_COUNT: 76, 4, "frame count", "frames of its segment up to it";
    RUN_END_RECORDED_AT: 80, 8, "recorded at", "its commit time";
    RUN_END_EVENT_COUNT: 88, 8, "event count", "events of its segment up to it";
    RUN_END_FIRST_POSITION: 96, 8, "segment's first position", "global position of the segment's first event";
    RUN_END_FRAMES_CRC: 104, 4, "frames crc", "CRC-32 of the crc fields of the segment's frames up to it";
    RUN_LAST_FRAME_CRC: 108, 4, "last frame crc", "the crc field of that frame";
    RUN_LAST_FRAME: 112, 8, "last frame", "its location";
    RUN_KEY_COUNT: 120, 8, "key count", "terms that are indexed";
    RUN_POSTING_COUNT: 128, 8, "posting count", "postings of all of them";
    RUN_FILTER_BLOCK_COUNT: 136, 8, "filter blocks", "blocks of 64 bytes";
    RUN_BUCKET_COUNT: 144, 8, "buckets", "ranges of hashes; a full one runs over into the next";
    RUN_LOCATIONS_OFFSET: 152, 8, "locations offset", "where the locations stand in the file";
    RUN_FILTER_OFFSET: 160, 8, "filter offset", "where the filter stands";
    RUN_BUCKETS_OFFSET: 168, 8, "buckets offset", "where the buckets stand";
    RUN_POSTINGS_OFFSET: 176, 8, "postings offset", "where the postings stand";
    RUN_CHECKSUMS_OFFSET: 184, 8, "checksums offset", "where the checksums of the pages before stand, 4 bytes each";
    RUN_LENGTH: 192, 8, "length", "bytes of the file";
    RUN_LOCATION_WIDTH: 200, 4, "location width", "bytes of a location: 4 or 8";
    RUN_CHECKSUMS_CRC: 204, 4, "checksums crc", "CRC-32 of the checksums";
    RUN_ID_TIME_FIRST: 208, 8, "first id time", "the earliest time in a UUID v7 event id, in milliseconds since 1970";
    RUN_ID_TIME_LAST: 216, 8, "last id time", "the latest one";
    RUN_ID_KINDS: 224, 4, "id kinds", "bit 0: there are UUID v7 event ids, else both times are 0; bit 1: there are others; never 0";
    RUN_RESERVED: 228, 3864, "reserved", "zero";
    RUN_CRC: 4092, 4, "crc", "CRC-32 of the bytes before it";
}

table! {
    /// Opens a bucket of 1,024 bytes; up to 63 entries of a hash and a reference follow, by hash.
    BUCKET_HEADER, "Bucket header", 16;
    BUCKET_ENTRY_COUNT: 0, 2, "entry count", "0 to 63";
    BUCKET_FLAGS: 2, 2, "flags", "bit 0: the entries go on in the next bucket";
    BUCKET_RESERVED: 4, 12, "reserved", "zero";
}

table! {
    /// Opens a block of 256 bytes of a long list of postings; distances to the next follow, as varints.
    POSTING_BLOCK, "Posting block header", 10;
    BLOCK_FIRST: 0, 4, "first", "the first posting, counted from the run's first position";
    BLOCK_RANK: 4, 4, "rank", "postings of the list before it";
    BLOCK_COUNT: 8, 2, "count", "postings of the block";
}

table! {
    /// Opens the file `LOST`: the parts of the log that a repair has given up.
    LOST_HEADER, "Lost file", 40;
    LOST_FILE_MAGIC: 0, 8, "magic", "`annalsLS`";
    LOST_VERSION: 8, 4, "format version", "1; a newer one is refused";
    LOST_FLAGS: 12, 4, "feature flags", "bit 0: there is a hole of kind 3; an unknown flag is refused";
    LOST_STORE_ID: 16, 16, "store id", "that of the file `STORE`";
    LOST_HOLE_COUNT: 32, 8, "hole count", "1 to 65,536";
}

table! {
    /// One hole of the file `LOST`.
    HOLE, "Hole", 64;
    HOLE_KIND: 0, 4, "kind", "1: bytes of one segment; 2: whole segments; 3: bytes of one segment after which events of a broken frame follow";
    HOLE_RESERVED: 4, 4, "reserved", "zero";
    HOLE_FIRST_SEGMENT: 8, 8, "first segment", "number of the segment";
    HOLE_LAST_SEGMENT: 16, 8, "last segment", "number of the last one, the same in a hole of kind 1 or 3";
    HOLE_START: 24, 8, "start", "the location where the hole begins";
    HOLE_END: 32, 8, "end", "the location behind it";
    HOLE_FIRST_LOST: 40, 8, "first lost", "the first global position that is lost with it";
    HOLE_NEXT: 48, 8, "next", "the position behind the lost ones; the same as first lost when none is lost";
    HOLE_REPAIRED_AT: 56, 8, "repaired at", "when the repair gave it up; microseconds since 1970, signed";
}

table! {
    /// Opens a record beside the log; its name, its content and a checksum follow.
    RECORD_HEADER, "Record header", 48;
    RECORD_FILE_MAGIC: 0, 8, "magic", "`annalsRC`";
    RECORD_VERSION: 8, 4, "format version", "1; a newer one is not used";
    RECORD_FLAGS: 12, 4, "feature flags", "0; a record with an unknown flag is not used";
    RECORD_STORE_ID: 16, 16, "store id", "that of the file `STORE`";
    RECORD_KIND: 32, 4, "kind", "1 snapshot, 2 checkpoint, 3 projection, 4 rebuild";
    RECORD_NAME_LENGTH: 36, 4, "name length", "bytes of the name: 1 to 512";
    RECORD_CONTENT_LENGTH: 40, 8, "content length", "bytes of the content: up to 16 MiB";
}

/// Opens a record.
pub(crate) const RECORD_MAGIC: [u8; 8] = *b"annalsRC";

/// Opens the file `LOST`.
pub(crate) const LOST_MAGIC: [u8; 8] = *b"annalsLS";

/// Opens a run of the index.
pub(crate) const RUN_MAGIC: [u8; 8] = *b"annalsRN";

/// Every table, in the order of the documentation.
#[cfg(test)]
pub(crate) const TABLES: [&Table; 12] = [
    &STORE,
    &END,
    &SEGMENT_HEADER,
    &SEGMENT_FOOTER,
    &FRAME_HEADER,
    &EVENT_HEADER,
    &RUN_HEADER,
    &BUCKET_HEADER,
    &POSTING_BLOCK,
    &LOST_HEADER,
    &HOLE,
    &RECORD_HEADER,
];

/// Frame flag: the store was closed after this frame.
pub(crate) const FRAME_CLOSED: u16 = 1;

/// Feature flag of the file `LOST`: a hole ends inside a frame.
pub(crate) const LOST_PARTS_OF_FRAMES: u32 = 1;

/// Bytes of a segment that are not for frames.
pub(crate) const SEGMENT_OVERHEAD: u64 = (SEGMENT_HEADER.size + SEGMENT_FOOTER.size) as u64;

const _: () = assert!(STORE.size <= STORE_BYTES_MAX);
const _: () = assert!(END.size <= END_BYTES_MAX);
const _: () = assert!(SEGMENT_HEADER.size.is_multiple_of(ALIGNMENT));
const _: () = assert!(SEGMENT_FOOTER.size.is_multiple_of(ALIGNMENT));
const _: () = assert!(FRAME_HEADER.size.is_multiple_of(ALIGNMENT));
const _: () = assert!(EVENT_HEADER.size.is_multiple_of(ALIGNMENT));
