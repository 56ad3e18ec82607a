//! Fields at fixed places of bytes: read and written as little-endian integers.
//!
//! A table of fields is the layout of a structure, and its documentation. Reading never panics: where the bytes
//! do not reach, a field is 0.

#![forbid(unsafe_code)]

/// A field at a fixed place of a structure. What it is called and means is for the documentation,
/// which a test prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) offset: usize,
    pub(crate) width: usize,
    #[cfg(test)]
    pub(crate) name: &'static str,
    #[cfg(test)]
    pub(crate) meaning: &'static str,
}

/// A structure of fixed layout.
#[derive(Debug)]
pub(crate) struct Table {
    #[cfg(test)]
    pub(crate) name: &'static str,
    pub(crate) size: usize,
    pub(crate) fields: &'static [Field],
}

macro_rules! table {
    (
        $(#[$meta:meta])* $table:ident, $title:literal, $size:expr;
        $($field:ident: $offset:literal, $width:literal, $name:literal, $meaning:literal;)*
    ) => {
        $(pub(crate) const $field: $crate::field::Field = $crate::field::Field {
            offset: $offset,
            width: $width,
            #[cfg(test)]
            name: $name,
            #[cfg(test)]
            meaning: $meaning,
        };)*
        $(#[$meta])*
        pub(crate) const $table: $crate::field::Table = $crate::field::Table {
            #[cfg(test)]
            name: $title,
            size: $size,
            fields: &[$($field),*],
        };
        const _: () = assert!($crate::field::is_contiguous(&$table), "fields follow each other to the end");
    };
}

pub(crate) const fn is_contiguous(table: &Table) -> bool {
    let mut fields = table.fields;
    let mut end = 0;
    while let [first, rest @ ..] = fields {
        if first.offset != end {
            return false;
        }
        end += first.width;
        fields = rest;
    }
    end == table.size
}

pub(crate) use table;

impl Field {
    /// Reads the field as an unsigned integer. The bytes must reach: every decoder refuses what is shorter than
    /// its table before it reads a field. In tests a field that they do not reach is a failure.
    ///
    /// Inlined always: with a field that is known it is one load.
    #[inline(always)]
    pub(crate) fn get(self, bytes: &[u8]) -> u64 {
        match self.width {
            1 => u8::from_le_bytes(self.chunk(bytes)).into(),
            2 => u16::from_le_bytes(self.chunk(bytes)).into(),
            4 => u32::from_le_bytes(self.chunk(bytes)).into(),
            8 => u64::from_le_bytes(self.chunk(bytes)),
            _ => 0,
        }
    }

    #[inline(always)]
    fn chunk<const WIDTH: usize>(self, bytes: &[u8]) -> [u8; WIDTH] {
        let own = bytes.get(self.offset..self.offset + WIDTH);
        debug_assert!(own.is_some(), "a field at {} of {} bytes", self.offset, bytes.len());
        own.and_then(|own| own.first_chunk().copied()).unwrap_or([0; WIDTH])
    }

    #[expect(clippy::cast_possible_truncation, reason = "called for fields of at most 4 bytes")]
    #[inline(always)]
    pub(crate) fn get_u32(self, bytes: &[u8]) -> u32 {
        self.get(bytes) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "called for fields of at most 2 bytes")]
    #[inline(always)]
    pub(crate) fn get_u16(self, bytes: &[u8]) -> u16 {
        self.get(bytes) as u16
    }

    #[inline(always)]
    pub(crate) fn get_i64(self, bytes: &[u8]) -> i64 {
        self.get(bytes).cast_signed()
    }

    /// Reads the field as 16 bytes.
    #[inline(always)]
    pub(crate) fn get_16(self, bytes: &[u8]) -> [u8; 16] {
        self.chunk(bytes)
    }

    /// Writes the lowest bytes of an integer into the field.
    #[inline]
    pub(crate) fn put(self, bytes: &mut [u8], value: u64) {
        self.put_bytes(bytes, value.to_le_bytes().get(..self.width).unwrap_or_default());
    }

    #[inline]
    pub(crate) fn put_bytes(self, bytes: &mut [u8], value: &[u8]) {
        if let Some(own) = bytes.get_mut(self.offset..self.offset + self.width) {
            own.copy_from_slice(value);
        }
    }

    /// Returns the bytes that come before the field.
    #[inline]
    pub(crate) fn before(self, bytes: &[u8]) -> &[u8] {
        bytes.get(..self.offset).unwrap_or_default()
    }
}
