//! What of a commit can be judged without a store: names and sizes (CONTRACT A8).

use crate::error::{Error, Result};
use crate::event::{NewEvent, encoded_metadata};
use crate::limits::{EVENT_TYPE_BYTES_MAX, Limits, TAG_BYTES_MAX};
use crate::store::append::Commit;
use crate::stream::check_text;

/// Refuses a commit with an invalid name or a size over its limit. The size of the whole commit as
/// stored is for the backend to judge.
pub(super) fn commit(commit: &Commit, limits: &Limits) -> Result<()> {
    let events = commit.appends.iter().map(|append| append.events.len()).sum();
    within("events of a commit", limits.commit_events_max, events)?;
    let payloads = commit.appends.iter().flat_map(|append| &append.events);
    let bytes = payloads.map(|event| event.payload.len()).sum();
    within("bytes of a commit", limits.commit_bytes_max, bytes)?;
    commit.conditions.iter().try_for_each(|condition| condition.query.check())?;
    let mut events = commit.appends.iter().flat_map(|append| &append.events);
    events.try_for_each(|one| event(one, limits))
}

fn event(event: &NewEvent, limits: &Limits) -> Result<()> {
    check_text("event type", &event.event_type, EVENT_TYPE_BYTES_MAX)?;
    within("bytes of a payload", limits.payload_bytes_max, event.payload.len())?;
    within("tags of an event", limits.tags_max, event.tags.len())?;
    event.tags.iter().try_for_each(|tag| check_text("tag", tag, TAG_BYTES_MAX))?;
    let metadata = encoded_metadata(&event.metadata)?;
    within("bytes of the metadata of an event", limits.metadata_bytes_max, metadata.len())
}

fn within(what: &'static str, limit: u32, actual: usize) -> Result<()> {
    match actual <= limit as usize {
        true => Ok(()),
        false => Err(Error::Limit { what, limit: limit.into(), actual: actual as u64 }),
    }
}
