//! Looking at ranges of a file: borrowed from a map of it where it is mapped, else read.
//!
//! The map is made at the first look and covers the file as long as it is then; what lies behind it
//! is read. Callers look only at ranges that nobody writes to any more.

#![forbid(unsafe_code)]

use std::io::{ErrorKind, Result};
use std::ops::Deref;
use std::sync::OnceLock;

use bytes::Bytes;

use super::DiskFile;
use super::map::{Map, fetch};

/// A file that is looked at.
#[derive(Debug)]
pub(crate) struct ViewedFile<F> {
    file: F,
    map: OnceLock<Option<Map>>,
}

/// A range of a file.
pub(crate) enum Piece<'a> {
    /// Borrowed from a map: without a copy or a reference count.
    Mapped(&'a [u8]),
    Read(Bytes),
}

impl Deref for Piece<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Read(bytes) => bytes,
        }
    }
}

impl<F: DiskFile> ViewedFile<F> {
    pub(crate) fn new(file: F) -> Self {
        Self { file, map: OnceLock::new() }
    }

    pub(crate) fn file(&self) -> &F {
        &self.file
    }

    /// Returns exactly the bytes of a range.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` for a range that the file does not have, else what reading it ran into.
    #[inline]
    pub(crate) fn piece(&self, offset: u64, len: usize) -> Result<Piece<'_>> {
        match self.mapped(offset, len) {
            Some(bytes) => Ok(Piece::Mapped(bytes)),
            None => self.read(offset, len).map(Piece::Read),
        }
    }

    /// As [`piece`](Self::piece), as bytes that outlive this and stay as they are.
    #[inline]
    pub(crate) fn bytes(&self, offset: u64, len: usize) -> Result<Bytes> {
        match self.map().and_then(|map| map.share(offset, len)) {
            Some(bytes) => Ok(bytes),
            None => self.read(offset, len),
        }
    }

    /// Reads a range that is not mapped, out of the way of looks that need only the map.
    #[inline(never)]
    fn read(&self, offset: u64, len: usize) -> Result<Bytes> {
        let bytes = self.file.read_bytes(offset, len)?;
        match bytes.len() == len {
            true => Ok(bytes),
            false => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Returns the bytes of a range if they are mapped, without reading them otherwise.
    #[inline]
    pub(crate) fn mapped(&self, offset: u64, len: usize) -> Option<&[u8]> {
        self.map()?.get(offset, len)
    }

    /// Begins to bring a range into the processor's caches, if all of it is mapped.
    #[inline]
    pub(crate) fn fetch(&self, offset: u64, len: usize) {
        if let Some(bytes) = self.mapped(offset, len) {
            fetch(bytes);
        }
    }

    #[inline]
    fn map(&self) -> Option<&Map> {
        self.map.get_or_init(|| self.file.map().ok().flatten()).as_ref()
    }
}
