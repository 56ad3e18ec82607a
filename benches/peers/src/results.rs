//! What was measured: figures by round, engine and work.

use std::collections::BTreeMap;

use crate::engines::Name;
use crate::measure::median;
use crate::placement::Placement;
use crate::work::Work;

/// Figures of one piece of work, by name.
pub type Figures = BTreeMap<String, f64>;

#[derive(Default)]
pub struct Results {
    rounds: Vec<BTreeMap<(Name, Work), Figures>>,
    /// Syncs a commit, from the round that counts them.
    pub syncs: BTreeMap<(Name, Work), f64>,
    /// Where lone appenders were held, if they were.
    pub placement: Option<Placement>,
}

impl Results {
    pub fn begin_round(&mut self) {
        self.rounds.push(BTreeMap::new());
    }

    pub fn add(&mut self, engine: Name, work: Work, figures: Figures) {
        let round = self.rounds.last_mut().expect("a round has begun");
        round.entry((engine, work)).or_default().extend(figures);
    }

    /// Returns the median of a figure over the rounds, if it was measured.
    pub fn figure(&self, engine: Name, work: Work, figure: &str) -> Option<f64> {
        let found = self.rounds.iter().filter_map(|round| value(round, engine, work, figure));
        some_median(found.collect())
    }

    /// Returns the median of the ratios of two engines, each taken within a round.
    pub fn ratio(&self, engine: Name, to: Name, work: Work, figure: &str) -> Option<f64> {
        let found = self.rounds.iter().filter_map(|round| {
            Some(value(round, engine, work, figure)? / value(round, to, work, figure)?)
        });
        some_median(found.collect())
    }
}

fn value(
    round: &BTreeMap<(Name, Work), Figures>,
    engine: Name,
    work: Work,
    figure: &str,
) -> Option<f64> {
    round.get(&(engine, work))?.get(figure).copied()
}

fn some_median(values: Vec<f64>) -> Option<f64> {
    if values.is_empty() { None } else { Some(median(values)) }
}
