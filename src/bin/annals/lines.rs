//! The lines of an input: plain or gzip, numbered, and bounded in length.
//!
//! Knows nothing of what is in a line. Invariants:
//!
//! 1. A line is given without its line end and surrounding white space; blank ones are left out but
//!    counted, so numbers are those that an editor shows.
//! 2. Memory does not grow beyond the longest line allowed, whatever the input holds.
//! 3. What follows a line that is too long can still be read.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const BUFFER_BYTES: usize = 256 << 10;

/// One line of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The first line has number 1.
    pub(crate) number: u64,
    /// The bytes of the line, or `None` when it is longer than allowed.
    pub(crate) bytes: Option<&'a [u8]>,
}

/// Reads an input line by line.
pub(crate) struct Lines<'a> {
    input: Box<dyn BufRead + 'a>,
    line_bytes_max: usize,
    buffer: Vec<u8>,
    /// How many lines have been begun.
    number: u64,
    /// The rest of a line that is too long has yet to be passed over.
    within_long_line: bool,
}

impl<'a> Lines<'a> {
    /// Looks at the first bytes of the input, unpacks it if they are those of gzip.
    ///
    /// # Errors
    ///
    /// What the system says when the input can not be read.
    pub(crate) fn new(mut input: impl Read + 'a, line_bytes_max: usize) -> io::Result<Self> {
        let mut head = Vec::with_capacity(GZIP_MAGIC.len());
        input.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut head)?;
        let packed = head == GZIP_MAGIC;
        let whole = BufReader::with_capacity(BUFFER_BYTES, io::Cursor::new(head).chain(input));
        let input: Box<dyn BufRead + 'a> = match packed {
            true => Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(whole))),
            false => Box::new(whole),
        };
        Ok(Self { input, line_bytes_max, buffer: Vec::new(), number: 0, within_long_line: false })
    }

    /// Returns the number of the line that is read, or would be read next.
    pub(crate) fn number(&self) -> u64 {
        self.number.max(1)
    }

    /// Returns the next line that is not blank, or `None` at the end.
    ///
    /// # Errors
    ///
    /// What the system says when the input can not be read, or is no sound gzip.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            if self.within_long_line {
                self.pass_over_long_line()?;
            }
            self.number += 1;
            if !self.fill()? {
                return Ok(None);
            }
            if self.within_long_line {
                return Ok(Some(Line { number: self.number, bytes: None }));
            }
            if !self.content().is_empty() {
                return Ok(Some(Line { number: self.number, bytes: Some(self.content()) }));
            }
        }
    }

    /// Reads up to the end of the line or to its limit; `false` at the end of the input.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        let limit = self.line_bytes_max as u64 + 1;
        let read = self.input.by_ref().take(limit).read_until(b'\n', &mut self.buffer)?;
        self.within_long_line = read as u64 == limit && !self.buffer.ends_with(b"\n");
        Ok(read > 0)
    }

    fn pass_over_long_line(&mut self) -> io::Result<()> {
        self.buffer = Vec::new();
        self.input.skip_until(b'\n')?;
        self.within_long_line = false;
        Ok(())
    }

    fn content(&self) -> &[u8] {
        let line = self.buffer.as_slice();
        let marked = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| self.number == 1);
        marked.unwrap_or(line).trim_ascii()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const LIMIT: usize = 8;

    fn read(input: impl Read) -> io::Result<Vec<(u64, Option<String>)>> {
        let mut lines = Lines::new(input, LIMIT)?;
        let mut read = Vec::new();
        while let Some(Line { number, bytes }) = lines.next()? {
            read.push((number, bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())));
        }
        Ok(read)
    }

    fn text(number: u64, text: &str) -> (u64, Option<String>) {
        (number, Some(text.into()))
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// Gives one byte at a time, as a slow pipe may.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_left_out() {
        let input = b"\xef\xbb\xbfone\r\n\n  \n two\nthree";
        let expected = [text(1, "one"), text(4, "two"), text(5, "three")];
        assert_eq!(read(&input[..]).unwrap(), expected);
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes_also_in_several_members_and_byte_by_byte() {
        let packed = [gzip(b"one\ntw"), gzip(b"o\n")].concat();
        let expected = [text(1, "one"), text(2, "two")];
        assert_eq!(read(packed.as_slice()).unwrap(), expected);
        assert_eq!(read(Trickle(&packed)).unwrap(), expected);
        assert_eq!(read(Trickle(b"one\ntwo\n")).unwrap(), expected);
    }

    #[test]
    fn inputs_shorter_than_the_magic_are_plain() {
        assert_eq!(read(&b""[..]).unwrap(), []);
        assert_eq!(read(&b"1"[..]).unwrap(), [text(1, "1")]);
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_what_follows_a_longer_one_is_read() {
        let input = b"12345678\n123456789\nnext\n1234567890123456";
        let expected = [text(1, "12345678"), (2, None), text(3, "next"), (4, None)];
        assert_eq!(read(&input[..]).unwrap(), expected);
    }

    #[test]
    fn gzip_that_is_cut_off_or_followed_by_something_else_is_an_error() {
        let packed = gzip(b"one\ntwo\n");
        assert!(read(&packed[..packed.len() - 4]).is_err());
        assert!(read([&packed[..], b"rest"].concat().as_slice()).is_err());
    }
}
