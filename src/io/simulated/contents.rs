//! The bytes of a simulated file: pages that are shared until they are written, none for zeros.

use std::sync::Arc;

pub(super) const PAGE_BYTES: usize = 4096;
const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// The bytes of a file, cheap to copy.
#[derive(Debug, Clone, Default)]
pub(super) struct Contents {
    len: usize,
    /// Pages from the first on; those behind the last, and those that are `None`, are zeros.
    pages: Vec<Option<Arc<[u8; PAGE_BYTES]>>>,
}

impl Contents {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Sets the length; what is added is zeros.
    pub(super) fn set_len(&mut self, len: usize) {
        if len < self.len {
            self.pages.truncate(len.div_ceil(PAGE_BYTES));
            let end = self.len.min(len.next_multiple_of(PAGE_BYTES));
            self.put(len, &ZEROS[..end - len]);
        }
        self.len = len;
    }

    /// Writes bytes, beyond the end too.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.len = self.len.max(offset + bytes.len());
        self.put(offset, bytes);
    }

    fn put(&mut self, mut offset: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (number, start) = (offset / PAGE_BYTES, offset % PAGE_BYTES);
            let (own, rest) = bytes.split_at(bytes.len().min(PAGE_BYTES - start));
            let is_blank = self.pages.get(number).is_none_or(Option::is_none);
            if !is_blank || !ZEROS.starts_with(own) {
                if self.pages.len() <= number {
                    self.pages.resize(number + 1, None);
                }
                let page = self.pages[number].get_or_insert_with(|| Arc::new(ZEROS));
                Arc::make_mut(page)[start..start + own.len()].copy_from_slice(own);
            }
            offset += own.len();
            bytes = rest;
        }
    }

    /// Fills as much of a buffer as there are bytes, and returns how many.
    pub(super) fn read(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.len.saturating_sub(offset));
        let mut filled = 0;
        while filled < count {
            let at = offset + filled;
            let (number, start) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let own = (count - filled).min(PAGE_BYTES - start);
            let page = self.pages.get(number).and_then(Option::as_deref).unwrap_or(&ZEROS);
            buffer[filled..filled + own].copy_from_slice(&page[start..start + own]);
            filled += own;
        }
        count
    }

    /// Returns the bytes of a range, zeros where there are none.
    pub(super) fn bytes(&self, offset: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.read(offset, &mut bytes);
        bytes
    }

    /// Returns a range that lies in one page, zeros where there is nothing.
    fn within_page(&self, offset: usize, len: usize) -> &[u8] {
        let page = self.pages.get(offset / PAGE_BYTES).and_then(Option::as_deref);
        let start = offset % PAGE_BYTES;
        &page.unwrap_or(&ZEROS)[start..start + len]
    }

    /// Tells whether a range that lies in one page is zero.
    pub(super) fn is_blank(&self, offset: usize, len: usize) -> bool {
        ZEROS.starts_with(self.within_page(offset, len))
    }

    /// Tells whether a range that lies in one page has the same bytes in both.
    pub(super) fn agrees(&self, other: &Self, offset: usize, len: usize) -> bool {
        self.within_page(offset, len) == other.within_page(offset, len)
    }
}
