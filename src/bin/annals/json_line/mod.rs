//! An event as one line of JSON: the form that `import` reads and `read --json` writes.
//!
//! | field | |
//! |---|---|
//! | `aggregate_type`, `aggregate_id`, `event_type` | text; required |
//! | `occurred_at` | RFC 3339 with an offset; years before 0 and after 9999 with a sign and six digits |
//! | `data` | the payload: any JSON, or a text when `content_type` is `text` |
//! | `data_base64` | the payload when it is neither, in place of `data` |
//! | `content_type` | `json` (may be left out), `text`, `bytes`, `bincode`, or its number |
//! | `event_id`, `correlation_id`, `causation_id` | UUID |
//! | `event_version`, `aggregate_version` | number |
//! | `tenant_id`, `actor_id` | text |
//! | `tags` | list of texts |
//! | `metadata` | object of texts |
//! | `global_position`, `stream_version`, `recorded_at` | given by the store; ignored by `import` |
//!
//! `null` is as good as left out, but `data`, which is the JSON `null` then.
//!
//! What is written is read back as the same event, payload byte for byte: `data` is kept as it stands in the
//! line, and what can not stand there so is written as `data_base64`.

mod content_type;
mod parse;
mod print;

pub(crate) use parse::{ParsedLine, Refusal, parse};
pub(crate) use print::PrintedEvent;

#[cfg(test)]
mod tests;
