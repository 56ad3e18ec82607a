//! An immutable part of the index on disk, read through views of its file.
//!
//! Covers one interval of positions, by which it is named. Every page is checked against its
//! checksum once after the run is opened, before the first byte of it is believed. Checking reads the
//! file and never looks through a map of it: a place that the device cannot read is an error and no
//! signal. A run whose bytes fail anything, or cannot be read, is [`Unusable`]: it is dropped and made
//! again from the log. What the system refuses for other reasons drops none ([`NotOpened`]).

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use uuid::Uuid;

use super::term::TermHash;
use crate::bugs::{self, Bug};
use crate::format::{
    BUCKET_BYTES, Bucket, FILTER_BLOCK_BYTES, Fault, Found, IdTime, LIST_COUNT_BYTES, Location,
    POSTING_BLOCK_BYTES, POSTING_BLOCK_HEADER_BYTES, RUN_PAGE_BYTES, Reference, RunHeader,
    block_start, decode_block, decode_location, decode_short_list, filter_may_hold, list_counts,
    range_of, share_of,
};
use crate::io::{Disk, DiskFile, OpenMode, Piece, ViewedFile};
use crate::position::GlobalPosition;

const SUFFIX: &str = ".run";
const UNFINISHED_SUFFIX: &str = ".tmp";
const POSITION_DIGITS: usize = 20;
const PAGE: u64 = RUN_PAGE_BYTES as u64;

/// Bytes of a bucket that are usually filled: 52 of its 64 places.
const USUAL_FILLING_BYTES: u64 = BUCKET_BYTES as u64 / 64 * 52;

/// The first and the last position of a run.
pub(crate) type Interval = (GlobalPosition, GlobalPosition);

/// Returns the file name of the run over an interval.
pub(crate) fn name(first: GlobalPosition, last: GlobalPosition) -> String {
    format!("{:0POSITION_DIGITS$}-{:0POSITION_DIGITS$}{SUFFIX}", first.get(), last.get())
}

/// Returns the name under which a run is written.
pub(crate) fn unfinished_name(first: GlobalPosition, last: GlobalPosition) -> String {
    format!("{}{UNFINISHED_SUFFIX}", name(first, last))
}

/// Returns the interval in a file name that is that of a run.
pub(crate) fn interval_of(file_name: &str) -> Option<Interval> {
    let (first, last) = file_name.strip_suffix(SUFFIX)?.split_once('-')?;
    let number = |digits: &str| {
        let is_plain =
            digits.len() == POSITION_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|_| is_plain).map(GlobalPosition::new)
    };
    Some((number(first)?, number(last)?))
}

/// Tells whether a file name is that of a run that was never finished.
pub(crate) fn is_unfinished(file_name: &str) -> bool {
    file_name.strip_suffix(UNFINISHED_SUFFIX).is_some_and(|name| interval_of(name).is_some())
}

/// Why a run can not be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unusable(pub(crate) String);

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Fault> for Unusable {
    fn from(fault: Fault) -> Self {
        Self(fault.to_string())
    }
}

/// Why a run was not opened.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// What is there can not be used.
    Unusable(Unusable),
    /// The system did not let it be looked at: too many open files, no memory, no permission.
    Refused(io::Error),
}

impl NotOpened {
    pub(super) fn of_opening(error: io::Error) -> Self {
        match error.kind() {
            // Merged away meanwhile, or something else than a file.
            ErrorKind::NotFound | ErrorKind::InvalidInput => Self::Unusable(error.into()),
            _ => Self::Refused(error),
        }
    }

    fn of_reading(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::OutOfMemory | ErrorKind::PermissionDenied => Self::Refused(error),
            _ => Self::Unusable(error.into()),
        }
    }
}

impl From<Unusable> for NotOpened {
    fn from(fault: Unusable) -> Self {
        Self::Unusable(fault)
    }
}

impl From<NotOpened> for io::Error {
    fn from(reason: NotOpened) -> Self {
        match reason {
            NotOpened::Unusable(fault) => Self::other(fault.to_string()),
            NotOpened::Refused(error) => error,
        }
    }
}

/// A run that is open.
#[derive(Debug)]
pub(crate) struct Run<F> {
    header: RunHeader,
    file: ViewedFile<F>,
    /// One bit a page: set once the page has been checked.
    checked: Box<[AtomicU64]>,
    checksums: Bytes,
}

impl<F: DiskFile> Run<F> {
    /// Opens the run over an interval and checks its header and its list of checksums.
    pub(crate) fn open(
        disk: &impl Disk<File = F>,
        store_id: Uuid,
        interval: Interval,
    ) -> Result<Self, NotOpened> {
        let name = name(interval.0, interval.1);
        let file = disk.open(&name, OpenMode::Read).map_err(NotOpened::of_opening)?;
        let length = file.len().map_err(NotOpened::Refused)?;
        let header = read_header(&file, store_id, interval)?;
        if length != header.length {
            return Err(Unusable("its length is not what its header says".to_owned()).into());
        }
        let pages = header.checksums_offset / PAGE;
        let checksums = read_checksums(&file, &header, pages)?;
        let file = ViewedFile::new(file);
        let words = usize::try_from(pages.div_ceil(64)).unwrap_or(usize::MAX);
        let checked = std::iter::repeat_with(|| AtomicU64::new(0)).take(words).collect();
        Ok(Self { header, file, checked, checksums })
    }

    pub(crate) fn header(&self) -> &RunHeader {
        &self.header
    }

    pub(crate) fn interval(&self) -> Interval {
        (self.header.first_position, self.header.last_position)
    }

    /// Tells whether the id of an event of the run may be of this time.
    pub(crate) fn may_hold_id(&self, time: Option<IdTime>) -> bool {
        time.is_none_or(|time| self.header.id_times.may_hold(time))
    }

    pub(crate) fn name(&self) -> String {
        name(self.header.first_position, self.header.last_position)
    }

    /// Returns a range of bytes, after checking the pages that it lies in.
    #[inline]
    fn bytes(&self, offset: u64, length: u64) -> Result<Piece<'_>, Unusable> {
        let end = offset.checked_add(length).filter(|end| *end <= self.header.checksums_offset);
        let end = end.ok_or_else(|| Unusable("a reference leads out of it".to_owned()))?;
        for page in offset / PAGE..end.div_ceil(PAGE) {
            self.check_page(page)?;
        }
        self.piece(offset, length)
    }

    /// Returns a range of bytes as they are.
    #[inline]
    fn piece(&self, offset: u64, length: u64) -> Result<Piece<'_>, Unusable> {
        let wanted = usize::try_from(length).map_err(|_| Unusable("it is too long".to_owned()))?;
        Ok(self.file.piece(offset, wanted)?)
    }

    /// Checks a page unless it has been checked before.
    #[inline]
    fn check_page(&self, page: u64) -> Result<(), Unusable> {
        let bit = 1 << (page % 64);
        let word = usize::try_from(page / 64).ok().and_then(|word| self.checked.get(word));
        match word {
            Some(word) if word.load(Ordering::Relaxed) & bit != 0 => Ok(()),
            Some(word) => {
                self.check_page_now(page).map(|()| _ = word.fetch_or(bit, Ordering::Relaxed))
            }
            None => Err(Unusable("it has no such page".to_owned())),
        }
    }

    /// Checks a page by reading it, mapped or not: where the device cannot read it, a map would end the
    /// process.
    #[cold]
    fn check_page_now(&self, page: u64) -> Result<(), Unusable> {
        let mut bytes = [0; RUN_PAGE_BYTES];
        if self.file.file().read_up_to(&mut bytes, page * PAGE)? != RUN_PAGE_BYTES {
            return Err(Unusable("it is cut short".to_owned()));
        }
        let place = usize::try_from(page * 4).unwrap_or(usize::MAX);
        let expected = self.checksums.get(place..).and_then(|rest| rest.first_chunk());
        match expected.map(|crc| u32::from_le_bytes(*crc)) {
            Some(expected)
                if crc32fast::hash(&bytes) == expected || bugs::on(Bug::RunPageUnchecked) =>
            {
                Ok(())
            }
            _ => Err(Unusable(format!("the checksum of page {page} does not match"))),
        }
    }

    /// Checks every page behind the header, which was checked when the run was opened.
    pub(crate) fn check_all(&self) -> Result<(), Unusable> {
        (1..self.header.checksums_offset / PAGE).try_for_each(|page| self.check_page(page))
    }

    /// Tells whether a position is in the interval.
    #[inline]
    pub(crate) fn covers(&self, position: GlobalPosition) -> bool {
        (self.header.first_position..=self.header.last_position).contains(&position)
    }

    /// Returns where a position of the interval is.
    #[inline]
    pub(crate) fn locate(&self, position: GlobalPosition) -> Result<Location, Unusable> {
        let width = u64::from(self.header.location_width);
        let slot = position.distance_from(self.header.first_position);
        let bytes = self.bytes(self.header.locations_offset + slot * width, width)?;
        Ok(decode_location(&bytes, self.header.base)?)
    }

    /// Begins to fetch what the first look-up of a term needs, where that is mapped: its block of the
    /// filter, and of its bucket the beginning and about where the term stands. These waits overlap,
    /// and so do those of several runs that are asked in a row.
    pub(crate) fn fetch(&self, term: TermHash) {
        let hash = term.get();
        let header = &self.header;
        let block = range_of(hash, header.filter_block_count) * FILTER_BLOCK_BYTES as u64;
        let bucket = range_of(hash, header.bucket_count) * BUCKET_BYTES as u64;
        let place = range_of(share_of(hash, header.bucket_count), USUAL_FILLING_BYTES);
        let bucket = header.buckets_offset + bucket;
        for offset in [header.filter_offset + block, bucket, bucket + place] {
            self.file.fetch(offset, 1);
        }
    }

    /// Looks a term up.
    pub(crate) fn find(&self, term: TermHash) -> Result<Option<List>, Unusable> {
        let hash = term.get();
        let block = range_of(hash, self.header.filter_block_count);
        let bytes = FILTER_BLOCK_BYTES as u64;
        let filter = self.bytes(self.header.filter_offset + block * bytes, bytes)?;
        if !filter_may_hold(&filter, hash) {
            return Ok(None);
        }
        let mut bucket = range_of(hash, self.header.bucket_count);
        let mut share = share_of(hash, self.header.bucket_count);
        loop {
            match Bucket::decode(&self.bucket(bucket)?)?.find(hash, share)? {
                Found::Here(reference) => return self.list(reference).map(Some),
                Found::MaybeNext => {
                    bucket += 1;
                    share = 0;
                }
                Found::Nowhere => return Ok(None),
            }
        }
    }

    fn bucket(&self, number: u64) -> Result<Piece<'_>, Unusable> {
        let bytes = BUCKET_BYTES as u64;
        let offset = self.header.buckets_offset + number * bytes;
        match offset < self.header.postings_offset {
            true => self.bytes(offset, bytes),
            false => Err(Unusable("a bucket leads out of the buckets".to_owned())),
        }
    }

    /// Iterates over all terms and their lists, by hash.
    pub(crate) fn terms(&self) -> impl Iterator<Item = Result<(u64, Reference), Unusable>> {
        let room = self.header.postings_offset - self.header.buckets_offset;
        (0..room / BUCKET_BYTES as u64).flat_map(|number| {
            let entries = self.bucket(number).and_then(|bytes| {
                let entries = Bucket::decode(&bytes)?.entries().collect::<Result<Vec<_>, _>>();
                Ok(entries?)
            });
            let (entries, fault) = match entries {
                Ok(entries) => (entries, None),
                Err(fault) => (Vec::new(), Some(Err(fault))),
            };
            entries.into_iter().map(Ok).chain(fault)
        })
    }

    /// Returns the list that a reference leads to. Nothing of a short one is read yet.
    pub(crate) fn list(&self, reference: Reference) -> Result<List, Unusable> {
        match reference {
            Reference::Single(last) => {
                Ok(List::Short(Short { last, rest: Rest::Read(Vec::new()) }))
            }
            Reference::Short { offset, last } => {
                Ok(List::Short(Short { last, rest: Rest::At(offset) }))
            }
            Reference::Blocks(offset) => {
                let (count, blocks) = self.list_counts(offset)?;
                let length = u64::from(blocks) * POSTING_BLOCK_BYTES as u64;
                let start = offset.checked_sub(length).map(|start| self.posting_offset(start));
                let start = start.ok_or_else(|| Unusable("a list leads out of it".to_owned()))?;
                Ok(List::Blocks(Blocks { start, blocks, count, current: None }))
            }
        }
    }

    /// Returns the postings of a short list before its last one.
    fn short_list(&self, offset: u64, last: u32) -> Result<Vec<u32>, Unusable> {
        let (count, _) = self.list_counts(offset)?;
        let start = self.posting_offset(offset.saturating_add(LIST_COUNT_BYTES as u64));
        let mut postings = decode_short_list(&self.bytes(start, u64::from(count) * 4)?)?;
        match postings.pop() {
            Some(own) if own == last => Ok(postings),
            _ => Err(Unusable("a list does not end as its reference says".to_owned())),
        }
    }

    fn list_counts(&self, offset: u64) -> Result<(u32, u32), Unusable> {
        let bytes = self.bytes(self.posting_offset(offset), LIST_COUNT_BYTES as u64)?;
        Ok(list_counts(&bytes)?)
    }

    fn posting_offset(&self, offset: u64) -> u64 {
        self.header.postings_offset.saturating_add(offset)
    }

    /// Returns the postings of a block.
    pub(crate) fn block(&self, list: &Blocks, number: u32) -> Result<Vec<u32>, Unusable> {
        Ok(decode_block(&self.bytes(list.offset(number), POSTING_BLOCK_BYTES as u64)?)?)
    }

    /// Returns the first posting of a block and how many of the list stand before it.
    fn start_of(&self, list: &Blocks, number: u32) -> Result<(u32, u32), Unusable> {
        Ok(block_start(&self.bytes(list.offset(number), POSTING_BLOCK_HEADER_BYTES)?)?)
    }

    /// Finds the last block of which `is_before` holds, by bisection; the first if it holds of none.
    fn search(
        &self,
        list: &Blocks,
        is_before: impl Fn((u32, u32)) -> bool,
    ) -> Result<u32, Unusable> {
        let (mut low, mut high) = (0, list.blocks);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match is_before(self.start_of(list, middle)?) {
                true => low = middle,
                false => high = middle,
            }
        }
        Ok(low)
    }
}

/// Reads the header of a run of this store and interval.
pub(super) fn read_header(
    file: &impl DiskFile,
    store_id: Uuid,
    interval: Interval,
) -> Result<RunHeader, NotOpened> {
    let mut page = vec![0; RUN_PAGE_BYTES];
    let length = file.read_up_to(&mut page, 0).map_err(NotOpened::of_reading)?;
    let header = RunHeader::decode(page.get(..length).unwrap_or_default());
    let header = header.map_err(Unusable::from)?;
    if (header.first_position, header.last_position) != interval {
        return Err(Unusable("it is of another interval than its name says".to_owned()).into());
    }
    if header.store_id != store_id {
        return Err(Unusable("it is of another store".to_owned()).into());
    }
    Ok(header)
}

/// Reads the checksums of the pages.
fn read_checksums(
    file: &impl DiskFile,
    header: &RunHeader,
    pages: u64,
) -> Result<Bytes, NotOpened> {
    let length = usize::try_from(pages * 4).map_err(|_| Unusable("it is too long".to_owned()))?;
    let bytes = file.read_bytes(header.checksums_offset, length).map_err(NotOpened::of_reading)?;
    if bytes.len() != length {
        return Err(Unusable("its checksums are cut short".to_owned()).into());
    }
    match crc32fast::hash(&bytes) == header.checksums_crc {
        true => Ok(bytes),
        false => Err(Unusable("the checksum of its checksums does not match".to_owned()).into()),
    }
}

/// The postings of one term in one run, counted from the run's first position, ascending.
#[derive(Debug, Clone)]
pub(crate) enum List {
    Short(Short),
    Blocks(Blocks),
}

/// A list that is read as a whole, once another posting than its last one is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Short {
    last: u32,
    rest: Rest,
}

/// The postings of a short list before its last one.
#[derive(Debug, Clone)]
enum Rest {
    /// They are still to be read, at this offset in the part of the postings.
    At(u64),
    Read(Vec<u32>),
}

/// A list that is long enough to be kept in blocks.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    /// The offset of the first block in the file.
    start: u64,
    pub(crate) blocks: u32,
    count: u32,
    /// The block that was looked at last.
    current: Option<(u32, Vec<u32>)>,
}

impl Blocks {
    fn offset(&self, number: u32) -> u64 {
        self.start + u64::from(number) * POSTING_BLOCK_BYTES as u64
    }
}

impl List {
    /// Returns how many postings there are.
    pub(crate) fn count<F: DiskFile>(&mut self, run: &Run<F>) -> Result<u32, Unusable> {
        match self {
            Self::Short(list) => {
                let count = u32::try_from(list.rest(run)?.len() + 1);
                Ok(count.map_err(|_| Fault::Invalid("short list"))?)
            }
            Self::Blocks(list) => Ok(list.count),
        }
    }

    /// Returns the first posting that is at least `posting`.
    pub(crate) fn first_from<F: DiskFile>(
        &mut self,
        run: &Run<F>,
        posting: u32,
    ) -> Result<Option<u32>, Unusable> {
        let find = |postings: &[u32]| {
            postings.get(postings.partition_point(|one| *one < posting)).copied()
        };
        match self {
            Self::Short(list) if list.last < posting => Ok(None),
            Self::Short(list) => Ok(Some(find(list.rest(run)?).unwrap_or(list.last))),
            Self::Blocks(list) => {
                let number = list.holding(run, posting)?;
                if let Some(found) = find(list.postings(run, number)?) {
                    return Ok(Some(found));
                }
                match number + 1 < list.blocks {
                    true => Ok(find(list.postings(run, number + 1)?)),
                    false => Ok(None),
                }
            }
        }
    }

    /// Returns the last posting that is at most `posting`.
    pub(crate) fn last_to<F: DiskFile>(
        &mut self,
        run: &Run<F>,
        posting: u32,
    ) -> Result<Option<u32>, Unusable> {
        let find = |postings: &[u32]| {
            let behind = postings.partition_point(|one| *one <= posting);
            behind.checked_sub(1).and_then(|last| postings.get(last)).copied()
        };
        match self {
            Self::Short(list) if list.last <= posting => Ok(Some(list.last)),
            Self::Short(list) => Ok(find(list.rest(run)?)),
            Self::Blocks(list) => {
                let number = list.holding(run, posting)?;
                Ok(find(list.postings(run, number)?))
            }
        }
    }

    /// Returns the postings behind one that was just found, as many as have been read.
    pub(crate) fn read_behind(&self, posting: u32) -> &[u32] {
        let read: &[u32] = match self {
            Self::Short(Short { rest: Rest::Read(rest), .. }) => rest,
            Self::Blocks(Blocks { current: Some((_, postings)), .. }) => postings,
            Self::Short(_) | Self::Blocks(_) => &[],
        };
        read.get(read.partition_point(|one| *one <= posting)..).unwrap_or_default()
    }

    /// Returns the posting that `rank` others come before.
    pub(crate) fn at_rank<F: DiskFile>(
        &mut self,
        run: &Run<F>,
        rank: u32,
    ) -> Result<Option<u32>, Unusable> {
        match self {
            Self::Short(list) => {
                let rest = list.rest(run)?;
                let is_last = rest.len() == rank as usize;
                let found = rest.get(rank as usize).copied();
                Ok(found.or_else(|| is_last.then_some(list.last)))
            }
            Self::Blocks(list) => {
                let number = run.search(list, |(_, before)| before <= rank)?;
                let (_, before) = run.start_of(list, number)?;
                let place = rank.checked_sub(before).ok_or(Fault::Invalid("posting block"))?;
                Ok(list.postings(run, number)?.get(place as usize).copied())
            }
        }
    }

    /// Iterates over all postings, block by block.
    pub(crate) fn all<'a, F: DiskFile>(
        &'a mut self,
        run: &'a Run<F>,
    ) -> Box<dyn Iterator<Item = Result<u32, Unusable>> + 'a> {
        match self {
            Self::Short(list) => {
                let last = list.last;
                match list.rest(run) {
                    Ok(rest) => Box::new(rest.iter().copied().chain([last]).map(Ok)),
                    Err(fault) => Box::new(std::iter::once(Err(fault))),
                }
            }
            Self::Blocks(list) => {
                let list = &*list;
                Box::new((0..list.blocks).flat_map(move |number| {
                    let (postings, fault) = match run.block(list, number) {
                        Ok(postings) => (postings, None),
                        Err(fault) => (Vec::new(), Some(Err(fault))),
                    };
                    postings.into_iter().map(Ok).chain(fault)
                }))
            }
        }
    }
}

impl Short {
    /// Returns the postings before the last one.
    fn rest<F: DiskFile>(&mut self, run: &Run<F>) -> Result<&[u32], Unusable> {
        if let Rest::At(offset) = self.rest {
            self.rest = Rest::Read(run.short_list(offset, self.last)?);
        }
        match &self.rest {
            Rest::Read(rest) => Ok(rest),
            Rest::At(_) => Err(Fault::Invalid("short list").into()),
        }
    }
}

impl Blocks {
    /// Returns the number of the block in which a posting stands, if it does at all.
    fn holding<F: DiskFile>(&self, run: &Run<F>, posting: u32) -> Result<u32, Unusable> {
        if let Some((number, postings)) = &self.current
            && postings.first().is_some_and(|first| *first <= posting)
            && postings.last().is_some_and(|last| posting <= *last)
        {
            return Ok(*number);
        }
        run.search(self, |(first, _)| first <= posting)
    }

    /// Returns the postings of a block, remembering them for the next question.
    fn postings<F: DiskFile>(&mut self, run: &Run<F>, number: u32) -> Result<&[u32], Unusable> {
        let is_current = self.current.as_ref().is_some_and(|(current, _)| *current == number);
        if !is_current {
            self.current = Some((number, run.block(self, number)?));
        }
        Ok(self.current.as_ref().map(|(_, postings)| postings.as_slice()).unwrap_or_default())
    }
}
