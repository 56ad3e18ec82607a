//! Feeds the decoders of the format with any bytes.
//!
//! What is to hold of them is said and checked in `annals::testing::bytes`.

#![no_main]

use annals::testing::bytes::check;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(broken) = check(input) {
        panic!("{broken}");
    }
});
