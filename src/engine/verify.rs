//! Checks every byte of a store, changing nothing.

use std::sync::Arc;

use super::directory::{self, Directory};
use super::finding::{Finding, Severity};
use super::indexing;
use super::known_end::{self, END};
use super::recovery;
use super::route::{Depth, NONE_MENDED, Route};
use super::settling;
use super::times;
use crate::clock::Clock;
use crate::error::Result;
use crate::format::{EndFile, Frame};
use crate::index::{RunCheck, TermHasher};
use crate::io::{Disk, OpenMode};
use crate::record::UnusableRecord;
use crate::sidecar::Writing;

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
    /// Positions that are lost and that a repair has given up.
    pub lost: u64,
    /// Everything that is not as a store leaves it when it is closed, and what repairs have given up.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Tells whether nothing that had been durable is damaged, but for what a repair has given up.
    /// Notes may still be there.
    pub fn is_intact(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Damage)
    }
}

/// Verifies the store in a directory, by reading its files and never by maps. A writer may be at work:
/// damage is believed only when it is still there when looked at again.
pub(crate) fn verify<D: Disk>(root: D) -> Result<VerifyReport> {
    const ATTEMPTS: usize = 3;
    let directory = directory::open(root.unmapped())?;
    let mut attempt = 1;
    loop {
        let (mut report, ahead) = verify_once(&directory)?;
        let is_known = |finding: &Finding| finding.severity == Severity::Repaired;
        if report.findings.iter().all(is_known) || attempt == ATTEMPTS {
            report.findings.extend(ahead);
            return Ok(report);
        }
        attempt += 1;
    }
}

/// Verifies a store once. Returns beside the report what no second look would change.
fn verify_once<D: Disk>(directory: &Directory<D>) -> Result<(VerifyReport, Option<Finding>)> {
    let (mut events, mut commits) = (0, 0);
    let store_id = directory.identity.store_id;
    let known = known_end::find(&directory.root, &directory.log, store_id)?;
    let mut is_claim_met = known.claimed.is_none_or(|claimed| claimed.last_frame.get() == 0);
    let mut runs = indexing::check(directory)?;
    let hasher = TermHasher::new(directory.identity.hash_key);
    let mut count = |frame: &Frame, _resume| {
        let (places, terms) = indexing::events_of(&hasher, frame)?;
        for ((position, location), terms) in places.iter().zip(terms.iter()) {
            runs.iter_mut().for_each(|runs| runs.event(*position, *location, terms));
        }
        is_claim_met |= known.claimed.is_some_and(|claimed| {
            let is_it = claimed.last_frame == frame.location();
            is_it && claimed.last_frame_crc == frame.header().crc
        });
        events += places.len() as u64;
        commits += u64::from(frame.header().event_count > 0 && frame.is_whole());
        Ok(())
    };
    settling::settle(&directory.log, OpenMode::Read)?;
    let route = Route {
        disk: &directory.log,
        store_id,
        mode: OpenMode::Read,
        depth: Depth::Full,
        from: None,
        last: None,
        holes: &directory.holes,
        mended: Some(NONE_MENDED),
    };
    let mut walked = recovery::walk(&route, &mut count)?;
    known_end::hold(&mut walked, &known);
    let is_given_up = |claimed: &EndFile| {
        directory.holes.iter().any(|hole| (hole.start..hole.end).contains(&claimed.last_frame))
    };
    if let Some(claimed) = known.claimed.filter(|claimed| !is_claim_met && !is_given_up(claimed))
        && walked.damage.is_empty()
    {
        let what = format!(
            "known end of the log: it is of another history, with another commit at location {}",
            claimed.last_frame,
        );
        walked.notes.push(Finding::note(directory.log.path().join(END), 0, what));
    }
    for segment in walked.segments.iter().map(Arc::as_ref).chain(&walked.spare) {
        // Nothing is lost where the device cannot read it.
        if let Ok(Some(offset)) = segment.stray_behind() {
            let what = "stray bytes behind the end of the segment".to_owned();
            walked.notes.push(Finding::note(segment.path().clone(), offset, what));
        }
    }
    let segments = walked.segments.len() as u64 + u64::from(walked.spare.is_some());
    let mut findings = super::findings(directory, &walked);
    let is_whole = walked.damage.is_empty();
    findings.extend(runs.map(|runs| unusable_runs(directory, runs, is_whole)).unwrap_or_default());
    findings.extend(unusable_records(directory)?);
    let lost = directory.holes.lost_count();
    let ahead = times::ahead_of_clock(&walked, &Clock::system());
    Ok((VerifyReport { events, commits, segments, lost, findings }, ahead))
}

/// Reports records that can not be used. They are read as if they were not there.
fn unusable_records<D: Disk>(directory: &Directory<D>) -> Result<Vec<Finding>> {
    let unusable = directory.sidecar(Writing::ReadOnly).check()?.into_iter();
    let finding = |UnusableRecord { file, why }| {
        Finding::note(file, 0, format!("record: {why}; it is not used"))
    };
    Ok(unusable.map(finding).collect())
}

/// Reports runs that are wrong. They hold nothing that the log does not, and are made again. Those that
/// differ from the log are told only where the log is whole.
fn unusable_runs<D: Disk>(
    directory: &Directory<D>,
    runs: RunCheck<D>,
    is_whole: bool,
) -> Vec<Finding> {
    let holes = &directory.holes;
    let faults = match is_whole {
        true => runs.finish(&|first, last| holes.take_all(first, last)),
        false => runs.damaged(),
    };
    faults
        .into_iter()
        .map(|(name, fault)| {
            let path = directory.root.path().join(directory::INDEX).join(name);
            let what = format!("index run: {fault}; it is made again when it is needed");
            Finding::note(path, 0, what)
        })
        .collect()
}
