//! What opening and verification report, besides errors.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Damage, lost_positions};
use crate::escaped::Escaped;
use crate::position::GlobalPosition;

/// How serious a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing that was acknowledged is concerned: a commit that a crash cut short, or stray bytes
    /// where nothing is stored.
    Note,
    /// Something that had been durable was damaged, and a repair has given it up: reading and writing
    /// pass over it.
    Repaired,
    /// Something that had been durable does not verify.
    Damage,
}

/// Something that opening or verifying a store came upon.
///
/// # Examples
///
/// ```no_run
/// use annals::{FileStore, Severity};
///
/// for finding in FileStore::verify("orders")?.findings {
///     if finding.severity == Severity::Damage {
///         eprintln!("{finding}");
///     }
/// }
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How serious it is.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What was found, as one sentence.
    pub what: String,
    /// The first global position that can not be read, when one is lost.
    pub first_lost: Option<GlobalPosition>,
    /// The first global position after it that can be read, when there is one.
    pub first_good_after: Option<GlobalPosition>,
    /// The file that keeps the bytes that opening has cut away.
    pub kept_in: Option<PathBuf>,
}

impl Finding {
    pub(crate) fn note(file: PathBuf, offset: u64, what: String) -> Self {
        let severity = Severity::Note;
        let (first_lost, first_good_after) = (None, None);
        Self { severity, file, offset, what, first_lost, first_good_after, kept_in: None }
    }

    /// Returns what is told of a hole, in which the positions from the first up to the other are lost.
    pub(crate) fn repaired(
        file: PathBuf,
        offset: u64,
        what: String,
        (first_lost, next): (GlobalPosition, GlobalPosition),
    ) -> Self {
        let first_lost = Some(first_lost).filter(|first| *first < next);
        let first_good_after = first_lost.map(|_| next);
        let severity = Severity::Repaired;
        Self { severity, file, offset, what, first_lost, first_good_after, kept_in: None }
    }
}

impl From<&Damage> for Finding {
    fn from(damage: &Damage) -> Self {
        Self {
            severity: Severity::Damage,
            file: damage.file.clone(),
            offset: damage.offset,
            what: damage.reason.clone(),
            first_lost: damage.first_lost,
            first_good_after: damage.first_good_after,
            kept_in: None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Repaired => "repaired",
            Severity::Damage => "damage",
        };
        let (file, what) = (Escaped(self.file.display()), Escaped(&self.what));
        write!(f, "{severity}: {file} at offset {}: {what}", self.offset)?;
        if let Some(positions) = lost_positions(self.first_lost, self.first_good_after) {
            write!(f, "; {positions} can not be read")?;
        }
        match &self.kept_in {
            Some(kept_in) => {
                write!(f, "; the cut bytes are kept in {}", Escaped(kept_in.display()))
            }
            None => Ok(()),
        }
    }
}
