//! Checks every byte of a store, changing nothing.

use super::directory;
use super::finding::{Finding, Severity};
use super::recovery::{self, Depth};
use crate::error::Result;
use crate::format::Frame;
use crate::io::{Disk, OpenMode};

/// What verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Events that verify.
    pub events: u64,
    /// Commits that verify.
    pub commits: u64,
    /// Segments of the log, the one prepared ahead included.
    pub segments: u64,
    /// Everything that is not as a store leaves it when it is closed.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Tells whether nothing that had been durable is damaged. Notes may still be there.
    pub fn is_intact(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }
}

/// Verifies the store in a directory. A writer may be at work: damage is believed only when it is
/// still there when looked at again.
pub(crate) fn verify<D: Disk>(root: D) -> Result<VerifyReport> {
    const ATTEMPTS: usize = 3;
    let directory = directory::open(root)?;
    let mut attempt = 1;
    loop {
        let (mut events, mut commits) = (0, 0);
        let mut count = |frame: &Frame| {
            for event in frame.events() {
                event.map_err(|fault| super::broken_event(frame.location(), &fault))?;
                events += 1;
            }
            commits += u64::from(frame.header().event_count > 0);
            Ok(())
        };
        recovery::settle(&directory.log, OpenMode::Read)?;
        let store_id = directory.identity.store_id;
        let walked =
            recovery::walk(&directory.log, store_id, OpenMode::Read, Depth::Full, &mut count)?;
        if walked.damage.is_empty() || attempt == ATTEMPTS {
            let segments = walked.segments.len() as u64 + u64::from(walked.spare.is_some());
            let findings = super::findings(&walked);
            return Ok(VerifyReport { events, commits, segments, findings });
        }
        attempt += 1;
    }
}
