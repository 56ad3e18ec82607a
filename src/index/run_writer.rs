//! Writes a run in one pass over its terms, which come by hash.
//!
//! Four parts of the file grow at the same time, each page by page; the checksum of a page is taken
//! when it is full. Memory is bounded by a small buffer for each part and four bytes for each page.
//! A run gets its name only once it is durable.

use std::io;

use super::run::{name, unfinished_name};
use super::term::TermHash;
use crate::bugs::{self, Bug};
use crate::format::{
    BUCKET_BYTES, BUCKET_ENTRIES_MAX, BlockBuilder, FILTER_BLOCK_BYTES, IdTimes, LIST_COUNT_BYTES,
    Location, RUN_PAGE_BYTES, Reference, Resume, RunHeader, SHORT_LIST_OFFSETS_END, encode_bucket,
    encode_list_counts, encode_location, filter_bits, range_of,
};
use crate::io::{Disk, DiskFile, LARGE_PAGE_BYTES, OpenMode};
use crate::position::GlobalPosition;

const PAGE: u64 = RUN_PAGE_BYTES as u64;

/// Bits of the filter for each term: about one question in a hundred is answered with a wrong yes.
const FILTER_BITS_PER_TERM: u64 = 10;

/// Entries that a bucket has on average: few overflow.
const BUCKET_ENTRIES_USUAL: u64 = 52;

/// Buckets behind the last range, for what the last ones can not hold.
const SPARE_BUCKETS: u64 = 4;

/// Postings of a list that is kept without blocks.
const SHORT_LIST_MAX: u32 = 32;

/// What is known of a run before its first term.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) store_id: uuid::Uuid,
    pub(crate) first_position: GlobalPosition,
    pub(crate) last_position: GlobalPosition,
    pub(crate) base: Location,
    pub(crate) resume: Resume,
    pub(crate) key_count: u64,
    pub(crate) id_times: IdTimes,
}

/// A run that is being written.
pub(crate) struct RunWriter<'a, D: Disk> {
    disk: &'a D,
    file: D::File,
    header: RunHeader,
    checksums: Vec<u32>,
    locations: Part,
    filter: Part,
    buckets: Part,
    postings: Part,
    filter_block: (u64, [u64; 8]),
    bucket: (u64, Vec<(u64, Reference)>),
    has_its_name: bool,
}

impl<'a, D: Disk> RunWriter<'a, D> {
    pub(crate) fn create(disk: &'a D, plan: &Plan) -> io::Result<Self> {
        let header = layout(plan);
        let unfinished = unfinished_name(plan.first_position, plan.last_position);
        match disk.remove(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.open(&unfinished, OpenMode::CreateNew)?;
        Ok(Self {
            disk,
            file,
            checksums: Vec::new(),
            locations: Part::new(header.locations_offset),
            filter: Part::new(header.filter_offset),
            buckets: Part::new(header.buckets_offset),
            postings: Part::new(header.postings_offset),
            filter_block: (0, [0; 8]),
            bucket: (0, Vec::with_capacity(BUCKET_ENTRIES_MAX)),
            has_its_name: false,
            header,
        })
    }

    /// Adds the location of the next position.
    pub(crate) fn push_location(&mut self, location: Location) -> io::Result<()> {
        let width = self.header.location_width;
        let bytes = encode_location(location, self.header.base, width);
        let own = bytes.get(..width as usize).ok_or_else(|| io::Error::other("no such width"))?;
        self.locations.push(&self.file, &mut self.checksums, own)
    }

    /// Adds a term with its postings, `count` of them, counted from the first position and
    /// ascending. Terms come in the order of their hashes.
    pub(crate) fn push_term<E: From<io::Error>>(
        &mut self,
        term: TermHash,
        count: u32,
        postings: impl Iterator<Item = Result<u32, E>>,
    ) -> Result<(), E> {
        let reference = self.push_postings(count, postings)?;
        self.header.posting_count += u64::from(count);
        let hash = term.get();
        self.push_to_filter(hash)?;
        let range = range_of(hash, self.header.bucket_count);
        while self.bucket.0 < range {
            self.flush_bucket(false)?;
        }
        if self.bucket.1.len() == BUCKET_ENTRIES_MAX {
            self.flush_bucket(true)?;
        }
        self.bucket.1.push((hash, reference));
        Ok(())
    }

    fn push_postings<E: From<io::Error>>(
        &mut self,
        count: u32,
        mut postings: impl Iterator<Item = Result<u32, E>>,
    ) -> Result<Reference, E> {
        let mut offset = self.postings.length;
        let mut push = |bytes: &[u8]| self.postings.push(&self.file, &mut self.checksums, bytes);
        if count == 1
            && let Some(posting) = postings.next()
        {
            return Ok(Reference::Single(posting?));
        }
        if count <= SHORT_LIST_MAX && offset < SHORT_LIST_OFFSETS_END {
            push(&encode_list_counts(count, 0))?;
            let mut last = 0;
            for posting in postings {
                last = posting?;
                push(&last.to_le_bytes())?;
            }
            return Ok(Reference::Short { offset, last });
        }
        let (mut block, mut blocks): (Option<BlockBuilder>, u32) = (None, 0);
        for (rank, posting) in (0..).zip(postings) {
            let posting = posting?;
            if !block.as_mut().is_some_and(|block| block.push(posting))
                && let Some(full) = block.replace(BlockBuilder::new(posting, rank))
            {
                push(&full.finish())?;
                blocks += 1;
            }
        }
        if let Some(last) = block {
            push(&last.finish())?;
            blocks += 1;
        }
        offset += u64::from(blocks) * crate::format::POSTING_BLOCK_BYTES as u64;
        push(&encode_list_counts(count, blocks))?;
        Ok(Reference::Blocks(offset))
    }

    fn push_to_filter(&mut self, hash: u64) -> io::Result<()> {
        let block = range_of(hash, self.header.filter_block_count);
        while self.filter_block.0 < block {
            self.flush_filter_block()?;
        }
        for (word, bits) in self.filter_block.1.iter_mut().zip(filter_bits(hash)) {
            *word |= bits;
        }
        Ok(())
    }

    fn flush_filter_block(&mut self) -> io::Result<()> {
        for word in std::mem::take(&mut self.filter_block.1) {
            self.filter.push(&self.file, &mut self.checksums, &word.to_le_bytes())?;
        }
        self.filter_block.0 += 1;
        Ok(())
    }

    fn flush_bucket(&mut self, goes_on: bool) -> io::Result<()> {
        let room = self.header.bucket_count + SPARE_BUCKETS;
        if self.bucket.0 >= room {
            return Err(io::Error::other("the buckets of a run overflow"));
        }
        let bytes = encode_bucket(&self.bucket.1, goes_on);
        self.buckets.push(&self.file, &mut self.checksums, &bytes)?;
        self.bucket.0 += 1;
        self.bucket.1.clear();
        Ok(())
    }

    /// Finishes the run and gives it its name, durably.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        while self.filter_block.0 < self.header.filter_block_count {
            self.flush_filter_block()?;
        }
        while self.bucket.0 < self.header.bucket_count + SPARE_BUCKETS {
            self.flush_bucket(false)?;
        }
        for part in [&mut self.locations, &mut self.filter, &mut self.buckets, &mut self.postings] {
            part.finish(&self.file, &mut self.checksums)?;
        }
        let end = self.postings.end().max(self.header.postings_offset + PAGE);
        self.header.checksums_offset = end;
        let zero_page = crc32fast::hash(&[0; RUN_PAGE_BYTES]);
        self.checksums.resize(usize::try_from(end / PAGE).map_err(io::Error::other)?, zero_page);
        self.write_checksums_and_header()?;
        if !bugs::on(Bug::RunUnsynced) {
            self.file.sync_data()?;
        }
        let (first, last) = (self.header.first_position, self.header.last_position);
        self.disk.rename(&unfinished_name(first, last), &name(first, last))?;
        self.has_its_name = true;
        match bugs::on(Bug::RunNameUnsynced) {
            true => Ok(()),
            false => self.disk.sync_dir(),
        }
    }

    fn write_checksums_and_header(&mut self) -> io::Result<()> {
        // The header is not a part of what it has checksums of.
        let first = self.checksums.first_mut();
        first.into_iter().for_each(|header_page| *header_page = 0);
        let bytes: Vec<u8> = self.checksums.iter().flat_map(|crc| crc.to_le_bytes()).collect();
        self.header.checksums_crc = crc32fast::hash(&bytes);
        self.header.length = self.header.checksums_offset + bytes.len() as u64;
        self.file.set_len(self.header.length)?;
        self.file.write_all_at(&bytes, self.header.checksums_offset)?;
        self.file.write_all_at(&self.header.encode(), 0)
    }
}

impl<D: Disk> Drop for RunWriter<'_, D> {
    /// Gives the space back of a run that was not finished: it may be what the log needs.
    fn drop(&mut self) {
        if !self.has_its_name {
            let (first, last) = (self.header.first_position, self.header.last_position);
            let _left_for_the_next_opening = self.disk.remove(&unfinished_name(first, last));
        }
    }
}

/// Lays the parts out whose sizes are known.
fn layout(plan: &Plan) -> RunHeader {
    let events = plan.last_position.distance_from(plan.first_position) + 1;
    let span = plan.resume.end.distance_from(plan.base);
    let location_width: u32 = if span / 8 <= u64::from(u32::MAX) { 4 } else { 8 };
    let filter_bits = plan.key_count * FILTER_BITS_PER_TERM;
    let filter_block_count = filter_bits.div_ceil(FILTER_BLOCK_BYTES as u64 * 8).max(1);
    let bucket_count = plan.key_count.div_ceil(BUCKET_ENTRIES_USUAL).max(1);
    let filter_offset = PAGE + pages(events * u64::from(location_width));
    let buckets_offset = filter_offset + pages(filter_block_count * FILTER_BLOCK_BYTES as u64);
    let bucket_bytes = (bucket_count + SPARE_BUCKETS) * BUCKET_BYTES as u64;
    RunHeader {
        store_id: plan.store_id,
        first_position: plan.first_position,
        last_position: plan.last_position,
        base: plan.base,
        resume: plan.resume,
        key_count: plan.key_count,
        posting_count: 0,
        filter_block_count,
        bucket_count,
        locations_offset: PAGE,
        filter_offset,
        buckets_offset,
        postings_offset: buckets_offset + pages(bucket_bytes),
        checksums_offset: 0,
        length: 0,
        location_width,
        checksums_crc: 0,
        id_times: plan.id_times,
    }
}

/// Returns a length rounded up to whole pages.
fn pages(length: u64) -> u64 {
    length.next_multiple_of(PAGE)
}

/// A part of the file that grows at its end. It is written up to the end of a large page at a time, so
/// that the file is cached in large pages.
struct Part {
    start: u64,
    /// Bytes that were pushed.
    length: u64,
    buffer: Vec<u8>,
}

impl Part {
    fn new(start: u64) -> Self {
        Self { start, length: 0, buffer: Vec::new() }
    }

    fn push<F: DiskFile>(
        &mut self,
        file: &F,
        checksums: &mut Vec<u32>,
        bytes: &[u8],
    ) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.length += bytes.len() as u64;
        let behind_large_page = self.end() % LARGE_PAGE_BYTES as u64;
        match usize::try_from(behind_large_page).map(|behind| self.buffer.len().checked_sub(behind))
        {
            Ok(Some(ready)) if ready > 0 => self.write(file, checksums, ready),
            _ => Ok(()),
        }
    }

    /// Writes bytes of the buffer, whole pages, and remembers their checksums.
    fn write<F: DiskFile>(
        &mut self,
        file: &F,
        checksums: &mut Vec<u32>,
        length: usize,
    ) -> io::Result<()> {
        let offset = self.end() - self.buffer.len() as u64;
        let ready = self.buffer.get(..length);
        let ready = ready.ok_or_else(|| io::Error::other("the buffer has fewer bytes"))?;
        let (pages, _) = ready.as_chunks::<RUN_PAGE_BYTES>();
        for (page, number) in pages.iter().zip(offset / PAGE..) {
            let place = usize::try_from(number).map_err(io::Error::other)?;
            if checksums.len() <= place {
                checksums.resize(place + 1, crc32fast::hash(&[0; RUN_PAGE_BYTES]));
            }
            if let Some(checksum) = checksums.get_mut(place) {
                *checksum = crc32fast::hash(page);
            }
        }
        file.write_through_at(ready, offset)?;
        self.buffer.drain(..length);
        Ok(())
    }

    /// Fills the last page with zeros and writes it.
    fn finish<F: DiskFile>(&mut self, file: &F, checksums: &mut Vec<u32>) -> io::Result<()> {
        let padded = self.buffer.len().next_multiple_of(RUN_PAGE_BYTES);
        self.length += (padded - self.buffer.len()) as u64;
        self.buffer.resize(padded, 0);
        self.write(file, checksums, padded)
    }

    fn end(&self) -> u64 {
        self.start + self.length
    }
}

/// Bytes in front of the postings of a short list.
const _: () = assert!(LIST_COUNT_BYTES == 8);
