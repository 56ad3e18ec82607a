//! Random operations: drawn as small numbers, and made concrete against what the model holds, so
//! that retries, conflicts and matches are common.

use annals::{Direction, ExpectedVersion};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::model::{
    Item, Model, Payload, Plain, PlainAppend, PlainCommit, PlainFilter, PlainQuery, PlainRead,
    STREAMS,
};

const TYPES: [&str; 3] = ["Opened", "Closed", "Paid"];
const TAGS: [&str; 3] = ["x", "y", "customer:7"];
const TENANTS: [&str; 2] = ["acme", "0191f7d2-6a5b-7c3e-8f90-a1b2c3d4e5f7"];

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Commit(Vec<(usize, Expected, Vec<Pick>)>, Vec<(PlainQuery, Option<u64>)>, bool),
    Read(Kind, Box<PlainRead>),
    /// Turns the clock by seconds.
    Clock(i64),
    Reopen,
}

/// What an append expects, as seen from the version its stream has.
#[derive(Debug, Clone)]
pub(crate) enum Expected {
    Any,
    NoStream,
    StreamExists,
    Current,
    Off(u64),
}

/// One or more events of an append.
#[derive(Debug, Clone)]
pub(crate) enum Pick {
    Fresh(u8),
    /// A new event that claims a version, counted from that of the stream.
    Claiming(u8, u64),
    /// A run of the stream's own events.
    Retried(usize, usize),
    /// An event of the stream, claiming a version counted from 0.
    Reclaiming(usize, u64),
    /// Any recorded event, whatever its stream.
    Foreign(usize),
    /// An event of the stream with another type.
    Retyped(usize),
    /// An event of the stream with another payload.
    Altered(usize),
    /// The last event of this append again.
    Again,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    All,
    Stream(usize),
    Category(usize),
    Query(PlainQuery),
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..50)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => commit(),
        6 => (kind(), read()).prop_map(|(kind, read)| Step::Read(kind, Box::new(read))),
        2 => (-3_i64..8).prop_map(Step::Clock),
        1 => Just(Step::Reopen),
    ]
}

fn commit() -> impl Strategy<Value = Step> {
    let append = || (0..STREAMS.len(), expected(), vec(pick(), 0..5));
    let appends = prop_oneof![3 => vec(append(), 1), 1 => vec(append(), 0..4)];
    let condition = (query(), option::of(0_u64..60));
    let conditions = prop_oneof![3 => Just(Vec::new()), 1 => vec(condition, 1..3)];
    let reject = proptest::bool::weighted(0.2);
    (appends, conditions, reject)
        .prop_map(|(appends, conditions, reject)| Step::Commit(appends, conditions, reject))
}

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![
        6 => Just(Expected::Any),
        4 => Just(Expected::Current),
        1 => Just(Expected::NoStream),
        1 => Just(Expected::StreamExists),
        1 => (0_u64..4).prop_map(Expected::Off),
    ]
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![
        12 => any::<u8>().prop_map(Pick::Fresh),
        1 => (any::<u8>(), 0_u64..4).prop_map(|(kind, claim)| Pick::Claiming(kind, claim)),
        5 => (0_usize..40, 1_usize..4).prop_map(|(start, count)| Pick::Retried(start, count)),
        1 => (0_usize..40, 1_u64..6).prop_map(|(which, claim)| Pick::Reclaiming(which, claim)),
        1 => (0_usize..40).prop_map(Pick::Foreign),
        1 => (0_usize..40).prop_map(Pick::Retyped),
        1 => (0_usize..40).prop_map(Pick::Altered),
        1 => Just(Pick::Again),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::All),
        (0..STREAMS.len()).prop_map(Kind::Stream),
        (0..STREAMS.len()).prop_map(Kind::Category),
        query().prop_map(Kind::Query),
    ]
}

fn query() -> impl Strategy<Value = PlainQuery> {
    prop_oneof![1 => Just(None), 8 => vec(item(), 0..3).prop_map(Some)]
}

fn item() -> impl Strategy<Value = Item> {
    let categories = select(vec!["Order", "Parcel", "Absent"]);
    (vec(select(&TYPES[..]), 0..3), vec(select(&TAGS[..]), 0..2), vec(categories, 0..2))
        .prop_map(|(types, tags, categories)| Item { types, tags, categories })
}

fn read() -> impl Strategy<Value = PlainRead> {
    let direction = select(vec![Direction::Forward, Direction::Backward]);
    let bound = || option::weighted(0.25, prop_oneof![9 => 0_u64..50, 1 => Just(u64::MAX)]);
    let limit = option::weighted(0.4, 0_u64..12);
    (direction, bound(), bound(), bound(), bound(), limit, filter()).prop_map(
        |(direction, from, to, after, before, limit, filter)| PlainRead {
            direction,
            from,
            to,
            after,
            before,
            limit,
            filter,
        },
    )
}

fn filter() -> impl Strategy<Value = PlainFilter> {
    let time = || option::weighted(0.15, 0_i64..80);
    let tenant = option::weighted(0.2, select(&TENANTS[..]));
    let correlation = option::weighted(0.2, 0_u128..3);
    let item = prop_oneof![1 => Just(Item::default()), 1 => item()];
    (item, tenant, correlation, (time(), time()), (time(), time())).prop_map(
        |(item, tenant, correlation, occurred, recorded)| PlainFilter {
            item,
            tenant,
            correlation,
            occurred,
            recorded,
        },
    )
}

/// Makes a commit concrete; `made` counts the events that were ever made.
pub(crate) fn concrete(
    appends: &[(usize, Expected, Vec<Pick>)],
    conditions: &[(PlainQuery, Option<u64>)],
    reject: bool,
    model: &Model,
    made: &mut u128,
) -> PlainCommit {
    let end = model.rows.len() as u64;
    // Few are beyond the end, where the commit is refused for that alone.
    let within = |after: u64| if after < 57 { after % (end + 1) } else { end + (after - 56) };
    let conditions =
        conditions.iter().map(|(query, after)| (query.clone(), after.map(within))).collect();
    let appends = appends.iter().map(|(stream, expected, picks)| {
        let (stream, version) = (*stream, model.version(*stream));
        let expected = match expected {
            Expected::Any => ExpectedVersion::Any,
            Expected::NoStream => ExpectedVersion::NoStream,
            Expected::StreamExists => ExpectedVersion::StreamExists,
            Expected::Current => ExpectedVersion::exact(version),
            Expected::Off(by) => ExpectedVersion::exact((version + by).saturating_sub(2)),
        };
        let mut events = Vec::new();
        for pick in picks {
            picked(pick, stream, model, made, &mut events);
        }
        PlainAppend { stream, expected, events }
    });
    PlainCommit { appends: appends.collect(), conditions, reject }
}

fn picked(pick: &Pick, stream: usize, model: &Model, made: &mut u128, events: &mut Vec<Plain>) {
    let own: Vec<Plain> = model.of(stream).map(|row| row.event.clone()).collect();
    let any: Vec<Plain> = model.rows.iter().map(|row| row.event.clone()).collect();
    let one = |of: &[Plain], which: usize| of.get(which % of.len().max(1)).cloned();
    match pick {
        Pick::Fresh(kind) => events.push(fresh(*kind, made)),
        Pick::Claiming(kind, ahead) => {
            let claimed = Some(model.version(stream) + ahead);
            events.push(Plain { claimed, ..fresh(*kind, made) });
        }
        Pick::Retried(start, count) => {
            let start = start % own.len().max(1);
            events.extend(own.into_iter().skip(start).take(*count));
        }
        Pick::Reclaiming(which, claimed) => {
            events
                .extend(one(&own, *which).map(|event| Plain { claimed: Some(*claimed), ..event }));
        }
        Pick::Foreign(which) => events.extend(one(&any, *which)),
        Pick::Retyped(which) => {
            events.extend(one(&own, *which).map(|event| Plain { event_type: "Other", ..event }));
        }
        Pick::Altered(which) => {
            let altered = |event: Plain| Plain { payload: Payload(event.payload.0 + "."), ..event };
            events.extend(one(&own, *which).map(altered));
        }
        Pick::Again => events.extend(events.last().cloned()),
    }
}

/// Makes a new event; `kind` says what is optional about it.
fn fresh(kind: u8, made: &mut u128) -> Plain {
    *made += 1;
    let kind = usize::from(kind);
    let tagged = |index: &usize| kind >> index & 1 == 1;
    Plain {
        id: *made,
        event_type: TYPES[kind % 3],
        payload: Payload("p".repeat(kind * kind / 16) + &made.to_string()),
        tags: (0..TAGS.len()).filter(tagged).map(|index| TAGS[index]).collect(),
        tenant: [None, Some(TENANTS[0]), Some(TENANTS[1]), None][kind / 8 % 4],
        correlation: [None, Some(0), Some(1)][kind / 5 % 3],
        occurred: (kind % 7 < 3).then_some((kind % 70) as i64),
        claimed: None,
    }
}
