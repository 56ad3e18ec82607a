//! The names of the files of records.
//!
//! A file is named by a hash of its record's name under the store's own key: any text may be the name of
//! a record, and nobody can choose two that collide. Should two collide all the same, the record itself
//! says which it is, and the other one is not there.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

const SUFFIX: &str = ".rec";
const UNFINISHED_SUFFIX: &str = ".tmp";
const DIGITS: usize = 32;
/// The digits that name the folder of a file.
const FOLDER_DIGITS: usize = 2;

/// The name of a file, without its ending: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileName(String);

impl FileName {
    /// Returns the name of the file for a record.
    ///
    /// Source: SipHash-1-3 with 128 bits, Aumasson and Bernstein, "SipHash: a fast short-input PRF"
    /// (2012).
    pub(super) fn of(hash_key: &[u8; 16], record_name: &str) -> Self {
        let mut hasher = SipHasher13::new_with_key(hash_key);
        hasher.write(record_name.as_bytes());
        Self(format!("{:032x}", hasher.finish128().as_u128()))
    }

    /// Reads the name of a file; none for one that no record has.
    pub(super) fn parse(file_name: &str) -> Option<Self> {
        let digits = file_name.strip_suffix(SUFFIX)?;
        (digits.len() == DIGITS && are_digits(digits)).then(|| Self(digits.to_owned()))
    }

    /// Returns the name of the file.
    pub(super) fn name(&self) -> String {
        format!("{}{SUFFIX}", self.0)
    }

    /// Returns the name under which the file is written.
    pub(super) fn unfinished(&self) -> String {
        format!("{}{UNFINISHED_SUFFIX}", self.0)
    }

    /// Returns the name of the folder that the file is in.
    pub(super) fn folder(&self) -> &str {
        self.0.get(..FOLDER_DIGITS).unwrap_or_default()
    }

    /// Returns in which of so many shares the folder is.
    pub(super) fn share(&self, shares: usize) -> usize {
        self.folder().bytes().fold(0, |sum, digit| sum * 16 + usize::from(digit % 16)) % shares
    }
}

/// Tells whether a name is that of a folder of files.
pub(super) fn is_folder(name: &str) -> bool {
    name.len() == FOLDER_DIGITS && are_digits(name)
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
