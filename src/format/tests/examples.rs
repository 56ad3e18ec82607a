//! The worked examples of `docs/format.md`, byte for byte.
//!
//! Fixed values are encoded and held to the dump in that file; the bytes of the dump are decoded and
//! held to the values. So neither the text nor the code can drift, not even together.

use std::fmt::Write;

use bytes::Bytes;
use uuid::Uuid;

use super::documentation::{hold_to_printed, printed};
use super::material::{full_event, recorded, uuid_stream};
use crate::event::layout::EVENT_HEADER;
use crate::event::{EventId, NewEvent};
use crate::field::Table;
use crate::format::layout::{
    BUCKET_HEADER, END, FRAME_HEADER, HOLE, LOST_HEADER, POSTING_BLOCK, RECORD_HEADER, RUN_CRC,
    RUN_HEADER, RUN_ID_KINDS, RUN_ID_TIME_FIRST, RUN_ID_TIME_LAST, SEGMENT_FOOTER, SEGMENT_HEADER,
    STORE,
};
use crate::format::{
    BUCKET_BYTES, BlockBuilder, Bucket, EndFile, EventPlace, Fault, Footer, Frame, FrameKind, Hole,
    HoleKind, IdTimes, Location, POSTING_BLOCK_BYTES, PackedFrame, RUN_PAGE_BYTES, RecordFile,
    Reference, Resume, RunHeader, SEGMENT_HEADER_BYTES, SegmentHeader, Signing, Stamp, StoreFile,
    decode_block, decode_lost, encode_bucket, encode_lost,
};
use crate::position::{GlobalPosition, StreamVersion};
use crate::record::RecordKind;
use crate::stream::StreamId;
use crate::timestamp::Timestamp;

const STORE_ID: Uuid = Uuid::from_u128(0x6d0e_7c1a_5b1f_4c8e_9a57_3f2b_8d41_c660);
const CREATED_AT: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const RECORDED_AT: Timestamp = Timestamp::from_micros(1_700_000_001_000_000);

const SEGMENT: SegmentHeader = SegmentHeader {
    store_id: STORE_ID,
    number: 1,
    signing: Signing::new(0x0123_4567_89ab_cdef),
    base: Location::new(0),
    size: 65_536,
};

const COMMIT_AT: Location = Location::new(SEGMENT_HEADER_BYTES as u64);

fn store_file() -> StoreFile {
    let hash_key = *b"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f";
    StoreFile { store_id: STORE_ID, hash_key, created_at: CREATED_AT }
}

/// A first event with nothing optional, and one with everything.
fn events() -> [(StreamId, NewEvent); 2] {
    let id = EventId::from_uuid(Uuid::from_u128(0x018b_cfe5_6800_7000_8000_0000_0000_0001));
    let plain = NewEvent::new("Created", "tea").id(id);
    [(StreamId::new("Task", "task-1").unwrap(), plain), (uuid_stream(), full_event())]
}

fn commit() -> PackedFrame {
    let mut frame = PackedFrame::new();
    for (stream, event) in events() {
        frame.push(&stream, &event).unwrap();
    }
    frame.place(GlobalPosition::FIRST, [StreamVersion::FIRST, StreamVersion::new(7)]).unwrap();
    frame.stamp(&stamp(COMMIT_AT)).unwrap();
    frame
}

/// The close mark right behind the commit, written when the commit was known to be durable.
fn close_mark() -> (Location, PackedFrame) {
    let location = COMMIT_AT.plus(commit().length() as u64);
    let mut frame = PackedFrame::watermark(FrameKind::Closed, GlobalPosition::new(3));
    frame.stamp(&stamp(location)).unwrap();
    (location, frame)
}

fn stamp(location: Location) -> Stamp {
    let durable_upto = location;
    Stamp { signing: SEGMENT.signing, location, durable_upto, recorded_at: RECORDED_AT, epoch: 1 }
}

fn footer() -> Footer {
    let (location, mark) = close_mark();
    let crcs = [commit().as_bytes()[..4].to_vec(), mark.as_bytes()[..4].to_vec()].concat();
    Footer {
        event_count: 2,
        first_position: GlobalPosition::FIRST,
        end: location.get() + mark.length() as u64,
        recorded_at: RECORDED_AT,
        frame_count: 2,
        frames_crc: crc32fast::hash(&crcs),
        epoch: 1,
    }
}

#[test]
fn the_store_file_is_as_published() {
    let mut dump = Dump::new(store_file().encode());
    dump.fields(&STORE);
    let published = dump.hold_to_published("store file example");
    assert_eq!(StoreFile::decode(&published), Ok(store_file()));
}

/// What is known of the log that ends with the commit.
fn end_file() -> EndFile {
    let commit = commit();
    let crc = commit.as_bytes()[..4].try_into().unwrap();
    EndFile {
        store_id: STORE_ID,
        next_position: GlobalPosition::new(3),
        end: COMMIT_AT.plus(commit.length() as u64),
        last_frame: COMMIT_AT,
        last_frame_crc: u32::from_le_bytes(crc),
        epoch: 1,
        recorded_at: RECORDED_AT,
    }
}

#[test]
fn the_end_file_is_as_published() {
    let mut dump = Dump::new(end_file().encode().to_vec());
    dump.fields(&END);
    let published = dump.hold_to_published("end file example");
    assert_eq!(EndFile::decode(&published, STORE_ID), Ok(end_file()));
}

#[test]
fn the_segment_header_is_as_published() {
    let mut dump = Dump::new(SEGMENT.encode());
    dump.fields(&SEGMENT_HEADER);
    let published = dump.hold_to_published("segment header example");
    assert_eq!(SegmentHeader::decode(&published), Ok(SEGMENT));
}

#[test]
fn the_segment_footer_is_as_published() {
    let mut dump = Dump::new(footer().encode(&SEGMENT));
    dump.fields(&SEGMENT_FOOTER);
    let published = dump.hold_to_published("segment footer example");
    assert_eq!(Footer::decode(&published, &SEGMENT), Ok(footer()));
}

/// A commit of two events in the first segment, and a segment that is missing with 40 events.
fn holes() -> [Hole; 2] {
    let repaired_at = Timestamp::from_micros(1_700_000_002_000_000);
    let part = Hole {
        kind: HoleKind::Part,
        first_segment: 1,
        last_segment: 1,
        start: Location::new(4424),
        end: Location::new(4752),
        first_lost: GlobalPosition::new(3),
        next: GlobalPosition::new(5),
        repaired_at,
    };
    let whole = Hole {
        kind: HoleKind::Segments,
        first_segment: 2,
        last_segment: 2,
        start: Location::new(65_536),
        end: Location::new(196_608),
        first_lost: GlobalPosition::new(9),
        next: GlobalPosition::new(49),
        repaired_at,
    };
    [part, whole]
}

#[test]
fn the_list_of_what_is_lost_is_as_published() {
    let mut dump = Dump::new(encode_lost(STORE_ID, &holes()));
    dump.fields(&LOST_HEADER);
    dump.fields(&HOLE);
    dump.fields(&HOLE);
    dump.row(4, "crc");
    let published = dump.hold_to_published("lost file example");
    assert_eq!(decode_lost(&published, STORE_ID), Ok(holes().to_vec()));
}

#[test]
fn a_record_is_as_published() {
    let (kind, name, content) = (RecordKind::Checkpoint, "mailer", b"seventeen");
    let mut dump = Dump::new(RecordFile::encode(STORE_ID, kind, name, content));
    dump.fields(&RECORD_HEADER);
    dump.row(6, "name");
    dump.row(9, "content");
    dump.row(4, "crc");
    let published = Bytes::from(dump.hold_to_published("record example"));
    let content = Bytes::from_static(content);
    let record = RecordFile { store_id: STORE_ID, kind, name: name.to_owned(), content };
    assert_eq!(RecordFile::decode(&published), Ok(record));
}

#[test]
fn a_commit_is_as_published() {
    let parts: [&[(&str, usize)]; 2] = [
        &[("aggregate type", 4), ("aggregate id", 6), ("event type", 7), ("payload", 3)],
        &[
            ("occurred at", 8),
            ("event version", 4),
            ("correlation id", 16),
            ("causation id", 16),
            ("aggregate type", 12),
            ("aggregate id", 16),
            ("event type", 16),
            ("tenant id: its length", 1),
            ("tenant id", 6),
            ("actor id", 16),
            ("tags: their length", 2),
            ("tags", 15),
            ("metadata: its length", 4),
            ("metadata", 15),
            ("payload", 16),
        ],
    ];
    let mut dump = Dump::new(commit().as_bytes().to_vec());
    dump.fields(&FRAME_HEADER);
    for parts in parts {
        let start = dump.at;
        let length = EventPlace::read(&dump.bytes[start..]).unwrap().length as usize;
        dump.fields(&EVENT_HEADER);
        parts.iter().for_each(|(part, width)| dump.row(*width, part));
        assert_eq!(dump.at - start, length, "the parts make up the event");
        let padding = dump.at.next_multiple_of(8) - dump.at;
        dump.row(padding, "padding");
    }
    let published = Bytes::from(dump.hold_to_published("frame example"));

    let frame = Frame::verify(&published, SEGMENT.signing, COMMIT_AT).unwrap();
    assert_eq!((frame.header().kind(), frame.header().epoch), (FrameKind::Commit, 1));
    assert_eq!(frame.header().durable_upto, COMMIT_AT);
    let found: Vec<_> = frame.events().map(|event| event.unwrap().1).collect();
    let versions = [1, 7].map(StreamVersion::new);
    let expected = events().into_iter().zip(versions).zip(1..);
    let expected: Vec<_> = expected
        .map(|((written, version), position)| {
            recorded(&written, version, GlobalPosition::new(position), RECORDED_AT)
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_close_mark_is_as_published() {
    let (location, frame) = close_mark();
    let mut dump = Dump::new(frame.as_bytes().to_vec());
    dump.fields(&FRAME_HEADER);
    let published = Bytes::from(dump.hold_to_published("close mark example"));
    let frame = Frame::verify(&published, SEGMENT.signing, location).unwrap();
    assert_eq!(frame.header().kind(), FrameKind::Closed);
    assert_eq!(frame.header().next_position(), GlobalPosition::new(3));
}

/// The header of a run over the two events of the commit, with all parts of one page.
fn run_header() -> RunHeader {
    let page = RUN_PAGE_BYTES as u64;
    RunHeader {
        store_id: STORE_ID,
        first_position: GlobalPosition::FIRST,
        last_position: GlobalPosition::new(2),
        base: COMMIT_AT.plus(40),
        resume: Resume {
            end: close_mark().0,
            segment: 1,
            epoch: 1,
            recorded_at: RECORDED_AT,
            next_position: GlobalPosition::new(3),
            last_frame: COMMIT_AT,
            last_frame_crc: 0x1111_2222,
            frame_count: 1,
            event_count: 2,
            first_position: GlobalPosition::FIRST,
            frames_crc: 0x3333_4444,
        },
        key_count: 12,
        posting_count: 12,
        filter_block_count: 1,
        bucket_count: 1,
        locations_offset: page,
        filter_offset: 2 * page,
        buckets_offset: 3 * page,
        postings_offset: 5 * page,
        checksums_offset: 6 * page,
        length: 6 * page + 24,
        location_width: 4,
        checksums_crc: 0x5555_6666,
        id_times: IdTimes {
            range: Some((1_700_000_000_000, 1_700_000_000_999)),
            has_unknown: true,
        },
    }
}

#[test]
fn the_header_of_a_run_is_as_published() {
    let mut dump = Dump::new(run_header().encode());
    dump.fields(&RUN_HEADER);
    let published = dump.hold_to_published("run header example");
    assert_eq!(RunHeader::decode(&published), Ok(run_header()));
}

#[test]
fn a_run_header_whose_id_times_can_not_be_is_refused() {
    // Both kinds are missing in the second: as in a run that was written without the times.
    for (first, last, kinds) in [(5, 4, 1), (0, 0, 0), (0, 0, 4), (0, 0, 7), (1, 2, 2)] {
        let mut bytes = run_header().encode();
        RUN_ID_TIME_FIRST.put(&mut bytes, first);
        RUN_ID_TIME_LAST.put(&mut bytes, last);
        RUN_ID_KINDS.put(&mut bytes, kinds);
        let crc = crc32fast::hash(RUN_CRC.before(&bytes));
        RUN_CRC.put(&mut bytes, crc.into());
        assert_eq!(RunHeader::decode(&bytes), Err(Fault::Invalid("id times")), "{kinds}");
    }
    let others = IdTimes { range: None, has_unknown: true };
    for id_times in [others, IdTimes { range: Some((0, 0)), has_unknown: false }] {
        let header = RunHeader { id_times, ..run_header() };
        assert_eq!(RunHeader::decode(&header.encode()), Ok(header));
    }
}

#[test]
fn a_bucket_is_as_published() {
    let entries = [
        (0x0102_0304_0506_0708, Reference::Single(1)),
        (0x1112_1314_1516_1718, Reference::Short { offset: 12, last: 6 }),
    ];
    let mut dump = Dump::new(encode_bucket(&entries, false));
    dump.fields(&BUCKET_HEADER);
    for _ in entries {
        dump.row(8, "hash");
        dump.row(8, "reference");
    }
    dump.row(BUCKET_BYTES - dump.at, "no more entries");
    let published = dump.hold_to_published("bucket example");
    let bucket = Bucket::decode(&published).unwrap();
    let found: Vec<_> = bucket.entries().map(Result::unwrap).collect();
    assert_eq!(found, entries);
}

#[test]
fn a_posting_block_is_as_published() {
    let mut block = BlockBuilder::new(5, 0);
    assert!(block.push(6) && block.push(300));
    let mut dump = Dump::new(block.finish());
    dump.fields(&POSTING_BLOCK);
    dump.row(1, "6 is 1 further");
    dump.row(2, "300 is 294 further");
    dump.row(POSTING_BLOCK_BYTES - dump.at, "no more postings");
    let published = dump.hold_to_published("posting block example");
    assert_eq!(decode_block(&published), Ok(vec![5, 6, 300]));
}

/// Bytes, printed field by field.
struct Dump {
    bytes: Vec<u8>,
    at: usize,
    rows: String,
}

/// The column of the dump in which the bytes stand.
const BYTES_COLUMN: std::ops::Range<usize> = 8..56;
/// Longer runs of zeros are counted instead of printed.
const ZEROS_PRINTED_MAX: usize = 32;

impl Dump {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0, rows: String::new() }
    }

    fn fields(&mut self, table: &Table) {
        for field in table.fields {
            let own = &self.bytes[self.at..self.at + field.width];
            let what = match (field.width, field.name) {
                (8, "magic") | (16.., _) => field.name.to_owned(),
                (_, "crc" | "frames crc" | "salt" | "flags") => {
                    format!("{} = {:#x}", field.name, number(own))
                }
                _ => format!("{} = {}", field.name, number(own)),
            };
            self.row(field.width, &what);
        }
    }

    fn row(&mut self, width: usize, what: &str) {
        let own = &self.bytes[self.at..self.at + width];
        let is_text = !own.is_empty() && own.iter().all(|b| (b' '..0x7f).contains(b));
        let mut what = match is_text {
            true => format!("{what} `{}`", String::from_utf8_lossy(own)),
            false => what.to_owned(),
        };
        if width > ZEROS_PRINTED_MAX && own.iter().all(|byte| *byte == 0) {
            writeln!(self.rows, "{:>6}  {:<48}{what}", self.at, format!("00 x {width}")).unwrap();
        } else {
            for (line, chunk) in own.chunks(16).enumerate() {
                let hex: Vec<_> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
                let row = format!("{:>6}  {:<48}{what}", self.at + line * 16, hex.join(" "));
                writeln!(self.rows, "{}", row.trim_end()).unwrap();
                what.clear();
            }
        }
        self.at += width;
    }

    /// Holds the dump to the one in the documentation and returns the bytes that are read from there.
    fn hold_to_published(&self, name: &str) -> Vec<u8> {
        assert_eq!(self.at, self.bytes.len(), "every byte is printed");
        hold_to_printed(name, &format!("```text\n{}```\n", self.rows));
        let published: Vec<u8> = printed(name).lines().flat_map(bytes_of_row).collect();
        assert_eq!(published, self.bytes);
        published
    }
}

fn bytes_of_row(row: &str) -> Vec<u8> {
    if row.starts_with("```") {
        return Vec::new();
    }
    let end = BYTES_COLUMN.end.min(row.len());
    let column = row[BYTES_COLUMN.start..end].trim();
    match column.split_once(" x ") {
        Some((_, count)) => vec![0; count.parse().unwrap()],
        None => column.split(' ').map(|hex| u8::from_str_radix(hex, 16).unwrap()).collect(),
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
