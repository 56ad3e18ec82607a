//! Changes to the files of a store, as an input of the fuzzer tells them.

use crate::format::{
    Footer, FrameKind, Location, PackedFrame, RUN_PAGE_BYTES, RunHeader, SEGMENT_FOOTER_BYTES,
    SEGMENT_HEADER_BYTES, SegmentHeader, Stamp,
};
use crate::io::MemoryDisk;
use crate::position::{GlobalPosition, StreamVersion};
use crate::testing::small::{pick, take, take_up_to};
use crate::timestamp::Timestamp;

/// What an input may make beside the files that are there.
const NAMES: &[&str] = &[
    "LOCK",
    "STORE.tmp",
    "cut/0000000000000001-0000004096-0.bin",
    "index/00000000000000000001-00000000000000000009.run",
    "index/00000000000000000001-00000000000000000016.run",
    "index/00000000000000000030-00000000000000000040.run",
    "index/00000000000000000001-00000000000000000004.run.tmp",
    "log/0000000000000000.seg",
    "log/0000000000000001.tmp",
    "log/0000000000000005.seg",
    "log/9999999999999999.seg",
    "notes.txt",
];

/// The largest file that an input makes.
const FILE_BYTES_MAX: usize = 32 << 10;

/// Returns the files that there are, those whose names begin so, and names of others.
pub(super) fn files(disk: &MemoryDisk, prefix: &str) -> Vec<String> {
    let names = disk.files().into_iter().chain(NAMES.iter().map(|name| (*name).to_owned()));
    let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Applies the changes that an input tells, one after the other.
pub(super) fn apply(disk: &MemoryDisk, mut input: &[u8]) {
    let files = files(disk, "");
    while !input.is_empty() {
        let [kind] = take(&mut input);
        let path = pick(&mut input, &files);
        match kind % 7 {
            0 => overwrite(disk, path, &mut input),
            1 => cut(disk, path, &mut input),
            2 => replace(disk, path, &mut input),
            3 => remove(disk, path),
            4 => {
                let from = pick(&mut input, &files);
                disk.set_bytes(path, disk.bytes_of(from).unwrap_or_default());
            }
            5 => forge_frame(disk, path, &mut input),
            _ => seal(disk, path),
        }
    }
}

fn edit(disk: &MemoryDisk, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    if let Ok(mut bytes) = disk.bytes_of(path) {
        change(&mut bytes);
        disk.set_bytes(path, bytes);
    }
}

/// Writes some bytes of an input over those of a file: an offset, a length, and the bytes.
pub(super) fn overwrite(disk: &MemoryDisk, path: &str, input: &mut &[u8]) {
    let offset = u32::from_le_bytes(take(input)) as usize;
    let [length] = take(input);
    let new = take_up_to(input, length.into());
    edit(disk, path, |bytes| {
        let start = offset % (bytes.len() + 1);
        for (to, from) in bytes.iter_mut().skip(start).zip(new) {
            *to = *from;
        }
    });
}

fn cut(disk: &MemoryDisk, path: &str, input: &mut &[u8]) {
    let length = u32::from_le_bytes(take(input)) as usize;
    edit(disk, path, |bytes| bytes.truncate(length % (bytes.len() + 1)));
}

fn replace(disk: &MemoryDisk, path: &str, input: &mut &[u8]) {
    let length = usize::from(u16::from_le_bytes(take(input)));
    let bytes = take_up_to(input, length.min(FILE_BYTES_MAX));
    disk.set_bytes(path, bytes.to_vec());
}

fn remove(disk: &MemoryDisk, path: &str) {
    use crate::io::{Disk, MakeDirectory};
    let removed = match path.split_once('/') {
        None => disk.remove(path),
        Some((folder, name)) => {
            disk.directory(folder, MakeDirectory::Never).and_then(|folder| folder.remove(name))
        }
    };
    let _was_not_there = removed;
}

/// Writes a frame whose checksums hold into a segment, with events as the input has them.
fn forge_frame(disk: &MemoryDisk, path: &str, input: &mut &[u8]) {
    let offset = u64::from(u16::from_le_bytes(take(input))) & !7;
    let first_position = u64::from(u16::from_le_bytes(take(input)));
    let durable_upto = Location::new(u32::from_le_bytes(take(input)).into());
    let recorded_at = Timestamp::from_micros(i64::from_le_bytes(take(input)));
    let epoch = u32::from_le_bytes(take(input));
    let [events] = take(input);
    let position = GlobalPosition::new(first_position.max(1));
    let mut frame = match events {
        0 => PackedFrame::watermark(FrameKind::Watermark, position),
        255 => PackedFrame::watermark(FrameKind::Closed, position),
        _ => PackedFrame::new(),
    };
    let count = if events == 255 { 0 } else { events % 4 };
    for _ in 0..count {
        let length = usize::from(u16::from_le_bytes(take(input)));
        frame.push_raw(take_up_to(input, length));
    }
    // What is too short for an event has neither a place nor a checksum.
    let _refused = frame.place(position, (1..=u64::from(count)).map(StreamVersion::new));
    edit(disk, path, |bytes| {
        let Ok(header) = SegmentHeader::decode(bytes) else { return };
        let start = (SEGMENT_HEADER_BYTES as u64 + offset).min(bytes.len() as u64);
        let Some(location) = header.base.get().checked_add(start).map(Location::new) else {
            return;
        };
        let signing = header.signing;
        let _refused = frame.stamp(&Stamp { signing, location, durable_upto, recorded_at, epoch });
        let target = bytes.iter_mut().skip(usize::try_from(start).unwrap());
        target.zip(frame.as_bytes()).for_each(|(to, from)| *to = *from);
    });
}

/// Makes the checksums of a file right, as far as it is what its name says.
pub(super) fn seal(disk: &MemoryDisk, path: &str) {
    edit(disk, path, |bytes| match path.split('/').next() {
        Some("log") => seal_segment(bytes),
        Some("index") => seal_run(bytes),
        _ => put_crc(bytes),
    });
}

/// Puts the checksum of the bytes before it into the last four bytes.
fn put_crc(bytes: &mut [u8]) {
    if let Some((checked, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(checked).to_le_bytes();
    }
}

fn seal_segment(bytes: &mut [u8]) {
    let Some(header) = bytes.get_mut(..SEGMENT_HEADER_BYTES) else { return };
    put_crc(header);
    let Ok(decoded) = SegmentHeader::decode(header) else { return };
    let Some(footer) = bytes.len().checked_sub(SEGMENT_FOOTER_BYTES) else { return };
    if footer >= SEGMENT_HEADER_BYTES && bytes[footer..].iter().any(|byte| *byte != 0) {
        Footer::seal(&mut bytes[footer..], &decoded);
    }
}

fn seal_run(bytes: &mut [u8]) {
    let Some(header) = bytes.get_mut(..RUN_PAGE_BYTES) else { return };
    put_crc(header);
    let Ok(mut header) = RunHeader::decode(header) else { return };
    let Ok(checksums) = usize::try_from(header.checksums_offset) else { return };
    if checksums > bytes.len() {
        return;
    }
    let (pages, list) = bytes.split_at_mut(checksums);
    for (page, crc) in pages.chunks(RUN_PAGE_BYTES).zip(list.chunks_exact_mut(4)).skip(1) {
        crc.copy_from_slice(&crc32fast::hash(page).to_le_bytes());
    }
    let count = pages.len().div_ceil(RUN_PAGE_BYTES) * 4;
    header.checksums_crc = crc32fast::hash(&list[..count.min(list.len())]);
    bytes[..RUN_PAGE_BYTES].copy_from_slice(&header.encode());
}
