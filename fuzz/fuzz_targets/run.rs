//! Asks a store whose index runs hold any bytes.
//!
//! What is to hold is said and checked in `annals::testing::run`.

#![no_main]

use annals::testing::run::check;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(broken) = check(input) {
        panic!("{broken}");
    }
});
