//! Writes frames and segments that no writer would leave just so, each whole in itself.

use super::{edit, event, segment_path, stream};
use crate::format::{FrameKind, PackedFrame, SegmentHeader, Stamp};
use crate::io::{Disk, MakeDirectory, MemoryDisk, OpenMode};
use crate::position::{GlobalPosition, StreamVersion};
use crate::segment::Segment;
use crate::timestamp::Timestamp;

/// A frame of one event, or a watermark.
pub(super) struct Forged {
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// The position of the event, which is its number and its version too.
    pub(super) position: u64,
    pub(super) epoch: u32,
    /// An offset of the same segment.
    pub(super) durable_upto: u64,
    pub(super) kind: FrameKind,
}

/// Writes the frame into its segment, and returns the offset behind it.
pub(super) fn forge(disk: &MemoryDisk, forged: &Forged) -> u64 {
    let segment = open(disk, forged.segment);
    let position = GlobalPosition::new(forged.position);
    let mut frame = match forged.kind {
        FrameKind::Commit => PackedFrame::new(),
        kind => PackedFrame::watermark(kind, position),
    };
    if forged.kind == FrameKind::Commit {
        frame.push(&stream("one"), &event(forged.position, 8)).unwrap();
        frame.place(position, [StreamVersion::new(forged.position)]).unwrap();
    }
    frame
        .stamp(&Stamp {
            signing: segment.header().signing,
            location: segment.location(forged.offset),
            durable_upto: segment.location(forged.durable_upto),
            recorded_at: Timestamp::from_micros(1_000_000),
            epoch: forged.epoch,
        })
        .unwrap();
    let start = usize::try_from(forged.offset).unwrap();
    edit(disk, &segment_path(forged.segment), |bytes| {
        bytes[start..start + frame.length()].copy_from_slice(frame.as_bytes());
    });
    forged.offset + frame.length() as u64
}

/// Changes the header of a segment and makes its checksum right again.
pub(super) fn forge_header(
    disk: &MemoryDisk,
    number: u64,
    change: impl FnOnce(&mut SegmentHeader),
) {
    let mut header = *open(disk, number).header();
    change(&mut header);
    edit(disk, &segment_path(number), |bytes| {
        let encoded = header.encode();
        bytes[..encoded.len()].copy_from_slice(&encoded);
    });
}

pub(super) fn open(disk: &MemoryDisk, number: u64) -> Segment<<MemoryDisk as Disk>::File> {
    let log = disk.directory("log", MakeDirectory::Never).unwrap();
    Segment::open(&log, number, OpenMode::Read).unwrap()
}
