//! One test and more for every letter of the table in `recovery`: what a writable opening does with
//! it, and what a read-only one still gives.

use super::forge::{Forged, forge, forge_header};
use super::*;
use crate::engine::tail::CUT_DIRECTORY;
use crate::format::{FRAME_HEADER_BYTES, Location, SEGMENT_FOOTER_BYTES};

/// Sizes of events that fill three segments of a small store and begin a fourth.
const FOUR_SEGMENTS: [usize; 20] = [SIXTH; 20];

/// Asserts that a store is refused for damage in a file, and returns the damage.
fn assert_refused(disk: &MemoryDisk, path: &str) -> Damage {
    let before: Vec<_> = disk.files().iter().map(|path| disk.bytes_of(path).unwrap()).collect();
    let damage = damage_of(try_open(disk));
    assert_eq!(damage.file.to_str().unwrap(), path);
    let after: Vec<_> = disk.files().iter().map(|path| disk.bytes_of(path).unwrap()).collect();
    assert_eq!(before, after, "a refusal changes nothing");
    let report = verify(disk.clone()).unwrap();
    assert!(!report.is_intact());
    assert!(report.findings.iter().any(|finding| finding.file == damage.file));
    damage
}

/// Asserts that a read-only opening gives every position up to `count` but the lost ones: those
/// before by reading from the start, those behind by reading from there.
fn assert_readable_but(disk: &MemoryDisk, lost: std::ops::Range<u64>, count: u64) {
    let engine = open_read_only(disk);
    let found = |finding: &&crate::engine::Finding| finding.severity == Severity::Damage;
    let finding = engine.findings().iter().find(found).unwrap();
    let lost_first = (!lost.is_empty()).then(|| GlobalPosition::new(lost.start));
    assert_eq!(finding.first_lost, lost_first, "{finding}");
    let good = (lost.end <= count).then(|| GlobalPosition::new(lost.end));
    assert_eq!(finding.first_good_after, good, "{finding}");
    let (before, error) = read_from(&engine, 1);
    if lost.is_empty() {
        assert_eq!(positions(&before), (1..=count).collect::<Vec<_>>());
        assert!(error.is_none());
        return;
    }
    assert_eq!(positions(&before), (1..lost.start).collect::<Vec<_>>());
    assert_are_original(&before);
    let damage = damage_of(error.map_or(Ok(()), Err));
    assert_eq!((damage.file, damage.offset), (finding.file.clone(), finding.offset));
    if lost.end > count {
        return;
    }
    let (after, error) = read_from(&engine, lost.end);
    assert_eq!(positions(&after), (lost.end..=count).collect::<Vec<_>>());
    assert_are_original(&after);
    assert!(error.is_none());
}

/// Asserts that opening cuts something with a note, keeps `kept` aside, and then goes on after
/// `count` events with nothing to say any more.
fn assert_cut(disk: &MemoryDisk, path: &str, kept: &[u8], count: u64) {
    let read_only = open_read_only(disk);
    assert_holds(&read_only, count);
    assert!(read_only.findings().iter().all(|finding| finding.severity == Severity::Note));
    assert_eq!(read_only.findings().len(), 1);
    let engine = open(disk);
    let [finding] = engine.findings() else { panic!("{:?}", engine.findings()) };
    assert_eq!(finding.severity, Severity::Note);
    assert_eq!(finding.file.to_str().unwrap(), path);
    let kept_in = finding.kept_in.as_ref().unwrap().to_str().unwrap();
    assert!(kept_in.starts_with(CUT_DIRECTORY));
    assert!(disk.bytes_of(kept_in).unwrap() == kept, "the bytes that were cut");
    assert_holds(&engine, count);
    drop(engine);
    assert_goes_on(disk, count);
}

fn bytes_between(disk: &MemoryDisk, path: &str, start: u64, end: u64) -> Vec<u8> {
    let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
    disk.bytes_of(path).unwrap()[range].to_vec()
}

#[test]
fn case_a_a_log_without_segments_is_damage() {
    let disk = closed_after(&[8]);
    remove(&disk, &segment_path(1));
    assert_refused(&disk, "log");
    assert_eq!(read_from(&open_read_only(&disk), 1).0, []);
}

#[test]
fn case_a_a_missing_segment_is_damage_and_is_named() {
    let disk = closed_after(&FOUR_SEGMENTS);
    let lost = frames(&disk).into_iter().filter(|frame| frame.segment == 2 && frame.events > 0);
    let lost: Vec<_> = lost.map(|frame| frame.first).collect();
    remove(&disk, &segment_path(2));
    assert_refused(&disk, &segment_path(2));
    assert_readable_but(&disk, lost[0]..lost[lost.len() - 1] + 1, 20);
}

#[test]
fn case_a_a_missing_last_segment_is_damage_since_the_one_before_is_sealed() {
    let disk = closed_after(&FOUR_SEGMENTS);
    let first_lost = frames(&disk).iter().find(|frame| frame.segment == 4).unwrap().first;
    for path in disk.files().iter().filter(|path| **path >= segment_path(4)) {
        if path.starts_with("log/") {
            remove(&disk, path);
        }
    }
    let damage = assert_refused(&disk, &segment_path(4));
    assert_eq!(damage.first_lost, Some(GlobalPosition::new(first_lost)));
    let (events, _) = read_from(&open_read_only(&disk), 1);
    assert_eq!(positions(&events), (1..first_lost).collect::<Vec<_>>());
}

#[test]
fn case_a_a_number_far_off_is_damage_and_costs_nothing() {
    let disk = closed_after(&[8, 8]);
    disk.set_bytes(&segment_path(9_999_999_999_999_999), vec![0; 8192]);
    assert_refused(&disk, &segment_path(2));
    assert_eq!(positions(&read_from(&open_read_only(&disk), 1).0), [1, 2]);
}

#[test]
fn case_b_a_bad_header_before_another_segment_is_damage() {
    let disk = closed_after(&FOUR_SEGMENTS);
    let lost = frames(&disk).into_iter().filter(|frame| frame.segment == 2 && frame.events > 0);
    let lost: Vec<_> = lost.map(|frame| frame.first).collect();
    flip(&disk, &segment_path(2), 4000);
    assert_refused(&disk, &segment_path(2));
    assert_readable_but(&disk, lost[0]..lost[lost.len() - 1] + 1, 20);
}

#[test]
fn case_b_a_bad_header_behind_a_sealed_segment_is_damage() {
    let disk = closed_after(&[SIXTH; 7]);
    let in_second = frames(&disk).iter().find(|frame| frame.segment == 2).unwrap().first;
    assert_eq!(disk.files().iter().filter(|path| path.ends_with(".seg")).count(), 2);
    flip(&disk, &segment_path(2), 50);
    let damage = assert_refused(&disk, &segment_path(2));
    assert_eq!(damage.first_lost, Some(GlobalPosition::new(in_second)));
    let (events, _) = read_from(&open_read_only(&disk), 1);
    assert_eq!(positions(&events), (1..in_second).collect::<Vec<_>>());
}

#[test]
fn case_b_a_bad_header_of_the_only_segment_is_damage() {
    let disk = closed_after(&[8]);
    flip(&disk, &segment_path(1), 50);
    assert_refused(&disk, &segment_path(1));
}

/// Returns a closed store of four events whose spare, segment 2, is there.
fn closed_with_spare() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=4, SIXTH);
    wait_until(|| disk.files().contains(&segment_path(2)));
    engine.close().unwrap();
    disk
}

#[test]
fn case_c_a_spare_with_a_bad_header_is_set_aside() {
    let disk = closed_with_spare();
    flip(&disk, &segment_path(2), 50);
    let spare = disk.bytes_of(&segment_path(2)).unwrap();
    assert!(verify(disk.clone()).unwrap().is_intact());
    assert_holds(&open_read_only(&disk), 4);
    let engine = open(&disk);
    assert_eq!(engine.findings().len(), 1);
    assert_eq!(engine.findings()[0].severity, Severity::Note);
    append_all(&engine, 5..=20, SIXTH);
    engine.close().unwrap();
    let kept = format!("{}.unusable", segment_path(2));
    assert_eq!(disk.bytes_of(&kept).unwrap(), spare);
    assert_goes_on(&disk, 20);
}

/// Opening set aside the first and left the second, which then had a gap before it.
#[test]
fn case_c_two_spares_that_can_not_be_used_are_both_set_aside() {
    let disk = closed_with_spare();
    let spare = disk.bytes_of(&segment_path(2)).unwrap();
    disk.set_bytes(&segment_path(2), spare[..spare.len() - 9].to_vec());
    disk.set_bytes(&segment_path(3), b"no segment".to_vec());
    let options = EngineOptions { workers: Workers::Caller, ..options() };
    let engine = Engine::open(disk.clone(), &options).unwrap();
    engine.close().unwrap();
    for number in [2, 3] {
        assert!(!disk.files().contains(&segment_path(number)), "{number}");
        assert!(disk.files().contains(&format!("{}.unusable", segment_path(number))), "{number}");
    }
    assert_goes_on(&disk, 4);
}

#[test]
fn case_d_a_segment_of_another_store_is_damage() {
    let disk = closed_after(&FOUR_SEGMENTS);
    let other = closed_after(&FOUR_SEGMENTS);
    disk.set_bytes(&segment_path(2), other.bytes_of(&segment_path(2)).unwrap());
    assert!(assert_refused(&disk, &segment_path(2)).reason.contains("another store"));
}

#[test]
fn case_d_a_segment_that_does_not_continue_the_log_is_damage() {
    let disk = closed_after(&FOUR_SEGMENTS);
    forge_header(&disk, 3, |header| header.base = header.base.plus(64));
    assert!(assert_refused(&disk, &segment_path(3)).reason.contains("does not continue"));
    let disk = closed_after(&FOUR_SEGMENTS);
    forge_header(&disk, 1, |header| header.base = Location::new(64));
    assert_refused(&disk, &segment_path(1));
}

#[test]
fn case_d_a_segment_under_the_name_of_another_is_damage() {
    let disk = closed_after(&FOUR_SEGMENTS);
    let (second, third) =
        (disk.bytes_of(&segment_path(2)).unwrap(), disk.bytes_of(&segment_path(3)).unwrap());
    disk.set_bytes(&segment_path(2), third);
    disk.set_bytes(&segment_path(3), second);
    assert_refused(&disk, &segment_path(2));
}

#[test]
fn case_e_sealed_segments_that_agree_with_their_footers_are_good() {
    let disk = closed_after(&FOUR_SEGMENTS);
    assert!(frames(&disk).last().unwrap().segment >= 4);
    let report = verify(disk.clone()).unwrap();
    assert_eq!((report.events, report.commits, report.findings.len()), (20, 20, 0));
    assert_goes_on(&disk, 20);
}

#[test]
fn case_f_a_bad_frame_within_a_sealed_segment_is_damage() {
    let disk = closed_after(&FOUR_SEGMENTS);
    let frame = frame_of(&disk, 8);
    assert_eq!(frame.segment, 2);
    flip(&disk, &frame.path, frame.middle());
    assert_eq!(assert_refused(&disk, &frame.path).offset, frame.offset);
    assert_readable_but(&disk, 8..9, 20);
}

#[test]
fn case_f_a_bad_last_frame_of_a_sealed_segment_is_damage() {
    let disk = closed_after(&FOUR_SEGMENTS);
    let of_second = |frame: &Place| frame.segment == 2 && frame.events > 0;
    let frame = frames(&disk).into_iter().rfind(of_second).unwrap();
    let end = frames(&disk).into_iter().rfind(|frame| frame.segment == 2).unwrap().end();
    // Whatever marks stand behind the frame go with it.
    edit(&disk, &frame.path, |bytes| zero(bytes, frame.offset, end));
    assert_eq!(assert_refused(&disk, &frame.path).offset, frame.offset);
    assert_readable_but(&disk, frame.first..frame.first + 1, 20);
}

#[test]
fn case_g_a_footer_that_was_not_finished_is_cut() {
    let disk = closed_with_spare();
    let disk = crash(&disk);
    let footer = SEGMENT_BYTES - SEGMENT_FOOTER_BYTES as u64;
    edit(&disk, &segment_path(1), |bytes| {
        bytes[usize::try_from(footer).unwrap()..][..20].copy_from_slice(b"annalsFT half of it.");
    });
    let kept = bytes_between(&disk, &segment_path(1), footer, SEGMENT_BYTES);
    assert_cut(&disk, &segment_path(1), &kept, 4);
}

#[test]
fn case_g_a_segment_that_was_sealed_just_before_the_crash_is_good() {
    let disk = crashed_after(&[SIXTH; 7]);
    let frame = frame_of(&disk, 7);
    assert_eq!(frame.segment, 2);
    edit(&disk, &frame.path, |bytes| zero(bytes, frame.offset, SEGMENT_BYTES));
    assert_goes_on(&disk, 6);
}

#[test]
fn case_h_zeros_behind_the_last_frame_are_the_end_of_the_log() {
    assert_goes_on(&crashed_after(&[8; 5]), 5);
    assert_goes_on(&crashed_after(&FOUR_SEGMENTS), 20);
    assert_goes_on(&crashed_after(&[]), 0);
    assert_goes_on(&closed_after(&[]), 0);
}

#[test]
fn case_i_a_torn_tail_is_cut_and_kept_aside() {
    let whole = crashed_after(&[8, 8, 500]);
    let last = frame_of(&whole, 3);
    for torn_at in (8..last.length).step_by(56) {
        let disk = whole.copy();
        let torn_at = last.offset + torn_at;
        edit(&disk, &last.path, |bytes| zero(bytes, torn_at, last.end()));
        let written = bytes_between(&disk, &last.path, last.offset, torn_at);
        let end = written.iter().rposition(|byte| *byte != 0).unwrap() / 8 * 8 + 8;
        assert_cut(&disk, &last.path, &written[..end], 2);
    }
}

#[test]
fn case_i_a_torn_frame_before_a_whole_one_of_its_group_is_cut_with_it() {
    let disk = crashed_after(&[8]);
    let first = frame_of(&disk, 1);
    let frame = |position, offset| Forged {
        segment: 1,
        offset,
        position,
        epoch: first.epoch,
        durable_upto: first.end(),
        kind: FrameKind::Commit,
    };
    let second = forge(&disk, &frame(2, first.end()));
    let third = forge(&disk, &frame(3, second));
    edit(&disk, &first.path, |bytes| zero(bytes, first.end() + 40, first.end() + 100));
    let kept = bytes_between(&disk, &first.path, first.end(), third);
    let kept_end = kept.iter().rposition(|byte| *byte != 0).unwrap() / 8 * 8 + 8;
    assert_cut(&disk, &first.path, &kept[..kept_end], 1);
}

#[test]
fn case_i_a_bad_last_mark_is_cut_and_loses_no_event() {
    let disk = closed_after(&[8, 8]);
    let mark = frames(&disk).pop().unwrap();
    assert_ne!(mark.kind, FrameKind::Commit);
    flip(&disk, &mark.path, mark.offset + 10);
    let kept = bytes_between(&disk, &mark.path, mark.offset, mark.end());
    assert_cut(&disk, &mark.path, &kept, 2);
}

#[test]
fn case_i_bytes_in_a_spare_are_cut() {
    let disk = closed_with_spare();
    edit(&disk, &segment_path(2), |bytes| bytes[5000] = 7);
    let kept = bytes_between(&disk, &segment_path(2), 4096, 5008);
    assert_cut(&disk, &segment_path(2), &kept, 4);
}

#[test]
fn case_i_bytes_in_the_place_of_a_spares_footer_are_cut() {
    // They went unnoticed: a spare was only searched where frames stand.
    let disk = closed_with_spare();
    let footer = SEGMENT_BYTES - SEGMENT_FOOTER_BYTES as u64;
    flip(&disk, &segment_path(2), footer + 39);
    let kept = bytes_between(&disk, &segment_path(2), footer, SEGMENT_BYTES);
    assert_cut(&disk, &segment_path(2), &kept, 4);
}

#[test]
fn case_j_a_bad_commit_before_a_mark_is_damage() {
    let disk = closed_after(&[8, 8, 8]);
    let frame = frame_of(&disk, 3);
    for offset in frame.offset..frame.end() {
        let disk = disk.copy();
        flip(&disk, &frame.path, offset);
        assert_eq!(assert_refused(&disk, &frame.path).offset, frame.offset);
        let engine = open_read_only(&disk);
        // The last byte is padding, and the event does not need the header of its frame.
        let event = frame.offset + FRAME_HEADER_BYTES as u64..frame.end() - 1;
        let (given, lost): (&[u64], _) = match event.contains(&offset) {
            true => (&[1, 2], Some(GlobalPosition::new(3))),
            false => (&[1, 2, 3], None),
        };
        assert_eq!(positions(&read_from(&engine, 1).0), given, "{offset}");
        assert_eq!(engine.findings()[0].first_lost, lost, "{offset}");
    }
}

#[test]
fn case_j_a_bad_commit_before_a_later_one_is_damage() {
    let disk = crashed_after(&[8, 8, 8, 8]);
    let frame = frame_of(&disk, 2);
    flip(&disk, &frame.path, frame.middle());
    assert_eq!(assert_refused(&disk, &frame.path).offset, frame.offset);
    assert_readable_but(&disk, 2..3, 4);
}

#[test]
fn case_j_what_verifies_between_the_damage_and_its_evidence_can_be_read() {
    let disk = crashed_after(&[8]);
    let first = frame_of(&disk, 1);
    let frame = |position, offset, durable_upto, kind| Forged {
        segment: 1,
        offset,
        position,
        epoch: first.epoch,
        durable_upto,
        kind,
    };
    let second = forge(&disk, &frame(2, first.end(), first.end(), FrameKind::Commit));
    let third = forge(&disk, &frame(3, second, first.end(), FrameKind::Commit));
    forge(&disk, &frame(4, third, third, FrameKind::Watermark));
    assert_goes_on(&disk.copy(), 3);
    flip(&disk, &first.path, first.end() + 50);
    assert_eq!(assert_refused(&disk, &first.path).offset, first.end());
    assert_readable_but(&disk, 2..3, 3);
}

#[test]
fn case_j_zeros_in_the_place_of_a_durable_commit_are_damage() {
    let disk = crashed_after(&[8, 2000, 8]);
    let frame = frame_of(&disk, 2);
    edit(&disk, &frame.path, |bytes| zero(bytes, frame.offset, frame.end()));
    assert_eq!(assert_refused(&disk, &frame.path).offset, frame.offset);
    assert_readable_but(&disk, 2..3, 3);
}

#[test]
fn case_j_a_bad_commit_with_a_large_payload_of_zeros_is_damage() {
    // Only four MiB of zeros were passed over, and the commit was cut as a torn tail.
    let disk = crashed_after(&[8]);
    let engine = open(&disk);
    let zeros = NewEvent::new("Happened", vec![0; 5 << 20]);
    append_to(&engine, &stream("one"), ExpectedVersion::Any, vec![zeros]).unwrap();
    engine.close().unwrap();
    let frame = frame_of(&disk, 2);
    let whole = disk.copy();
    flip(&disk, &frame.path, frame.offset + FRAME_HEADER_BYTES as u64 + 1);
    let damage = assert_refused(&disk, &frame.path);
    assert_eq!((damage.offset, damage.first_lost), (frame.offset, Some(GlobalPosition::new(2))));
    flip(&whole, &frame.path, frame.offset + 1);
    let damage = assert_refused(&whole, &frame.path);
    assert_eq!((damage.offset, damage.first_lost), (frame.offset, None));
    assert_eq!(positions(&read_from(&open_read_only(&whole), 1).0), [1, 2]);
}

#[test]
fn case_k_a_bad_footer_before_a_segment_with_frames_is_damage() {
    let whole = closed_after(&FOUR_SEGMENTS);
    let footer = SEGMENT_BYTES - SEGMENT_FOOTER_BYTES as u64;
    let disk = whole.copy();
    flip(&disk, &segment_path(2), footer + 20);
    assert_eq!(assert_refused(&disk, &segment_path(2)).offset, footer);
    let next = frames(&whole).into_iter().find(|frame| frame.segment == 3).unwrap().first;
    assert_readable_but(&disk, next..next, 20);
    let disk = whole.copy();
    edit(&disk, &segment_path(2), |bytes| zero(bytes, footer, SEGMENT_BYTES));
    assert_eq!(assert_refused(&disk, &segment_path(2)).offset, footer);
    assert_readable_but(&disk, next..next, 20);
}

#[test]
fn case_l_stray_bytes_in_a_sealed_segment_are_noted_and_left() {
    let disk = closed_after(&FOUR_SEGMENTS);
    let last = frames(&disk).into_iter().rfind(|frame| frame.segment == 2).unwrap();
    flip(&disk, &last.path, last.end() + 100);
    let engine = open(&disk);
    let [finding] = engine.findings() else { panic!("{:?}", engine.findings()) };
    assert_eq!(finding.severity, Severity::Note);
    assert_eq!(finding.file.to_str().unwrap(), last.path);
    assert_holds(&engine, 20);
    drop(engine);
    let report = verify(disk).unwrap();
    assert!(report.is_intact());
    assert_eq!(report.findings.len(), 1);
}

#[test]
fn case_m_a_frame_of_an_older_writer_behind_the_end_is_cut() {
    let disk = crashed_after(&[8]);
    let engine = open(&disk);
    append(&engine, 2).unwrap();
    drop(engine);
    let disk = crash(&disk);
    let end = frame_of(&disk, 2);
    let older = Forged {
        segment: 1,
        offset: end.end(),
        position: 3,
        epoch: end.epoch - 1,
        durable_upto: end.end(),
        kind: FrameKind::Commit,
    };
    let behind = forge(&disk, &older);
    let kept = bytes_between(&disk, &end.path, end.end(), behind);
    let kept_end = kept.iter().rposition(|byte| *byte != 0).unwrap() / 8 * 8 + 8;
    assert_cut(&disk, &end.path, &kept[..kept_end], 2);
}

#[test]
fn case_m_a_frame_with_a_later_position_that_nothing_vouches_for_is_cut() {
    let disk = crashed_after(&[8]);
    let first = frame_of(&disk, 1);
    let later = Forged {
        segment: 1,
        offset: first.end(),
        position: 5,
        epoch: first.epoch,
        durable_upto: first.end(),
        kind: FrameKind::Commit,
    };
    let behind = forge(&disk, &later);
    let kept = bytes_between(&disk, &first.path, first.end(), behind);
    let kept_end = kept.iter().rposition(|byte| *byte != 0).unwrap() / 8 * 8 + 8;
    assert_cut(&disk, &first.path, &kept[..kept_end], 1);
}

#[test]
fn case_m_a_frame_that_skips_positions_and_is_vouched_for_is_damage() {
    let disk = crashed_after(&[8]);
    let first = frame_of(&disk, 1);
    let frame = |position, offset, kind| Forged {
        segment: 1,
        offset,
        position,
        epoch: first.epoch,
        durable_upto: offset,
        kind,
    };
    let behind = forge(&disk, &frame(5, first.end(), FrameKind::Commit));
    forge(&disk, &frame(6, behind, FrameKind::Watermark));
    assert_eq!(assert_refused(&disk, &first.path).offset, first.end());
}

#[test]
fn case_n_an_active_segment_that_was_cut_short_is_damage() {
    let whole = closed_after(&[8, 8, 8]);
    let frame = frame_of(&whole, 2);
    for length in [frame.offset, frame.middle(), frame.end(), SEGMENT_BYTES - 8] {
        let disk = whole.copy();
        edit(&disk, &frame.path, |bytes| bytes.truncate(usize::try_from(length).unwrap()));
        let damage = assert_refused(&disk, &frame.path);
        assert!(damage.first_lost.is_some());
        let given = positions(&read_from(&open_read_only(&disk), 1).0);
        assert!([1, 2, 3].starts_with(&given), "{given:?}");
    }
}

#[test]
fn case_n_a_sealed_segment_that_was_cut_short_is_damage() {
    let disk = closed_after(&FOUR_SEGMENTS);
    let frame = frame_of(&disk, 9);
    assert_eq!(frame.segment, 2);
    let next = frames(&disk).into_iter().find(|frame| frame.segment == 3).unwrap().first;
    edit(&disk, &frame.path, |bytes| bytes.truncate(usize::try_from(frame.middle()).unwrap()));
    assert_refused(&disk, &frame.path);
    assert_readable_but(&disk, 9..next, 20);
}

#[test]
fn case_n_a_spare_that_was_cut_short_is_set_aside() {
    let disk = closed_with_spare();
    edit(&disk, &segment_path(2), |bytes| bytes.truncate(5000));
    let engine = open(&disk);
    assert_eq!(engine.findings().len(), 1);
    assert_eq!(engine.findings()[0].severity, Severity::Note);
    assert_holds(&engine, 4);
    drop(engine);
    assert_goes_on(&disk, 4);
}

#[test]
fn case_k_a_writer_that_goes_on_while_it_is_looked_at_is_no_damage() {
    // Where the log seems to end, a commit stands in half: it is not a torn tail once it is whole.
    for torn_bytes in [0, 100] {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        append_all(&engine, 1..=4, SIXTH);
        wait_until(|| disk.files().contains(&segment_path(2)));
        let end = usize::try_from(frame_of(&disk, 4).end()).unwrap();
        edit(&disk, &segment_path(1), |bytes| bytes[end..end + torn_bytes].fill(0x11));
        let mut seen = 0;
        let walked = walk(&disk, &mut |frame| {
            seen += u64::from(frame.header().event_count);
            if seen == 4 {
                append_all(&engine, 5..=8, SIXTH);
            }
        });
        assert_eq!(walked.damage, []);
        assert_eq!((seen, walked.next_position.get()), (8, 9));
        assert_eq!((walked.cuts.len(), walked.notes.len()), (0, 0));
        assert_eq!(walked.segments.len(), 2);
        assert_holds(&engine, 8);
    }
}

#[test]
fn a_log_that_is_ahead_of_the_clock_is_noted_with_both_times() {
    // A single boot in 2100 was seen by nobody.
    let disk = MemoryDisk::new();
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    let (clock, hand) = Clock::manual(at(4_102_444_800));
    let options = || EngineOptions { clock: clock.clone(), ..options() };
    let engine = Engine::open(disk.clone(), &options()).unwrap();
    append(&engine, 1).unwrap();
    assert_eq!(engine.findings(), []);
    engine.close().unwrap();
    assert_eq!(Engine::open(disk.copy(), &options()).unwrap().findings(), []);

    hand.set(at(1_700_000_000));
    let is_noted = |findings: &[crate::engine::Finding]| {
        let [finding] = findings else { panic!("{findings:?}") };
        assert_eq!(finding.severity, Severity::Note);
        assert!(finding.what.contains("2100-01-01T00:00:00"), "{finding}");
    };
    let engine = Engine::open(disk.copy(), &options()).unwrap();
    is_noted(engine.findings());
    assert!(engine.findings()[0].what.contains("2023-11-14T22:13:20"), "{:?}", engine.findings());
    append(&engine, 2).unwrap();
    assert_holds(&engine, 2);
    is_noted(Engine::open_read_only_by(disk.copy(), &clock).unwrap().findings());
    let report = verify(disk.copy()).unwrap();
    assert!(report.is_intact());
    is_noted(&report.findings);
    hand.set(at(4_102_444_801));
    assert_eq!(Engine::open_read_only_by(disk.copy(), &clock).unwrap().findings(), []);
}
