//! Checks runs against the log, event by event.

use uuid::Uuid;

use super::run::{self, Run, Unusable};
use super::runs::{IsCurrent, open_runs};
use super::term::EventTerms;
use crate::error::Result;
use crate::format::{IdTimes, Location};
use crate::io::Disk;
use crate::position::GlobalPosition;

const IGNORED: &str = "it can not be used, or a wider one supersedes it";

/// The runs of an index that are being checked.
pub(crate) struct RunCheck<D: Disk> {
    runs: Vec<Checked<D>>,
    /// Files that are named like runs and can not be used, or are superseded.
    ignored: Vec<String>,
}

struct Checked<D: Disk> {
    run: std::sync::Arc<Run<D::File>>,
    postings: u64,
    /// The times of the ids of the events so far.
    id_times: IdTimes,
    fault: Option<String>,
    /// Whether a page of it does not verify or can not be read.
    is_damaged: bool,
}

impl<D: Disk> RunCheck<D> {
    /// Opens the runs that are there, and checks every page of them.
    pub(crate) fn open(disk: &D, store_id: Uuid, is_current: IsCurrent<'_>) -> Result<Self> {
        let runs = open_runs(disk, store_id, is_current)?;
        let runs: Vec<_> = runs
            .into_iter()
            .map(|run| {
                let fault = run.check_all().err().map(|fault| fault.to_string());
                let is_damaged = fault.is_some();
                Checked { run, postings: 0, id_times: IdTimes::default(), fault, is_damaged }
            })
            .collect();
        let names =
            disk.list().map_err(|source| crate::error::Error::io("list", disk.path(), source))?;
        let is_used = |name: &String| runs.iter().any(|checked| checked.run.name() == *name);
        let is_run = |name: &String| run::interval_of(name).is_some();
        let ignored = names.into_iter().filter(|name| is_run(name) && !is_used(name)).collect();
        Ok(Self { runs, ignored })
    }

    /// Compares an event of the log with the run that covers it, if one does.
    pub(crate) fn event(
        &mut self,
        position: GlobalPosition,
        location: Location,
        terms: EventTerms<'_>,
    ) {
        let number = self.runs.partition_point(|one| one.run.header().last_position < position);
        if let Some(checked) = self.runs.get_mut(number)
            && checked.run.header().first_position <= position
            && checked.fault.is_none()
        {
            checked.fault = checked.compare(position, location, terms).err().map(|fault| fault.0);
        }
    }

    /// Returns the names of the runs of which a page is wrong, and what is wrong with it, whatever the log
    /// has.
    pub(crate) fn damaged(self) -> Vec<(String, String)> {
        let damaged = self.runs.into_iter().filter(|checked| checked.is_damaged);
        let named = damaged.map(|checked| (checked.run.name(), checked.fault.unwrap_or_default()));
        named.collect()
    }

    /// Returns the names of the runs that are wrong, and what is wrong with them.
    ///
    /// A run that has a gap before it counts: what follows the last run is not indexed yet, but
    /// everything before it was, but for lost positions, of which `is_lost` tells.
    pub(crate) fn finish(
        self,
        is_lost: &dyn Fn(GlobalPosition, GlobalPosition) -> bool,
    ) -> Vec<(String, String)> {
        let gaps = self.gaps(is_lost);
        let ignored = self.ignored.into_iter().map(|name| (name, IGNORED.to_owned()));
        let faults = self.runs.into_iter().filter_map(|checked| {
            let name = checked.run.name();
            checked.fault().map(|fault| (name, fault))
        });
        faults.chain(ignored).chain(gaps).collect()
    }

    fn gaps(
        &self,
        is_lost: &dyn Fn(GlobalPosition, GlobalPosition) -> bool,
    ) -> Vec<(String, String)> {
        let mut expected = GlobalPosition::FIRST;
        let mut gaps = Vec::new();
        for Checked { run, .. } in &self.runs {
            let (first, last) = run.interval();
            if expected < first && !is_lost(expected, first.previous()) {
                gaps.push((
                    run.name(),
                    format!("no run covers the positions from {expected} to it"),
                ));
            }
            expected = last.next();
        }
        gaps
    }
}

impl<D: Disk> Checked<D> {
    /// Returns what is wrong with the run, once all its events were compared.
    fn fault(self) -> Option<String> {
        let header = self.run.header();
        let (counts, times) = (self.postings == header.posting_count, header.id_times);
        self.fault.or(match (counts, self.id_times == times) {
            (false, _) => Some("it holds postings that the log does not have".to_owned()),
            (true, false) => Some("its id times are not those of its events".to_owned()),
            (true, true) => None,
        })
    }

    fn compare(
        &mut self,
        position: GlobalPosition,
        location: Location,
        terms: EventTerms<'_>,
    ) -> Result<(), Unusable> {
        if self.run.locate(position)? != location {
            return Err(Unusable(format!("position {position} is at another location")));
        }
        let slot = position.distance_from(self.run.header().first_position);
        let slot = u32::try_from(slot).map_err(|_| Unusable("it is too long".to_owned()))?;
        self.id_times.add(terms.id_time);
        for (number, term) in terms.hashes.iter().enumerate() {
            // Two terms of one event that share a hash are one posting.
            if terms.hashes.iter().take(number).any(|other| other == term) {
                continue;
            }
            let list = self.run.find(*term)?;
            let found = list.map(|mut list| list.first_from(&self.run, slot)).transpose()?;
            if found.flatten() != Some(slot) {
                return Err(Unusable(format!("a term of position {position} is missing")));
            }
            self.postings += 1;
        }
        Ok(())
    }
}
