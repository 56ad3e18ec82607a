//! stub
use crate::*;
/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore;
impl MemoryStore {
    /// New.
    pub fn new() -> Self { Self }
}
impl EventStore for MemoryStore {
    fn commit(&self, _: Commit) -> Result<CommitResult> { Err(Error::Closed) }
    fn read_stream(&self, _: &StreamId, _: StreamRead) -> Result<Events> { Err(Error::Closed) }
    fn read(&self, _: &Query, _: GlobalRead) -> Result<Events> { Err(Error::Closed) }
    fn stream_version(&self, _: &StreamId) -> Result<StreamVersion> { Err(Error::Closed) }
    fn event(&self, _: EventId) -> Result<Option<RecordedEvent>> { Err(Error::Closed) }
    fn global_position(&self) -> Result<GlobalPosition> { Err(Error::Closed) }
}
