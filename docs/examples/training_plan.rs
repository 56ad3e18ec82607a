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

use annals::{Error, EventStore, ExpectedVersion, FileStore, NewEvent, ReadOptions, StreamId};
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
    let plans = TrainingPlanRepository { store };
    writeln!(out, "Events recorded before: {}", store.global_position()?)?;

    heading(out, "Commands")?;
    work_on(&plans, "plan-001", "Marathon in autumn", out)?;
    work_on(&plans, "plan-002", "First ten kilometres", out)?;

    heading(out, "Two coaches, one plan")?;
    two_coaches(&plans, "plan-001", out)?;

    heading(out, "History of plan-001")?;
    print_history(store, "plan-001", out)?;

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

impl PlanEvent {
    /// Returns the name under which the event is recorded: it stays when the variant is renamed.
    fn event_type(&self) -> &'static str {
        match self {
            Self::TrainingPlanCreated { .. } => "TrainingPlanCreated",
            Self::TrainingBlockAdded { .. } => "TrainingBlockAdded",
            Self::WorkoutScheduled { .. } => "WorkoutScheduled",
        }
    }
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
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rejection {
    AlreadyCreated,
    NotCreated,
    NoTrainingBlock,
    DayTaken { day: u32, workout: String },
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyCreated => f.write_str("the plan exists already"),
            Self::NotCreated => f.write_str("the plan does not exist yet"),
            Self::NoTrainingBlock => f.write_str("the plan has no training block yet"),
            Self::DayTaken { day, workout } => write!(f, "day {day} is taken by: {workout}"),
        }
    }
}

impl StdError for Rejection {}

/// A training plan: its state is what its events made of it.
#[derive(Debug, Default)]
struct TrainingPlan {
    id: String,
    goal: Option<String>,
    blocks: Vec<String>,
    workouts: BTreeMap<u32, String>,
    version: u64,
    uncommitted_events: Vec<PlanEvent>,
}

impl TrainingPlan {
    fn new(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// Brings a plan to the state that its recorded events lead to.
    fn from_events(id: &str, events: impl IntoIterator<Item = PlanEvent>) -> Self {
        let mut plan = Self::new(id);
        events.into_iter().for_each(|event| plan.apply(&event));
        plan
    }

    fn create_plan(&mut self, goal: &str) -> Result<(), Rejection> {
        if self.goal.is_some() {
            return Err(Rejection::AlreadyCreated);
        }
        self.raise(PlanEvent::TrainingPlanCreated { goal: goal.to_owned() });
        Ok(())
    }

    fn add_training_block(&mut self, block: &str, weeks: u32) -> Result<(), Rejection> {
        if self.goal.is_none() {
            return Err(Rejection::NotCreated);
        }
        self.raise(PlanEvent::TrainingBlockAdded { block: block.to_owned(), weeks });
        Ok(())
    }

    fn schedule_workout(&mut self, day: u32, workout: &str) -> Result<(), Rejection> {
        if self.blocks.is_empty() {
            return Err(Rejection::NoTrainingBlock);
        }
        if let Some(workout) = self.workouts.get(&day) {
            return Err(Rejection::DayTaken { day, workout: workout.clone() });
        }
        self.raise(PlanEvent::WorkoutScheduled { day, workout: workout.to_owned() });
        Ok(())
    }

    /// Returns the first day after every workout that is scheduled.
    fn free_day(&self) -> u32 {
        self.workouts.last_key_value().map_or(1, |(day, _)| day + 1)
    }

    /// Takes an event that a command led to: it changes the state now and is recorded by `save`.
    fn raise(&mut self, event: PlanEvent) {
        self.apply(&event);
        self.uncommitted_events.push(event);
    }

    fn apply(&mut self, event: &PlanEvent) {
        match event {
            PlanEvent::TrainingPlanCreated { goal } => self.goal = Some(goal.clone()),
            PlanEvent::TrainingBlockAdded { block, .. } => self.blocks.push(block.clone()),
            PlanEvent::WorkoutScheduled { day, workout } => {
                self.workouts.insert(*day, workout.clone());
            }
        }
        self.version += 1;
    }

    fn mark_events_as_committed(&mut self) {
        self.uncommitted_events.clear();
    }
}

// --------------------------------------------------------------------------------- Repository

/// Loads and saves training plans; the only part that knows streams and versions.
struct TrainingPlanRepository<'a> {
    store: &'a dyn EventStore,
}

impl TrainingPlanRepository<'_> {
    /// Loads a plan; one that has no events yet is new.
    fn get(&self, id: &str) -> Outcome<TrainingPlan> {
        let stream = self.store.load_stream(&stream_of(id)?, ReadOptions::new())?;
        let events = stream.events().iter().map(annals::RecordedEvent::decode_json);
        Ok(TrainingPlan::from_events(id, events.collect::<annals::Result<Vec<_>>>()?))
    }

    /// Records what the commands led to, if nobody else has changed the plan since it was loaded.
    fn save(&self, plan: &mut TrainingPlan) -> annals::Result<()> {
        let raised = &plan.uncommitted_events;
        let events = raised.iter().map(|event| NewEvent::json(event.event_type(), event));
        let events = events.collect::<annals::Result<Vec<_>>>()?;
        let expected = ExpectedVersion::exact(plan.version - events.len() as u64);
        self.store.append(&stream_of(&plan.id)?, expected, events)?;
        plan.mark_events_as_committed();
        Ok(())
    }
}

fn stream_of(plan_id: &str) -> annals::Result<StreamId> {
    StreamId::new("TrainingPlan", plan_id)
}

// ------------------------------------------------------------------------------------ Program

/// Creates a plan in the first run; adds a block and a workout to it in every run.
fn work_on(
    plans: &TrainingPlanRepository<'_>,
    id: &str,
    goal: &str,
    out: &mut dyn Write,
) -> Outcome {
    let mut plan = plans.get(id)?;
    if plan.version == 0 {
        plan.create_plan(goal)?;
    } else {
        writeln!(out, "{id} goes on from version {}", plan.version)?;
    }
    let block = format!("Block {}", plan.blocks.len() + 1);
    plan.add_training_block(&block, 4)?;
    plan.schedule_workout(plan.free_day(), "Easy run")?;
    let raised = plan.uncommitted_events.len();
    plans.save(&mut plan)?;
    writeln!(out, "{id}: {raised} events saved, now at version {}", plan.version)?;
    Ok(())
}

/// Lets two coaches load the same plan and give the same day away.
fn two_coaches(plans: &TrainingPlanRepository<'_>, id: &str, out: &mut dyn Write) -> Outcome {
    let mut anna = plans.get(id)?;
    let mut ben = plans.get(id)?;
    let day = anna.free_day();
    writeln!(out, "Anna and Ben load version {} and both pick day {day}", anna.version)?;

    anna.schedule_workout(day, "Intervals (Anna)")?;
    plans.save(&mut anna)?;
    writeln!(out, "Anna saves version {}", anna.version)?;

    ben.schedule_workout(day, "Long run (Ben)")?;
    match plans.save(&mut ben) {
        Err(Error::Conflict { expected, actual, .. }) => {
            writeln!(out, "Ben is refused: expected {expected}, but it is at {actual}")?;
        }
        Err(error) => return Err(error.into()),
        Ok(()) => return Err("a save at a stale version was accepted".into()),
    }
    retry(plans, id, day, out)
}

/// Loads the plan again and decides anew: the day that was free may be taken now.
fn retry(
    plans: &TrainingPlanRepository<'_>,
    id: &str,
    wanted: u32,
    out: &mut dyn Write,
) -> Outcome {
    let mut plan = plans.get(id)?;
    writeln!(out, "Ben loads version {}", plan.version)?;
    if let Err(rejection) = plan.schedule_workout(wanted, "Long run (Ben)") {
        writeln!(out, "Ben sees that {rejection}")?;
        plan.schedule_workout(plan.free_day(), "Long run (Ben)")?;
    }
    plans.save(&mut plan)?;
    writeln!(out, "Ben saves version {}", plan.version)?;
    Ok(())
}

fn print_history(store: &dyn EventStore, id: &str, out: &mut dyn Write) -> Outcome {
    for event in store.read_stream(&stream_of(id)?, ReadOptions::new())? {
        let event = event?;
        writeln!(out, "v{:<3} {}", event.stream_version(), event.decode_json::<PlanEvent>()?)?;
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
