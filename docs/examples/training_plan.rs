//! A training plan as an event-sourced aggregate, kept by a repository in a store on disk.
//!
//! Run it with `cargo run --release --example training_plan [DIRECTORY]`. The events are kept on
//! disk, in `annals-data/training_plan` when no directory is given: run it again and it goes on with
//! the plans of the run before.
//!
//! The three parts are those of any event-sourced program. The aggregate decides and knows no store;
//! the repository loads and saves it and handles the expected version; the program gives the
//! commands and, after a conflict, loads again and decides anew.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::env;
use std::error::Error as StdError;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use annals::{
    Aggregate, AggregateId, Codec, DomainEvent, Error, EventStore, FileStore, ReadOptions,
    Repository,
};
use serde::{Deserialize, Serialize};

type Outcome<T = ()> = Result<T, Box<dyn StdError>>;

/// Works on the plans in the directory that is given, or in the usual one.
fn main() -> Outcome {
    let usual = || PathBuf::from("annals-data/training_plan");
    let directory = env::args_os().nth(1).map_or_else(usual, PathBuf::from);
    let store = FileStore::open(&directory)?;
    let mut out = io::stdout().lock();
    writeln!(out, "Store: {}", directory.display())?;
    train(&store, &mut out)?;
    store.close()?;
    writeln!(out, "\nRun it again: it goes on from here.")?;
    Ok(())
}

/// Gives the commands of one run and prints what they led to.
pub(crate) fn train(store: &dyn EventStore, out: &mut dyn Write) -> Outcome {
    let plans = Plans::new(store);
    writeln!(out, "Events recorded before: {}", store.global_position()?)?;

    heading(out, "Commands")?;
    work_on(&plans, "plan-001", "Marathon in autumn", out)?;
    work_on(&plans, "plan-002", "First ten kilometres", out)?;

    heading(out, "Two coaches, one plan")?;
    two_coaches(&plans, &AggregateId::new("plan-001")?, out)?;

    heading(out, "History of plan-001")?;
    print_history(&plans, &AggregateId::new("plan-001")?, out)?;

    heading(out, "Global log")?;
    print_global_log(store, out)
}

// ------------------------------------------------------------------------------------- Events

/// What can happen to a training plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum PlanEvent {
    TrainingPlanCreated { goal: String },
    TrainingBlockAdded { block: String, weeks: u32 },
    WorkoutScheduled { day: u32, workout: String },
}

impl DomainEvent for PlanEvent {
    const AGGREGATE_TYPE: &'static str = "TrainingPlan";
}

impl fmt::Display for PlanEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrainingPlanCreated { goal } => write!(f, "plan created: {goal}"),
            Self::TrainingBlockAdded { block, weeks } => write!(f, "{block} added: {weeks} weeks"),
            Self::WorkoutScheduled { day, workout } => write!(f, "day {day}: {workout}"),
        }
    }
}

// ---------------------------------------------------------------------------------- Aggregate

/// Why a training plan refuses a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Rejection {
    #[error("the plan exists already")]
    AlreadyCreated,
    #[error("the plan does not exist yet")]
    NotCreated,
    #[error("the plan has no training block yet")]
    NoTrainingBlock,
    #[error("day {day} is taken by: {workout}")]
    DayTaken { day: u32, workout: String },
}

/// A training plan: its state is what its events made of it.
#[derive(Debug, Default)]
struct TrainingPlan {
    goal: Option<String>,
    blocks: Vec<String>,
    workouts: BTreeMap<u32, String>,
}

impl Aggregate for TrainingPlan {
    type Event = PlanEvent;

    fn apply(&mut self, event: &PlanEvent) {
        match event {
            PlanEvent::TrainingPlanCreated { goal } => self.goal = Some(goal.clone()),
            PlanEvent::TrainingBlockAdded { block, .. } => self.blocks.push(block.clone()),
            PlanEvent::WorkoutScheduled { day, workout } => {
                self.workouts.insert(*day, workout.clone());
            }
        }
    }
}

/// The commands: they look at the state and give an event or a rejection.
impl TrainingPlan {
    fn create(&self, goal: &str) -> Result<PlanEvent, Rejection> {
        match self.goal {
            Some(_) => Err(Rejection::AlreadyCreated),
            None => Ok(PlanEvent::TrainingPlanCreated { goal: goal.to_owned() }),
        }
    }

    fn add_block(&self, weeks: u32) -> Result<PlanEvent, Rejection> {
        if self.goal.is_none() {
            return Err(Rejection::NotCreated);
        }
        let block = format!("Block {}", self.blocks.len() + 1);
        Ok(PlanEvent::TrainingBlockAdded { block, weeks })
    }

    fn schedule(&self, day: u32, workout: &str) -> Result<PlanEvent, Rejection> {
        if self.blocks.is_empty() {
            return Err(Rejection::NoTrainingBlock);
        }
        match self.workouts.get(&day).cloned() {
            Some(workout) => Err(Rejection::DayTaken { day, workout }),
            None => Ok(PlanEvent::WorkoutScheduled { day, workout: workout.to_owned() }),
        }
    }

    /// Returns the first day after every workout that is scheduled.
    fn free_day(&self) -> u32 {
        self.workouts.last_key_value().map_or(1, |(day, _)| day + 1)
    }
}

// ------------------------------------------------------------------------------------ Program

/// Loads and saves training plans.
type Plans<'a> = Repository<TrainingPlan, &'a dyn EventStore>;

/// Creates a plan in the first run; adds a block and a workout to it in every run.
fn work_on(plans: &Plans<'_>, id: &str, goal: &str, out: &mut dyn Write) -> Outcome {
    let mut plan = plans.load_or_create(&AggregateId::new(id)?)?;
    if plan.goal.is_none() {
        plan.execute(|it| it.create(goal))?;
    } else {
        writeln!(out, "{id} goes on from version {}", plan.version())?;
    }
    plan.execute(|it| it.add_block(4))?;
    plan.execute(|it| it.schedule(it.free_day(), "Easy run"))?;
    let raised = plan.uncommitted_events().len();
    plans.save(&mut plan)?;
    writeln!(out, "{id}: {raised} events saved, now at version {}", plan.version())?;
    Ok(())
}

/// Lets two coaches load the same plan and give the same day away.
fn two_coaches(plans: &Plans<'_>, id: &AggregateId, out: &mut dyn Write) -> Outcome {
    let mut anna = plans.load_or_create(id)?;
    let mut ben = plans.load_or_create(id)?;
    let day = anna.free_day();
    writeln!(out, "Anna and Ben load version {} and both pick day {day}", anna.version())?;

    anna.execute(|plan| plan.schedule(day, "Intervals (Anna)"))?;
    plans.save(&mut anna)?;
    writeln!(out, "Anna saves version {}", anna.version())?;

    ben.execute(|plan| plan.schedule(day, "Long run (Ben)"))?;
    match plans.save(&mut ben) {
        Err(Error::Conflict { expected, actual, .. }) => {
            writeln!(out, "Ben is refused: expected {expected}, but it is at {actual}")?;
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("a save at a stale version was accepted".into()),
    }
    decide_anew(plans, id, day, out)
}

/// Loads the plan again and decides anew: the day that was free may be taken now.
fn decide_anew(plans: &Plans<'_>, id: &AggregateId, day: u32, out: &mut dyn Write) -> Outcome {
    let mut ben = plans.load_or_create(id)?;
    writeln!(out, "Ben loads version {}", ben.version())?;
    if let Err(rejection) = ben.execute(|plan| plan.schedule(day, "Long run (Ben)")) {
        writeln!(out, "Ben sees that {rejection}")?;
    }
    // All in one: loads, decides and saves, and does so again when somebody else was faster.
    let ben = plans.execute(id, |plan| plan.schedule(plan.free_day(), "Long run (Ben)"))?;
    writeln!(out, "Ben saves version {}", ben.version())?;
    Ok(())
}

fn print_history(plans: &Plans<'_>, id: &AggregateId, out: &mut dyn Write) -> Outcome {
    let plan = plans.load_or_create(id)?;
    let codec = Codec::<PlanEvent>::bincode();
    for event in plans.store().read_stream(plan.stream(), ReadOptions::new())? {
        let event = event?;
        writeln!(out, "v{:<3} {}", event.stream_version(), codec.decode(&event)?)?;
    }
    Ok(())
}

fn print_global_log(store: &dyn EventStore, out: &mut dyn Write) -> Outcome {
    for event in store.read_all(ReadOptions::new())? {
        let event = event?;
        let (position, id) = (event.global_position(), event.aggregate_id());
        writeln!(out, "{position:<4} {id} v{:<3} {}", event.stream_version(), event.event_type())?;
    }
    Ok(())
}

fn heading(out: &mut dyn Write, text: &str) -> Outcome {
    writeln!(out, "\n{text}\n{}", "-".repeat(text.len()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    //! The rules of a plan, tested without a store.

    use annals::Scenario;

    use super::*;

    fn created() -> PlanEvent {
        PlanEvent::TrainingPlanCreated { goal: "Marathon".to_owned() }
    }

    fn block() -> PlanEvent {
        PlanEvent::TrainingBlockAdded { block: "Block 1".to_owned(), weeks: 4 }
    }

    fn workout(day: u32) -> PlanEvent {
        PlanEvent::WorkoutScheduled { day, workout: "Easy run".to_owned() }
    }

    #[test]
    fn a_workout_is_scheduled_on_a_free_day() {
        Scenario::<TrainingPlan>::given([created(), block(), workout(1)])
            .when(|plan| plan.schedule(2, "Easy run"))
            .then(workout(2));
    }

    #[test]
    fn a_day_is_given_away_once() {
        Scenario::<TrainingPlan>::given([created(), block(), workout(1)])
            .when(|plan| plan.schedule(1, "Long run"))
            .then_rejected(Rejection::DayTaken { day: 1, workout: "Easy run".to_owned() });
    }

    #[test]
    fn a_plan_is_created_before_anything_else() {
        let nothing = || Scenario::<TrainingPlan>::given([]);
        nothing().when(|plan| plan.create("Marathon")).then(created());
        nothing().when(|plan| plan.add_block(4)).then_rejected(Rejection::NotCreated);
        nothing().when(|plan| plan.schedule(1, "Run")).then_rejected(Rejection::NoTrainingBlock);
        Scenario::<TrainingPlan>::given([created()])
            .when(|plan| plan.create("Marathon"))
            .then_rejected(Rejection::AlreadyCreated);
    }
}
