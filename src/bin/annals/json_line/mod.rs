//! An event as one line of JSON: the form that `import` reads and `read --json` writes.
//!
//! | field | |
//! |---|---|
//! | `aggregate_type`, `aggregate_id`, `event_type` | text; required |
//! | `occurred_at` | RFC 3339 with an offset |
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
//! What is written is read back as the same event, payload byte for byte, but for white space
//! between the parts of a JSON payload.

mod compact;
mod content_type;
mod parse;
mod print;

use compact::compact;
pub(crate) use parse::{ParsedLine, parse};
pub(crate) use print::PrintedEvent;

#[cfg(test)]
mod tests;
