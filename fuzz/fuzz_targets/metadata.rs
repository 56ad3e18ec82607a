//! Feeds the decoder of metadata with any bytes.
//!
//! What is to hold is said and checked in `annals::testing::metadata`.

#![no_main]

use annals::testing::metadata::check;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(broken) = check(input) {
        panic!("{broken}");
    }
});
