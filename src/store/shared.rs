//! A reference to a store, shared or not, is a store.

use std::sync::Arc;

use super::{
    AppendResult, Claim, Commit, CommitResult, EventStore, EventStream, Events, ExpectedVersion,
    GlobalRead, Query, RecordStore, StreamRead, Watch, Watcher,
};
use crate::error::Result;
use crate::event::{EventId, NewEvent, RecordedEvent};
use crate::position::{GlobalPosition, StreamVersion};
use crate::record::{Record, RecordKind, RecordList};
use crate::stream::StreamId;

macro_rules! stores {
    ($($shared:ty),+) => {
        $(
            impl<S: EventStore + ?Sized> EventStore for $shared {
                fn commit(&self, commit: Commit) -> Result<CommitResult> {
                    (**self).commit(commit)
                }

                fn read_stream(&self, stream: &StreamId, options: StreamRead) -> Result<Events> {
                    (**self).read_stream(stream, options)
                }

                fn read(&self, query: &Query, options: GlobalRead) -> Result<Events> {
                    (**self).read(query, options)
                }

                fn stream_version(&self, stream: &StreamId) -> Result<StreamVersion> {
                    (**self).stream_version(stream)
                }

                fn event(&self, event_id: EventId) -> Result<Option<RecordedEvent>> {
                    (**self).event(event_id)
                }

                fn global_position(&self) -> Result<GlobalPosition> {
                    (**self).global_position()
                }

                fn append(
                    &self,
                    stream: &StreamId,
                    expected: ExpectedVersion,
                    events: Vec<NewEvent>,
                ) -> Result<AppendResult> {
                    (**self).append(stream, expected, events)
                }

                fn load_stream(
                    &self,
                    stream: &StreamId,
                    options: StreamRead,
                ) -> Result<EventStream> {
                    (**self).load_stream(stream, options)
                }

                fn read_all(&self, options: GlobalRead) -> Result<Events> {
                    (**self).read_all(options)
                }

                fn read_category(
                    &self,
                    aggregate_type: &str,
                    options: GlobalRead,
                ) -> Result<Events> {
                    (**self).read_category(aggregate_type, options)
                }

                fn event_exists(&self, event_id: EventId) -> Result<bool> {
                    (**self).event_exists(event_id)
                }

                fn event_id_at(&self, position: GlobalPosition) -> Result<Option<EventId>> {
                    (**self).event_id_at(position)
                }

                fn watch(&self, position: GlobalPosition, watcher: &Watcher) -> Result<Watch> {
                    (**self).watch(position, watcher)
                }
            }

            impl<S: RecordStore + ?Sized> RecordStore for $shared {
                fn write_record(&self, kind: RecordKind, name: &str, content: &[u8]) -> Result<()> {
                    (**self).write_record(kind, name, content)
                }

                fn read_record(&self, kind: RecordKind, name: &str) -> Result<Record> {
                    (**self).read_record(kind, name)
                }

                fn remove_record(&self, kind: RecordKind, name: &str) -> Result<()> {
                    (**self).remove_record(kind, name)
                }

                fn list(&self, kind: RecordKind) -> Result<RecordList> {
                    (**self).list(kind)
                }

                fn claim(&self, kind: RecordKind, name: &str) -> Result<Claim> {
                    (**self).claim(kind, name)
                }
            }
        )+
    };
}

stores!(&S, Box<S>, Arc<S>);
