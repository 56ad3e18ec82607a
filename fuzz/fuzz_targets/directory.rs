//! Opens, reads and appends to directories of any files.
//!
//! What is to hold is said and checked in `annals::testing::directory`.

#![no_main]

use annals::testing::directory::check;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(broken) = check(input) {
        panic!("{broken}");
    }
});
