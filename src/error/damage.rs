//! Damage: which bytes do not verify, and which positions cannot be read for it.

use std::fmt;
use std::path::PathBuf;

use crate::escaped::Escaped;
use crate::position::GlobalPosition;

/// Bytes that had been durable and no longer verify, and what is lost with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in the file the damage begins, in bytes.
    pub offset: u64,
    /// What does not verify.
    pub reason: String,
    /// The first global position that can not be read, when one is lost.
    pub first_lost: Option<GlobalPosition>,
    /// The first global position after the damage that can be read, when there is one.
    pub first_good_after: Option<GlobalPosition>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "damage in {} at offset {}: {}",
            Escaped(self.file.display()),
            self.offset,
            self.reason
        )?;
        match lost_positions(self.first_lost, self.first_good_after) {
            Some(positions) => write!(f, "; {positions} can not be read"),
            None => Ok(()),
        }
    }
}

/// Names the positions from the first one lost to the last before the next that is good.
pub(crate) fn lost_positions(
    first_lost: Option<GlobalPosition>,
    first_good_after: Option<GlobalPosition>,
) -> Option<String> {
    let first = first_lost?;
    Some(match first_good_after.map(GlobalPosition::previous) {
        None => format!("positions from {first} on"),
        Some(last) if last == first => format!("position {first}"),
        Some(last) => format!("positions {first} to {last}"),
    })
}
