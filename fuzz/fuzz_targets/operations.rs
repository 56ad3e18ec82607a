//! Compares any operations on a store with a list.
//!
//! What is to hold is said and checked in `annals::testing::operations`.

#![no_main]

use annals::testing::operations::check;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(broken) = check(input) {
        panic!("{broken}");
    }
});
