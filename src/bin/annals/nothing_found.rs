//! Why a read found nothing: which of the names that were asked for is not there, and which one it may have
//! been meant to be.
//!
//! Whether a name is there is asked of the index. Names that are near are looked for among the oldest and the
//! newest events only, so that an answer never takes longer than a moment.

use std::collections::BTreeSet;

use annals::{
    Direction, Error, EventStore, FileStore, Filter, GlobalRead, StreamId, StreamVersion,
};

use crate::selection::{Selection, swapped};

/// Events at either end of the log in which names are looked for.
const EVENTS_LOOKED_AT: u64 = 50_000;

/// Names of a kind that are kept to compare with.
const NAMES_MAX: usize = 20_000;

/// Says why nothing was found: one message for each thing that is not there.
pub(crate) fn explain(store: &FileStore, selection: &Selection) -> annals::Result<Vec<String>> {
    let Some((first, _)) = selection.bounds.range() else {
        return Ok(vec![impossible(selection)]);
    };
    let mut absent = Vec::new();
    if let Some(stream) = &selection.stream {
        match store.stream_version(stream)? {
            StreamVersion::ZERO => absent.push(no_stream(store, stream)?),
            version if version.get() < first => absent.push(format!(
                "stream {stream} ends at version {version}, before {}",
                selection.bounds.lower().unwrap_or_default()
            )),
            _ => {}
        }
    } else {
        let end = store.global_position()?.get();
        if end == 0 {
            return Ok(vec!["the store holds no events".to_owned()]);
        }
        if end < first {
            let lower = selection.bounds.lower().unwrap_or_default();
            absent.push(format!("the store ends at position {end}, before {lower}"));
        }
    }
    absent.extend(absent_names(store, selection)?);
    if absent.is_empty() {
        absent.push("nothing matches all that was asked for".to_owned());
    }
    Ok(absent)
}

/// Says which of several event types are not there, when others of them are.
pub(crate) fn absent_event_types(
    store: &FileStore,
    selection: &Selection,
) -> annals::Result<Vec<String>> {
    let types = selection.names.event_type.iter();
    let mut known = Known::new(store);
    let absent = types.filter(|name| !is_there(store, Filter::new().event_type(name.as_str())));
    absent.map(|name| known.no(Kind::EventType, name)).collect()
}

/// Says that no position or version can lie within the bounds.
fn impossible(selection: &Selection) -> String {
    let bounds = [selection.bounds.lower(), selection.bounds.upper()];
    let bounds: Vec<_> = bounds.into_iter().flatten().collect();
    format!("nothing lies within {}", bounds.join(" "))
}

fn absent_names(store: &FileStore, selection: &Selection) -> annals::Result<Vec<String>> {
    let names = &selection.names;
    let text = |name: &String| name.clone();
    let mut asked: Vec<(Kind, String, Filter)> = Vec::new();
    let categories = selection.category.iter().map(text);
    asked.extend(
        categories.map(|it| (Kind::Category, it.clone(), Filter::new().aggregate_type(it))),
    );
    let types = names.event_type.iter().map(text);
    asked.extend(types.map(|it| (Kind::EventType, it.clone(), Filter::new().event_type(it))));
    let tags = names.tag.iter().map(text);
    asked.extend(tags.map(|it| (Kind::Tag, it.clone(), Filter::new().tag(it))));
    let tenants = names.tenant.iter().cloned();
    asked.extend(tenants.map(|it| (Kind::Tenant, it.to_string(), Filter::new().tenant(it))));

    let mut known = Known::new(store);
    let mut absent = Vec::new();
    for (kind, name, filter) in asked {
        if !is_there(store, filter) {
            absent.push(known.no(kind, &name)?);
        }
    }
    let ids = names.correlation.iter();
    let ids = ids.filter(|id| !is_there(store, Filter::new().correlation_id(**id)));
    absent.extend(ids.map(|id| format!("no event with correlation id {id}")));
    Ok(absent)
}

/// Returns whether any event passes a filter; what cannot be read may.
fn is_there(store: &FileStore, filter: Filter) -> bool {
    match store.read_all(GlobalRead::new().filter(filter).limit(1)) {
        Ok(mut found) => found.next().is_some(),
        Err(_) => true,
    }
}

fn no_stream(store: &FileStore, stream: &StreamId) -> annals::Result<String> {
    let is_there = |stream: &StreamId| {
        store.stream_version(stream).map(|version| version > StreamVersion::ZERO)
    };
    for swapped in swapped(&stream.to_string()) {
        if is_there(&swapped)? {
            return Ok(meant("stream", &stream.to_string(), &swapped.to_string()));
        }
    }
    let mut known = Known::new(store);
    for category in known.names(Kind::Category)?.clone() {
        let other = StreamId::of(&category, stream.aggregate_id().clone());
        if let Ok(other) = other
            && is_there(&other)?
        {
            return Ok(meant("stream", &stream.to_string(), &other.to_string()));
        }
    }
    known.no(Kind::Stream, &stream.to_string())
}

fn meant(kind: &str, name: &str, near: &str) -> String {
    format!("no {kind} {name}; did you mean {near}?")
}

/// The kinds of names that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stream,
    Category,
    EventType,
    Tag,
    Tenant,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Stream, Self::Category, Self::EventType, Self::Tag, Self::Tenant];

    fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Category => "category",
            Self::EventType => "event type",
            Self::Tag => "event with tag",
            Self::Tenant => "event of tenant",
        }
    }
}

/// Names that are in the store, found when they are first needed.
struct Known<'a> {
    store: &'a FileStore,
    /// As many as [`Kind::ALL`], in that order.
    names: Option<[BTreeSet<String>; 5]>,
    none: BTreeSet<String>,
}

impl<'a> Known<'a> {
    fn new(store: &'a FileStore) -> Self {
        Self { store, names: None, none: BTreeSet::new() }
    }

    /// Says that a name is not there, and which one is near.
    fn no(&mut self, kind: Kind, name: &str) -> annals::Result<String> {
        Ok(match nearest(name, self.names(kind)?) {
            Some(near) => meant(kind.name(), name, near),
            None => format!("no {} {name}", kind.name()),
        })
    }

    fn names(&mut self, kind: Kind) -> annals::Result<&BTreeSet<String>> {
        if self.names.is_none() {
            self.names = Some(self.gather()?);
        }
        let number = Kind::ALL.iter().position(|one| *one == kind).unwrap_or_default();
        let names = self.names.as_ref().and_then(|names| names.get(number));
        Ok(names.unwrap_or(&self.none))
    }

    /// Looks at the events of both ends of the log, up to the first that cannot be read.
    fn gather(&self) -> annals::Result<[BTreeSet<String>; 5]> {
        let [mut streams, mut categories, mut types, mut tags, mut tenants] = Default::default();
        for direction in [Direction::Forward, Direction::Backward] {
            let options = GlobalRead::new().direction(direction).limit(EVENTS_LOOKED_AT);
            for event in self.store.read_all(options)? {
                let event = match event {
                    Ok(event) => event,
                    Err(Error::Damage(_) | Error::Read { .. }) => break,
                    Err(error) => return Err(error),
                };
                keep(&mut categories, event.aggregate_type());
                keep(&mut types, event.event_type());
                keep(&mut streams, &event.stream()?.to_string());
                event.tags().for_each(|tag| keep(&mut tags, tag));
                event.tenant().iter().for_each(|tenant| keep(&mut tenants, &tenant.to_string()));
            }
        }
        Ok([streams, categories, types, tags, tenants])
    }
}

fn keep(names: &mut BTreeSet<String>, name: &str) {
    if names.len() < NAMES_MAX && !names.contains(name) {
        names.insert(name.to_owned());
    }
}

/// Returns the name that another may have been meant to be: the same but for case, or with few characters
/// changed.
fn nearest<'a>(name: &str, names: &'a BTreeSet<String>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let changes_max = (name.chars().count() / 3).clamp(1, 3);
    let near = names.iter().filter_map(|other| {
        let changes = match other.to_lowercase() == lower {
            true => 0,
            false => changes(&lower, &other.to_lowercase(), changes_max)?,
        };
        Some((changes, other.as_str()))
    });
    near.min().map(|(_, other)| other)
}

/// Returns how many characters have to be put in, left out or changed to make one text of another, if no
/// more than some.
///
/// Source: the algorithm of Wagner and Fischer, "The string-to-string correction problem" (1974).
fn changes(one: &str, other: &str, changes_max: usize) -> Option<usize> {
    let other: Vec<char> = other.chars().collect();
    if one.chars().count().abs_diff(other.len()) > changes_max {
        return None;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, character) in (1..).zip(one.chars()) {
        let mut above_left = std::mem::replace(row.first_mut()?, number);
        let mut left = number;
        for (cell, wanted) in row.iter_mut().skip(1).zip(&other) {
            let changed = above_left + usize::from(character != *wanted);
            above_left = *cell;
            *cell = changed.min(above_left + 1).min(left + 1);
            left = *cell;
        }
    }
    row.last().copied().filter(|changes| *changes <= changes_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted_up_to_a_limit() {
        assert_eq!(changes("kitten", "sitting", 3), Some(3));
        assert_eq!(changes("kitten", "sitting", 2), None);
        assert_eq!(changes("", "ab", 2), Some(2));
        assert_eq!(changes("same", "same", 1), Some(0));
        assert_eq!(changes("ab", "abcdef", 3), None);
    }

    #[test]
    fn the_nearest_name_is_the_same_but_for_case_or_little_else() {
        let names = ["BuildingPermit", "Confirmed", "Confirm", "x"].map(str::to_owned).into();
        assert_eq!(nearest("Buildingpermit", &names), Some("BuildingPermit"));
        assert_eq!(nearest("confirm", &names), Some("Confirm"));
        assert_eq!(nearest("Confirmd", &names), Some("Confirm"));
        assert_eq!(nearest("Invoice", &names), None);
    }
}
