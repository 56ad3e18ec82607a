//! A shop that follows its own events: mail by a subscription, revenue by a projection, an event that can
//! not be handled, and a projection that is made anew.
//!
//! Run it with `cargo run --release --example projections [DIRECTORY]`. The events are kept on disk, in
//! `annals-data/projections` when no directory is given: run it again and it goes on from there, with
//! what the run before had kept.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::env;
use std::error::Error as StdError;
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use annals::{
    Checkpoint, Delivery, EventStore, ExpectedVersion, FileStore, Handled, NewEvent, OnFailure,
    Projection, ProjectionOptions, ProjectionRunner, Query, QueryItem, Rebuild, RecordedEvent,
    Retries, StreamId, Subscription,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

type Outcome = Result<(), Box<dyn StdError>>;

/// Opens the shop in the directory that is given, or in the usual one.
fn main() -> Outcome {
    let usual = || PathBuf::from("annals-data/projections");
    let directory = env::args_os().nth(1).map_or_else(usual, PathBuf::from);
    let store = FileStore::open(directory)?;
    trade(&store, &mut io::stdout().lock())?;
    store.close()?;
    Ok(())
}

/// Trades for a day; every part leaves to the next what it has recorded.
pub(crate) fn trade(store: &FileStore, out: &mut dyn Write) -> Outcome {
    writeln!(out, "Events recorded before: {}", store.global_position()?)?;
    take_orders(store, out)?;
    send_mail(store, out)?;
    meet_a_bad_event(store, out)?;
    correct_and_handle_again(store, out)?;
    follow_while_orders_come(store, out)?;
    make_it_anew(store, out)
}

/// What was ordered. An older till wrote the price as text, in euros.
#[derive(Serialize, Deserialize)]
struct Ordered {
    product: String,
    cents: u64,
}

#[derive(Deserialize)]
struct OrderedByAnOlderTill {
    product: String,
    cents: String,
}

fn order(store: &FileStore, product: &str, cents: &serde_json::Value) -> annals::Result<()> {
    let number = store.global_position()?.next();
    let order = StreamId::new("Order", format!("order-{number}"))?;
    let ordered = NewEvent::json("Ordered", &json!({ "product": product, "cents": cents }))?;
    store.append(&order, ExpectedVersion::NoStream, vec![ordered])?;
    Ok(())
}

fn take_orders(store: &FileStore, out: &mut dyn Write) -> Outcome {
    section(out, "1. Orders come in")?;
    for (product, cents) in [("tea", json!(450)), ("cake", json!("3.80")), ("tea", json!(500))] {
        order(store, product, &cents)?;
        writeln!(out, "   {product} for {cents}")?;
    }
    Ok(())
}

/// Sends mail about every order, once: what comes after the checkpoint is still to be done.
fn send_mail(store: &FileStore, out: &mut dyn Write) -> Outcome {
    section(out, "2. A subscription goes on from its checkpoint")?;
    let mut checkpoint = Checkpoint::load(store, "mail")?;
    writeln!(out, "   mail was sent up to position {}", checkpoint.position())?;
    let mut subscription = Subscription::new(store, checkpoint.start())?;
    while let Delivery::Event(event) = subscription.next_within(Duration::ZERO)? {
        writeln!(out, "   mail about {}", event.aggregate_id())?;
        checkpoint.save(subscription.reached())?;
    }
    Ok(())
}

/// The revenue of each product, in cents.
struct Revenue {
    knows_the_older_till: bool,
}

impl Projection for Revenue {
    type State = BTreeMap<String, u64>;
    type Error = Box<dyn StdError + Send + Sync>;

    fn query(&self) -> Query {
        QueryItem::new().event_type("Ordered").into()
    }

    fn handle(
        &mut self,
        revenue: &mut Self::State,
        event: &RecordedEvent,
    ) -> Result<Handled, Self::Error> {
        let Ordered { product, cents } = match event.decode_json() {
            Ok(ordered) => ordered,
            Err(_) if self.knows_the_older_till => {
                let OrderedByAnOlderTill { product, cents } = event.decode_json()?;
                Ordered { product, cents: cents.replace('.', "").parse()? }
            }
            Err(error) => return Err(error.into()),
        };
        *revenue.entry(product).or_default() += cents;
        Ok(Handled::Applied)
    }
}

fn options() -> ProjectionOptions {
    // An event that can not be parsed now can not be parsed a moment later.
    ProjectionOptions::new().retries(Retries::none()).on_failure(OnFailure::SetAside)
}

fn meet_a_bad_event(store: &FileStore, out: &mut dyn Write) -> Outcome {
    section(out, "3. A projection meets an event that it can not handle")?;
    let revenue = Revenue { knows_the_older_till: false };
    let mut runner = ProjectionRunner::open(store, "revenue", revenue, options())?;
    let progress = runner.catch_up()?;
    writeln!(out, "   {} counted, {} set aside", progress.applied, progress.set_aside)?;
    for letter in runner.dead_letters() {
        writeln!(out, "   position {} was set aside", letter.position)?;
    }
    print_revenue(&runner.view().read(Clone::clone), out)
}

fn correct_and_handle_again(store: &FileStore, out: &mut dyn Write) -> Outcome {
    section(out, "4. After a fix it is handled again")?;
    let revenue = Revenue { knows_the_older_till: true };
    let mut runner = ProjectionRunner::open(store, "revenue", revenue, options())?;
    let redriven = runner.redrive()?;
    writeln!(out, "   {} handled, {} left", redriven.handled, runner.dead_letters().len())?;
    print_revenue(&runner.view().read(Clone::clone), out)
}

fn follow_while_orders_come(store: &FileStore, out: &mut dyn Write) -> Outcome {
    section(out, "5. It follows while orders come in")?;
    let revenue = Revenue { knows_the_older_till: true };
    let mut runner = ProjectionRunner::open(store, "revenue", revenue, options())?;
    let (view, stop) = (runner.view(), runner.stop_handle());
    thread::scope(|scope| {
        let running = scope.spawn(move || runner.run());
        order(store, "bread", &json!(290))?;
        let ordered = store.global_position()?;
        while view.reached() < ordered {
            thread::yield_now();
        }
        stop.stop();
        running.join().map_err(|_| "the projection panicked")??;
        print_revenue(&view.read(Clone::clone), out)
    })
}

/// What is of interest of an order, whatever its cents look like.
#[derive(Deserialize)]
struct OrderedProduct {
    product: String,
}

/// Counts the orders of each product.
struct OrderCount;

impl Projection for OrderCount {
    type State = BTreeMap<String, u64>;
    type Error = annals::Error;

    fn handle(
        &mut self,
        counts: &mut Self::State,
        event: &RecordedEvent,
    ) -> annals::Result<Handled> {
        let OrderedProduct { product } = event.decode_json()?;
        *counts.entry(product).or_default() += 1;
        Ok(Handled::Applied)
    }
}

fn make_it_anew(store: &FileStore, out: &mut dyn Write) -> Outcome {
    section(out, "6. Another one is made beside the one in use")?;
    let mut in_use = ProjectionRunner::open(store, "orders", OrderCount, options())?;
    in_use.catch_up()?;

    let mut rebuild = Rebuild::open(store, "orders", OrderCount, options())?;
    let progress = rebuild.runner().catch_up()?;
    writeln!(out, "   {} events were read again", progress.applied)?;
    drop(in_use);
    let runner = rebuild.switch()?;
    for (product, count) in runner.view().read(Clone::clone) {
        writeln!(out, "   {product}: {count} ordered")?;
    }
    Ok(())
}

fn print_revenue(revenue: &BTreeMap<String, u64>, out: &mut dyn Write) -> Outcome {
    for (product, cents) in revenue {
        writeln!(out, "   {product}: {}.{:02}", cents / 100, cents % 100)?;
    }
    Ok(())
}

fn section(out: &mut dyn Write, heading: &str) -> Outcome {
    writeln!(out, "\n{heading}\n{}", "-".repeat(60))?;
    Ok(())
}
