//! Ids for imported lines that have none, such that importing a line again gives the same id.
//!
//! The id of a line is the UUID v5 of its occurrence number ("1", "2" ...) in a namespace that is
//! itself the UUID v5 of the line's bytes in [`NAMESPACE`]. The occurrence number counts equal lines
//! of the same input, so two equal lines are two events. From this follows:
//!
//! 1. An id depends on nothing but lines that came before, so an import that was killed goes on
//!    where it ended.
//! 2. The name of the input and its compression do not matter, nor do lines added to it later, put in
//!    between, corrected or taken away: other lines keep their ids.
//! 3. The same line in two inputs is one event. Lines that mean two events differ in their time, or
//!    have ids of their own.
//!
//! The price is memory: a fingerprint of every line without an id is kept, some twenty bytes each.

use std::collections::{HashMap, HashSet};

use annals::EventId;
use uuid::Uuid;

/// The namespace of the namespaces of lines; part of what makes ids equal for ever.
const NAMESPACE: Uuid = Uuid::from_u128(0x7d0e_5a52_93c1_4b5e_9f4e_0c6a_21d8_b377);

/// Derives ids for the lines of one input.
#[derive(Debug, Default)]
pub(crate) struct EventIds {
    /// The first half of the namespace of each line seen. Where two different lines share it, one
    /// counts as the other's repetition, which does no harm: their namespaces differ.
    seen: HashSet<u64>,
    /// How often those have occurred that occurred more than once.
    repeated: HashMap<u64, u64>,
}

impl EventIds {
    /// Returns the id of the next line, given without its line end, and how often the line occurred by now.
    pub(crate) fn of_next(&mut self, line: &[u8]) -> (EventId, u64) {
        let namespace = Uuid::new_v5(&NAMESPACE, line);
        let occurrence = self.count(namespace.as_u64_pair().0);
        (Uuid::new_v5(&namespace, occurrence.to_string().as_bytes()).into(), occurrence)
    }

    fn count(&mut self, fingerprint: u64) -> u64 {
        if self.seen.insert(fingerprint) {
            return 1;
        }
        let occurrences = self.repeated.entry(fingerprint).or_insert(1);
        *occurrences += 1;
        *occurrences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(lines: &[&str]) -> Vec<EventId> {
        let mut ids = EventIds::default();
        lines.iter().map(|line| ids.of_next(line.as_bytes()).0).collect()
    }

    #[test]
    fn an_id_is_the_same_for_ever() {
        let ids = ids(&[r#"{"event_type":"Started"}"#]);
        assert_eq!(ids[0].to_string(), "177ae681-f077-50cb-b00a-0f4c9a3f4a31");
    }

    #[test]
    fn equal_lines_of_one_input_are_different_events() {
        let ids = ids(&["a", "a", "b", "a"]);
        let distinct: HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 4);
    }

    #[test]
    fn lines_put_in_between_do_not_change_the_ids_of_others() {
        let before = ids(&["a", "b", "b"]);
        let after = ids(&["a", "x", "b", "y", "b", "z"]);
        assert_eq!(before, [after[0], after[2], after[4]]);
    }
}
