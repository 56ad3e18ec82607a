//! A run of the index: its header, its buckets and its posting blocks.
//!
//! A run is a file of pages. Its header says where its parts stand; all integers in them are
//! little-endian. What a reference in a bucket means is said by [`Reference`].

use uuid::Uuid;

use super::layout::{
    BLOCK_COUNT, BLOCK_FIRST, BLOCK_RANK, BUCKET_ENTRY_COUNT, BUCKET_FLAGS, BUCKET_HEADER,
    FORMAT_VERSION, POSTING_BLOCK, RUN_BASE, RUN_BUCKET_COUNT, RUN_BUCKETS_OFFSET,
    RUN_CHECKSUMS_CRC, RUN_CHECKSUMS_OFFSET, RUN_CRC, RUN_END, RUN_END_EPOCH, RUN_END_EVENT_COUNT,
    RUN_END_FIRST_POSITION, RUN_END_FRAME_COUNT, RUN_END_FRAMES_CRC, RUN_END_RECORDED_AT,
    RUN_END_SEGMENT, RUN_FILE_MAGIC, RUN_FILTER_BLOCK_COUNT, RUN_FILTER_OFFSET, RUN_FIRST_POSITION,
    RUN_FLAGS, RUN_HEADER, RUN_ID_KINDS, RUN_ID_TIME_FIRST, RUN_ID_TIME_LAST, RUN_KEY_COUNT,
    RUN_LAST_FRAME, RUN_LAST_FRAME_CRC, RUN_LAST_POSITION, RUN_LENGTH, RUN_LOCATION_WIDTH,
    RUN_LOCATIONS_OFFSET, RUN_MAGIC, RUN_POSTING_COUNT, RUN_POSTINGS_OFFSET, RUN_RESERVED,
    RUN_STORE_ID, RUN_VERSION,
};
use super::{FRAME_HEADER_BYTES, Fault, IdTimes, Location, check_version, is_zero};
use crate::bugs::{self, Bug};
use crate::limits::SEGMENT_BYTES_MAX;
use crate::position::GlobalPosition;
use crate::timestamp::Timestamp;

/// Bytes of a page of a run: what a checksum covers.
pub(crate) const RUN_PAGE_BYTES: usize = RUN_HEADER.size;
/// Bytes of a block of the filter.
pub(crate) const FILTER_BLOCK_BYTES: usize = 64;
/// Bytes of a bucket.
pub(crate) const BUCKET_BYTES: usize = 1024;
/// Bytes of an entry of a bucket: a hash and a reference.
const ENTRY_BYTES: usize = 16;
/// Entries of a full bucket.
pub(crate) const BUCKET_ENTRIES_MAX: usize = (BUCKET_BYTES - BUCKET_HEADER.size) / ENTRY_BYTES;
/// Bytes of a block of postings.
pub(crate) const POSTING_BLOCK_BYTES: usize = 256;
/// Bytes that close a list of blocks, or open a short list.
pub(crate) const LIST_COUNT_BYTES: usize = 8;

const BUCKET_GOES_ON: u64 = 1;

/// Frames that a segment has room for.
const FRAMES_OF_A_SEGMENT_MAX: u64 = SEGMENT_BYTES_MAX / FRAME_HEADER_BYTES as u64;
const _: () = assert!(FRAMES_OF_A_SEGMENT_MAX < u32::MAX as u64);

const IDS_WITH_TIME: u32 = 1;
const IDS_WITHOUT_TIME: u32 = 2;

const _: () = assert!(BUCKET_ENTRIES_MAX == 63);
const _: () = assert!(RUN_PAGE_BYTES.is_multiple_of(BUCKET_BYTES));

/// Where a walk of the log goes on behind an indexed part, and how far the segment had come there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resume {
    /// The location behind the last frame.
    pub(crate) end: Location,
    /// The segment of that frame.
    pub(crate) segment: u64,
    pub(crate) epoch: u32,
    pub(crate) recorded_at: Timestamp,
    pub(crate) next_position: GlobalPosition,
    pub(crate) last_frame: Location,
    pub(crate) last_frame_crc: u32,
    /// Frames and events of the segment so far.
    pub(crate) frame_count: u32,
    pub(crate) event_count: u64,
    pub(crate) first_position: GlobalPosition,
    pub(crate) frames_crc: u32,
}

/// The header of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunHeader {
    pub(crate) store_id: Uuid,
    pub(crate) first_position: GlobalPosition,
    pub(crate) last_position: GlobalPosition,
    /// The location from which locations are counted.
    pub(crate) base: Location,
    pub(crate) resume: Resume,
    pub(crate) key_count: u64,
    pub(crate) posting_count: u64,
    pub(crate) filter_block_count: u64,
    pub(crate) bucket_count: u64,
    pub(crate) locations_offset: u64,
    pub(crate) filter_offset: u64,
    pub(crate) buckets_offset: u64,
    pub(crate) postings_offset: u64,
    pub(crate) checksums_offset: u64,
    pub(crate) length: u64,
    /// Bytes of a location.
    pub(crate) location_width: u32,
    pub(crate) checksums_crc: u32,
    /// The times of the event ids.
    pub(crate) id_times: IdTimes,
}

impl RunHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; RUN_HEADER.size];
        let resume = &self.resume;
        let (id_time_first, id_time_last) = self.id_times.range.unwrap_or_default();
        RUN_FILE_MAGIC.put_bytes(&mut bytes, &RUN_MAGIC);
        RUN_STORE_ID.put_bytes(&mut bytes, self.store_id.as_bytes());
        for (field, value) in [
            (RUN_VERSION, FORMAT_VERSION.into()),
            (RUN_FIRST_POSITION, self.first_position.get()),
            (RUN_LAST_POSITION, self.last_position.get()),
            (RUN_BASE, self.base.get()),
            (RUN_END, resume.end.get()),
            (RUN_END_SEGMENT, resume.segment),
            (RUN_END_EPOCH, resume.epoch.into()),
            (RUN_END_FRAME_COUNT, resume.frame_count.into()),
            (RUN_END_RECORDED_AT, resume.recorded_at.as_micros().cast_unsigned()),
            (RUN_END_EVENT_COUNT, resume.event_count),
            (RUN_END_FIRST_POSITION, resume.first_position.get()),
            (RUN_END_FRAMES_CRC, resume.frames_crc.into()),
            (RUN_LAST_FRAME_CRC, resume.last_frame_crc.into()),
            (RUN_LAST_FRAME, resume.last_frame.get()),
            (RUN_KEY_COUNT, self.key_count),
            (RUN_POSTING_COUNT, self.posting_count),
            (RUN_FILTER_BLOCK_COUNT, self.filter_block_count),
            (RUN_BUCKET_COUNT, self.bucket_count),
            (RUN_LOCATIONS_OFFSET, self.locations_offset),
            (RUN_FILTER_OFFSET, self.filter_offset),
            (RUN_BUCKETS_OFFSET, self.buckets_offset),
            (RUN_POSTINGS_OFFSET, self.postings_offset),
            (RUN_CHECKSUMS_OFFSET, self.checksums_offset),
            (RUN_LENGTH, self.length),
            (RUN_LOCATION_WIDTH, self.location_width.into()),
            (RUN_CHECKSUMS_CRC, self.checksums_crc.into()),
            (RUN_ID_TIME_FIRST, id_time_first),
            (RUN_ID_TIME_LAST, id_time_last),
            (RUN_ID_KINDS, id_kinds(&self.id_times).into()),
        ] {
            field.put(&mut bytes, value);
        }
        let crc = crc32fast::hash(RUN_CRC.before(&bytes));
        RUN_CRC.put(&mut bytes, crc.into());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() < RUN_HEADER.size {
            return Err(Fault::Short);
        }
        if bytes.get(..RUN_MAGIC.len()) != Some(&RUN_MAGIC) {
            return Err(Fault::Magic);
        }
        let is_checked = !bugs::on(Bug::RunHeaderUnchecked);
        if is_checked && crc32fast::hash(RUN_CRC.before(bytes)) != RUN_CRC.get_u32(bytes) {
            return Err(Fault::Checksum);
        }
        check_version(RUN_VERSION.get_u32(bytes), RUN_FLAGS.get_u32(bytes), 0)?;
        if !is_zero(bytes.get(RUN_RESERVED.offset..RUN_CRC.offset).ok_or(Fault::Short)?) {
            return Err(Fault::Invalid("reserved part"));
        }
        let position = |number| GlobalPosition::new(number);
        let last_position = position(RUN_LAST_POSITION.get(bytes));
        let header = Self {
            store_id: Uuid::from_bytes(RUN_STORE_ID.get_16(bytes)),
            first_position: position(RUN_FIRST_POSITION.get(bytes)),
            last_position,
            base: Location::new(RUN_BASE.get(bytes)),
            resume: Resume {
                end: Location::new(RUN_END.get(bytes)),
                segment: RUN_END_SEGMENT.get(bytes),
                epoch: RUN_END_EPOCH.get_u32(bytes),
                recorded_at: Timestamp::from_micros(RUN_END_RECORDED_AT.get_i64(bytes)),
                next_position: last_position.next(),
                last_frame: Location::new(RUN_LAST_FRAME.get(bytes)),
                last_frame_crc: RUN_LAST_FRAME_CRC.get_u32(bytes),
                frame_count: RUN_END_FRAME_COUNT.get_u32(bytes),
                event_count: RUN_END_EVENT_COUNT.get(bytes),
                first_position: position(RUN_END_FIRST_POSITION.get(bytes)),
                frames_crc: RUN_END_FRAMES_CRC.get_u32(bytes),
            },
            key_count: RUN_KEY_COUNT.get(bytes),
            posting_count: RUN_POSTING_COUNT.get(bytes),
            filter_block_count: RUN_FILTER_BLOCK_COUNT.get(bytes),
            bucket_count: RUN_BUCKET_COUNT.get(bytes),
            locations_offset: RUN_LOCATIONS_OFFSET.get(bytes),
            filter_offset: RUN_FILTER_OFFSET.get(bytes),
            buckets_offset: RUN_BUCKETS_OFFSET.get(bytes),
            postings_offset: RUN_POSTINGS_OFFSET.get(bytes),
            checksums_offset: RUN_CHECKSUMS_OFFSET.get(bytes),
            length: RUN_LENGTH.get(bytes),
            location_width: RUN_LOCATION_WIDTH.get_u32(bytes),
            checksums_crc: RUN_CHECKSUMS_CRC.get_u32(bytes),
            id_times: id_times_of(bytes)?,
        };
        match header.is_sound() {
            true => Ok(header),
            false => Err(Fault::Invalid("part")),
        }
    }

    /// Tells whether the parts follow each other within the file, so that no size derived from the
    /// header is larger than the file.
    fn is_sound(&self) -> bool {
        let is_page = |offset: &u64| offset.is_multiple_of(RUN_PAGE_BYTES as u64);
        let offsets = [
            self.locations_offset,
            self.filter_offset,
            self.buckets_offset,
            self.postings_offset,
            self.checksums_offset,
        ];
        let room = |from: u64, to: u64, count: u64, bytes: usize| {
            count.checked_mul(bytes as u64).is_some_and(|need| need <= to - from)
        };
        let events = self.last_position.distance_from(self.first_position);
        offsets.iter().all(is_page)
            && offsets.is_sorted()
            && self.locations_offset >= RUN_PAGE_BYTES as u64
            && self.checksums_offset < self.length
            && GlobalPosition::ZERO < self.first_position
            && self.first_position <= self.last_position
            && events < u64::from(u32::MAX)
            && matches!(self.location_width, 4 | 8)
            && self.bucket_count > 0
            && self.filter_block_count > 0
            && u64::from(self.resume.frame_count) <= FRAMES_OF_A_SEGMENT_MAX
            && room(
                self.locations_offset,
                self.filter_offset,
                events + 1,
                self.location_width as usize,
            )
            && room(
                self.filter_offset,
                self.buckets_offset,
                self.filter_block_count,
                FILTER_BLOCK_BYTES,
            )
            && room(self.buckets_offset, self.postings_offset, self.bucket_count, BUCKET_BYTES)
            && room(self.checksums_offset, self.length, self.checksums_offset / 4096, 4)
    }

    /// Returns how many events are indexed.
    pub(crate) fn event_count(&self) -> u64 {
        self.last_position.distance_from(self.first_position) + 1
    }
}

fn id_kinds(times: &IdTimes) -> u32 {
    let known = times.range.map_or(0, |_| IDS_WITH_TIME);
    if times.has_unknown { known | IDS_WITHOUT_TIME } else { known }
}

/// Reads the times of the event ids. Every event has an id, so a run is never without both kinds.
fn id_times_of(header: &[u8]) -> Result<IdTimes, Fault> {
    let kinds = RUN_ID_KINDS.get_u32(header);
    let (first, last) = (RUN_ID_TIME_FIRST.get(header), RUN_ID_TIME_LAST.get(header));
    let range = (kinds & IDS_WITH_TIME != 0).then_some((first, last));
    let times = IdTimes { range, has_unknown: kinds & IDS_WITHOUT_TIME != 0 };
    let is_sound = first <= last && (range.is_some() || last == 0);
    match kinds != 0 && kinds == id_kinds(&times) && is_sound {
        true => Ok(times),
        false => Err(Fault::Invalid("id times")),
    }
}

/// What a bucket says of a term: its only posting, or where the list of them stands.
///
/// Postings are counted from the run's first position. The lowest two bits of the number on disk are
/// the kind, the others the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference {
    /// The only posting.
    Single(u32),
    /// The offset, in the part of the postings, of a count and as many postings of four bytes, and
    /// the last of them: it is what a stream is most often asked for.
    Short { offset: u64, last: u32 },
    /// The offset of the end of blocks of postings: their number, and that of the postings.
    Blocks(u64),
}

/// Offsets of short lists are counted in units of as many bytes.
const SHORT_LIST_UNIT: u64 = 4;

/// The offset behind the last one at which a short list may stand: the rest of 62 bits.
pub(crate) const SHORT_LIST_OFFSETS_END: u64 = SHORT_LIST_UNIT << 30;

impl Reference {
    pub(crate) fn encode(self) -> u64 {
        match self {
            Self::Single(posting) => u64::from(posting) << 2,
            Self::Short { offset, last } => {
                (offset / SHORT_LIST_UNIT) << 34 | u64::from(last) << 2 | 1
            }
            Self::Blocks(offset) => offset << 2 | 2,
        }
    }

    fn decode(number: u64) -> Result<Self, Fault> {
        let value = number >> 2;
        let [a, b, c, d, ..] = value.to_le_bytes();
        match number & 3 {
            0 => u32::try_from(value).map(Self::Single).map_err(|_| Fault::Invalid("reference")),
            1 => Ok(Self::Short {
                offset: (value >> 32) * SHORT_LIST_UNIT,
                last: u32::from_le_bytes([a, b, c, d]),
            }),
            2 => Ok(Self::Blocks(value)),
            _ => Err(Fault::Invalid("reference")),
        }
    }
}

/// Encodes a bucket; `entries` are at most 63, ascending by hash.
pub(crate) fn encode_bucket(entries: &[(u64, Reference)], goes_on: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BUCKET_BYTES);
    bytes.resize(BUCKET_HEADER.size, 0);
    BUCKET_ENTRY_COUNT.put(&mut bytes, entries.len() as u64);
    BUCKET_FLAGS.put(&mut bytes, if goes_on { BUCKET_GOES_ON } else { 0 });
    for (hash, reference) in entries {
        bytes.extend_from_slice(&hash.to_le_bytes());
        bytes.extend_from_slice(&reference.encode().to_le_bytes());
    }
    bytes.resize(BUCKET_BYTES, 0);
    bytes
}

/// A bucket as it stands in a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket<'a> {
    entries: &'a [[u8; ENTRY_BYTES]],
    goes_on: bool,
}

impl<'a> Bucket<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (entries, _) = bytes.get(BUCKET_HEADER.size..).ok_or(Fault::Short)?.as_chunks();
        let count = usize::from(BUCKET_ENTRY_COUNT.get_u16(bytes));
        let entries = entries.get(..count).ok_or(Fault::Invalid("entry count"))?;
        Ok(Self { entries, goes_on: BUCKET_FLAGS.get(bytes) & BUCKET_GOES_ON != 0 })
    }

    /// Looks a hash up: its reference, nothing, or "ask the next bucket". `share` is how far into the
    /// bucket's range the hash lies, of 2^64: hashes are spread evenly, so the search begins near the
    /// place and touches few lines of the cache.
    pub(crate) fn find(&self, hash: u64, share: u64) -> Result<Found, Fault> {
        let guess = range_of(share, self.entries.len() as u64);
        let guess = usize::try_from(guess).unwrap_or_default();
        let place = self.place_of(hash, guess);
        match self.entries.get(place) {
            Some(entry) if hash_of(entry) == hash => {
                Reference::decode(reference_of(entry)).map(Found::Here)
            }
            None if self.goes_on => Ok(Found::MaybeNext),
            _ => Ok(Found::Nowhere),
        }
    }

    /// Returns the first entry that is not less than a hash, searching both ways from a guess.
    fn place_of(&self, hash: u64, guess: usize) -> usize {
        let is_less = |place: usize| self.entries.get(place).is_some_and(|own| hash_of(own) < hash);
        let mut place = guess;
        while is_less(place) {
            place += 1;
        }
        while place > 0 && !is_less(place - 1) {
            place -= 1;
        }
        place
    }

    /// Returns the entries, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Result<(u64, Reference), Fault>> + 'a {
        let entries = self.entries.iter();
        entries.map(|entry| Ok((hash_of(entry), Reference::decode(reference_of(entry))?)))
    }
}

/// What a bucket knows of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Here(Reference),
    MaybeNext,
    Nowhere,
}

const _: () = assert!(ENTRY_BYTES == 16);

fn hash_of(entry: &[u8; ENTRY_BYTES]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *entry;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

fn reference_of(entry: &[u8; ENTRY_BYTES]) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = *entry;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// A block of postings that is being filled.
#[derive(Debug)]
pub(crate) struct BlockBuilder {
    bytes: Vec<u8>,
    first: u32,
    last: u32,
    rank: u32,
    count: u16,
}

/// Bytes of a block of postings before its postings.
pub(crate) const POSTING_BLOCK_HEADER_BYTES: u64 = POSTING_BLOCK.size as u64;

/// Bytes of the longest varint of 32 bits.
const VARINT_BYTES_MAX: usize = 5;

impl BlockBuilder {
    /// Starts a block with its first posting, before which `rank` others stand.
    pub(crate) fn new(first: u32, rank: u32) -> Self {
        let mut bytes = Vec::with_capacity(POSTING_BLOCK_BYTES);
        bytes.resize(POSTING_BLOCK.size, 0);
        Self { bytes, first, last: first, rank, count: 1 }
    }

    /// Adds the next posting, if there is room.
    pub(crate) fn push(&mut self, posting: u32) -> bool {
        if self.bytes.len() + VARINT_BYTES_MAX > POSTING_BLOCK_BYTES {
            return false;
        }
        let mut distance = posting - self.last;
        while distance >= 0x80 {
            self.bytes.push(distance.to_le_bytes()[0] | 0x80);
            distance >>= 7;
        }
        self.bytes.push(distance.to_le_bytes()[0]);
        self.last = posting;
        self.count += 1;
        true
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        BLOCK_FIRST.put(&mut self.bytes, self.first.into());
        BLOCK_RANK.put(&mut self.bytes, self.rank.into());
        BLOCK_COUNT.put(&mut self.bytes, self.count.into());
        self.bytes.resize(POSTING_BLOCK_BYTES, 0);
        self.bytes
    }
}

/// Returns the first posting of a block and how many stand before it.
pub(crate) fn block_start(bytes: &[u8]) -> Result<(u32, u32), Fault> {
    let header = bytes.get(..POSTING_BLOCK.size).ok_or(Fault::Short)?;
    Ok((BLOCK_FIRST.get_u32(header), BLOCK_RANK.get_u32(header)))
}

/// Decodes a block of postings.
pub(crate) fn decode_block(bytes: &[u8]) -> Result<Vec<u32>, Fault> {
    let mut rest = bytes.get(POSTING_BLOCK.size..).ok_or(Fault::Short)?;
    let count = usize::from(BLOCK_COUNT.get_u16(bytes));
    let mut posting = BLOCK_FIRST.get_u32(bytes);
    let mut postings = Vec::with_capacity(count.min(POSTING_BLOCK_BYTES));
    postings.push(posting);
    for _ in 1..count {
        let distance = take_varint(&mut rest).filter(|distance| *distance > 0);
        let next = distance.and_then(|distance| posting.checked_add(distance));
        posting = next.ok_or(Fault::Invalid("posting block"))?;
        postings.push(posting);
    }
    Ok(postings)
}

fn take_varint(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for shift in (0..32).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Returns the two counts of a list: of its postings and of its blocks.
pub(crate) fn list_counts(bytes: &[u8]) -> Result<(u32, u32), Fault> {
    let (counts, _) = bytes.as_chunks();
    match counts {
        [postings, blocks, ..] => Ok((u32::from_le_bytes(*postings), u32::from_le_bytes(*blocks))),
        _ => Err(Fault::Short),
    }
}

/// Encodes the two counts of a list.
pub(crate) fn encode_list_counts(postings: u32, blocks: u32) -> [u8; LIST_COUNT_BYTES] {
    let mut bytes = [0; LIST_COUNT_BYTES];
    let (first, second) = bytes.split_at_mut(4);
    first.copy_from_slice(&postings.to_le_bytes());
    second.copy_from_slice(&blocks.to_le_bytes());
    bytes
}

/// Decodes postings of four bytes.
pub(crate) fn decode_short_list(bytes: &[u8]) -> Result<Vec<u32>, Fault> {
    let (postings, rest) = bytes.as_chunks();
    let postings: Vec<_> = postings.iter().map(|posting| u32::from_le_bytes(*posting)).collect();
    match rest.is_empty() && postings.is_sorted_by(|one, next| one < next) {
        true => Ok(postings),
        false => Err(Fault::Invalid("short list")),
    }
}

/// Encodes a location, counted from the base in units of eight bytes where four bytes are enough.
pub(crate) fn encode_location(location: Location, base: Location, width: u32) -> [u8; 8] {
    match width {
        4 => (location.distance_from(base) / 8).to_le_bytes(),
        _ => location.get().to_le_bytes(),
    }
}

/// Decodes a location of four or eight bytes.
#[inline]
pub(crate) fn decode_location(bytes: &[u8], base: Location) -> Result<Location, Fault> {
    match (bytes.try_into(), bytes.try_into()) {
        (Ok(wide), _) => Ok(Location::new(u64::from_le_bytes(wide))),
        (_, Ok(narrow)) => Ok(base.plus(u64::from(u32::from_le_bytes(narrow)) * 8)),
        _ => Err(Fault::Short),
    }
}

/// Returns the bits of a filter block that stand for a hash, as eight words.
///
/// Source: the blocked Bloom filter of Putze, Sanders and Singler, "Cache-, Hash- and
/// Space-Efficient Bloom Filters" (2007), six bits in one block of 512.
pub(crate) fn filter_bits(hash: u64) -> [u64; 8] {
    let mut words = [0; 8];
    // The highest bits choose the block; the others, mixed, choose the bits in it.
    let mut mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= mixed >> 29;
    for _ in 0..6 {
        let bit = mixed & 511;
        if let Some(word) = words.get_mut((bit >> 6) as usize & 7) {
            *word |= 1 << (bit & 63);
        }
        mixed >>= 9;
    }
    words
}

/// Tells whether a filter block may hold a hash. Where a block has too few bytes, it may hold any.
pub(crate) fn filter_may_hold(block: &[u8], hash: u64) -> bool {
    let (words, _) = block.as_chunks();
    words
        .iter()
        .map(|word| u64::from_le_bytes(*word))
        .zip(filter_bits(hash))
        .all(|(have, want)| have & want == want)
}

/// Returns how far into its range a hash lies, of 2^64, when there are `count` equal ranges.
pub(crate) fn share_of(hash: u64, count: u64) -> u64 {
    hash.wrapping_mul(count)
}

/// Returns which of `count` equal ranges of hashes a hash lies in.
///
/// Source: Lemire, "Fast Random Integer Generation in an Interval" (2019): a multiplication in place
/// of a division.
pub(crate) fn range_of(hash: u64, count: u64) -> u64 {
    ((u128::from(hash) * u128::from(count)) >> 64) as u64
}
