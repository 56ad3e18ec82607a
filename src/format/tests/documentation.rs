//! `docs/format.md` and the layout say the same.
//!
//! What stands in that file between `<!-- printed: NAME -->` and `<!-- end -->` is printed by tests.
//! Run with `ANNALS_WRITE_FORMAT=1`, the tests write it; otherwise they compare.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::event::layout::EVENT_FLAG_LIST;
use crate::field::Table;
use crate::format::layout::TABLES;

/// Set to write what is printed instead of comparing it.
const WRITE: &str = "ANNALS_WRITE_FORMAT";

/// Tests run side by side; only one at a time may rewrite the file.
static FILE: Mutex<()> = Mutex::new(());

#[test]
fn every_table_is_documented_as_it_is_laid_out() {
    for table in TABLES {
        hold_to_printed(&format!("{} table", table.name.to_lowercase()), &printed_table(table));
    }
}

#[test]
fn every_part_of_an_event_is_documented_with_its_flag() {
    let mut printed = "| bit | value | part |\n|---|---|---|\n".to_owned();
    for flag in EVENT_FLAG_LIST {
        let (bit, value) = (flag.bit.trailing_zeros(), flag.bit);
        writeln!(printed, "| {bit} | {value:#06x} | {} |", flag.part).unwrap();
    }
    hold_to_printed("event flags", &printed);
}

#[test]
fn every_printed_part_of_the_documentation_has_its_end() {
    let text = read();
    assert_eq!(text.matches("<!-- printed: ").count(), text.matches(END).count());
}

fn printed_table(table: &Table) -> String {
    let mut printed = "| offset | bytes | field | meaning |\n|---|---|---|---|\n".to_owned();
    for field in table.fields {
        let (offset, width, name, meaning) = (field.offset, field.width, field.name, field.meaning);
        writeln!(printed, "| {offset} | {width} | {name} | {meaning} |").unwrap();
    }
    writeln!(printed, "\n{} bytes.", table.size).unwrap();
    printed
}

const END: &str = "<!-- end -->";

/// Compares a printed part of the documentation with what it should be, or writes it.
pub(super) fn hold_to_printed(name: &str, printed: &str) {
    let _one_at_a_time = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = read();
    let (start, end) = place_of(&text, name);
    if std::env::var_os(WRITE).is_some() {
        let written = format!("{}{printed}{}", &text[..start], &text[end..]);
        fs::write(path(), written).unwrap();
        return;
    }
    assert_eq!(
        &text[start..end],
        printed,
        "`{name}` in docs/format.md is not what the code does; if the code is right, run the tests \
         of `format` with {WRITE}=1"
    );
}

/// Returns what is printed under a name.
pub(super) fn printed(name: &str) -> String {
    let _one_at_a_time = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = read();
    let (start, end) = place_of(&text, name);
    text[start..end].to_owned()
}

fn place_of(text: &str, name: &str) -> (usize, usize) {
    let mark = format!("<!-- printed: {name} -->\n");
    let start = text.find(&mark).unwrap_or_else(|| panic!("docs/format.md has no {mark}"));
    let start = start + mark.len();
    (start, start + text[start..].find(END).expect("a printed part has an end"))
}

fn read() -> String {
    fs::read_to_string(path()).unwrap().replace("\r\n", "\n")
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format.md")
}
