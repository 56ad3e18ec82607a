//! What an import took otherwise than its author may have meant: counted, and the first of each named.

use std::fmt;

/// A kind of line that deserves a remark: how many there were, and the first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Remark {
    count: u64,
    first: String,
}

impl Remark {
    /// Counts a line.
    pub(crate) fn add(&mut self, first: impl FnOnce() -> String) {
        if self.count == 0 {
            self.first = first();
        }
        self.count += 1;
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

/// The remarks on an import.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Remarks {
    /// Events that are recorded already, with other fields than the line says.
    pub(crate) different: Remark,
    /// Lines without id and time that equal an earlier one of the input, and are events of their own.
    pub(crate) repeated: Remark,
    /// Lines without id and time that equal a recorded one, and are the same event.
    pub(crate) recorded_alike: Remark,
}

impl fmt::Display for Remarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remarks = [
            (
                &self.different,
                "recognised by event id, type and payload, but other fields differ; what is recorded \
                 stays as it is",
            ),
            (
                &self.repeated,
                "without `event_id` and `occurred_at` and equal to an earlier line of this input; each \
                 was taken as an event of its own",
            ),
            (
                &self.recorded_alike,
                "without `event_id` and `occurred_at` and equal to one that is recorded already, from \
                 this input or another; each was taken as that event, so give those that are not an \
                 `event_id`",
            ),
        ];
        let mut between = "";
        for (Remark { count, first }, what) in remarks.into_iter().filter(|(one, _)| one.count > 0)
        {
            let lines = if *count == 1 { "line" } else { "lines" };
            write!(f, "{between}{count} {lines} {what} (first: {first})")?;
            between = "\n";
        }
        Ok(())
    }
}
