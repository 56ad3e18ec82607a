//! Flips bits of a small store that was closed cleanly, one at a time: in every byte that holds
//! something, in the zeros next to those, which belong to the same fields, at the end of every file,
//! and in a sample of the other zeros (`ANNALS_FLIP_STEP`, 1 for all of them).

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::store::{Noticed, Original, fast_directory, meant_length, size_from};

const THREADS: usize = 2;

/// How far from a byte that holds something a zero is still taken for one that means something.
const NEAR: usize = 8;

/// How many bytes at the end of a file are tried: there is the place of a footer.
const END: usize = 64;

fn offsets(bytes: &[u8], step: usize) -> impl Iterator<Item = usize> {
    (0..bytes.len()).filter(move |offset| {
        let around = offset.saturating_sub(NEAR)..(offset + NEAR).min(bytes.len());
        let is_at_end = bytes.len() - offset <= END;
        is_at_end || offset.is_multiple_of(step) || bytes[around].iter().any(|byte| *byte != 0)
    })
}

fn flip(directory: &Path, file: &Path, offset: usize, byte: u8) {
    let opened = OpenOptions::new().write(true).open(directory.join(file)).unwrap();
    opened.write_all_at(&[byte ^ (1 << (offset % 8))], offset as u64).unwrap();
}

#[test]
fn no_flipped_bit_goes_unnoticed_changes_an_event_or_gives_a_position_out_twice() {
    let directory = fast_directory();
    let original = Original::make(directory.path());
    let step = usize::try_from(size_from("ANNALS_FLIP_STEP", 251)).unwrap();
    let all: Vec<(&PathBuf, usize)> = original
        .files
        .iter()
        .flat_map(|(file, bytes)| {
            let meant = &bytes[..meant_length(file, bytes)];
            offsets(meant, step).map(move |offset| (file, offset))
        })
        .collect();
    let unnoticed: Vec<_> = std::thread::scope(|scope| {
        let check = |thread: usize| {
            let path = directory.path().join(thread.to_string());
            let (original, all) = (&original, &all);
            move || {
                let mut unnoticed = Vec::new();
                for (file, offset) in all.iter().skip(thread).step_by(THREADS) {
                    original.write_to(&path);
                    flip(&path, file, *offset, original.files[*file][*offset]);
                    if original.check(&path, Some(file)) == Noticed::No {
                        unnoticed.push((*file, *offset));
                    }
                }
                unnoticed
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(check(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(unnoticed.is_empty(), "of {} flips: {unnoticed:?}", all.len());
}
