//! The records of a store on disk, for those who may outlive the store.

use std::sync::Arc;

use crate::error::Result;
use crate::io::RealDisk;
use crate::record::{Record, RecordKind, RecordList};
use crate::sidecar::Sidecar;
use crate::store::{Claim, Claims, RecordStore};

/// The records beside the log; they take no more once the store is closed.
pub(super) struct FileRecords {
    sidecar: Arc<Sidecar<RealDisk>>,
    claims: Claims,
}

impl FileRecords {
    pub(super) fn new(sidecar: Arc<Sidecar<RealDisk>>) -> Self {
        Self { sidecar, claims: Claims::default() }
    }
}

impl RecordStore for FileRecords {
    fn write_record(&self, kind: RecordKind, name: &str, content: &[u8]) -> Result<()> {
        self.sidecar.write(kind, name, content)
    }

    fn read_record(&self, kind: RecordKind, name: &str) -> Result<Record> {
        self.sidecar.read(kind, name)
    }

    fn remove_record(&self, kind: RecordKind, name: &str) -> Result<()> {
        self.sidecar.remove(kind, name)
    }

    fn list(&self, kind: RecordKind) -> Result<RecordList> {
        self.sidecar.list(kind)
    }

    fn claim(&self, kind: RecordKind, name: &str) -> Result<Claim> {
        self.claims.claim(kind, name)
    }
}
