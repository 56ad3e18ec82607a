//! The lines of an input: plain or gzip, numbered, and bounded in length.
//!
//! Knows nothing of what is in a line. Invariants:
//!
//! 1. A line is given without its line end and surrounding white space, and beside that as it was; blank
//!    ones are left out but counted, so numbers are those that an editor shows.
//! 2. Memory does not grow beyond the longest line allowed, whatever the input holds.
//! 3. What follows a line that is too long can still be read.
//! 4. What was read of a line while the input waits is kept, and the line goes on with what comes.
//! 5. Of an input that was interrupted every whole line that was read is given, and no part of one.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::rc::Rc;

use super::gzip::{self, Members};
use super::input::{Input, Waiting};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const BUFFER_BYTES: usize = 256 << 10;

/// What comes next of an input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// A line that is not blank.
    Line(Line<'a>),
    /// Nothing by the time until which to wait.
    Waiting,
    /// Its end.
    End,
}

/// One line of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The first line has number 1.
    pub(crate) number: u64,
    /// The bytes of the line, or `None` when it is longer than allowed.
    pub(crate) bytes: Option<&'a [u8]>,
    /// The line as it was, line end included, as far as it was read.
    pub(crate) raw: &'a [u8],
    /// Whether the input is gzip.
    pub(crate) is_gzip: bool,
}

/// Reads an input line by line.
pub(crate) struct Lines {
    stream: Stream,
    waiting: Rc<Waiting>,
    line_bytes_max: usize,
    buffer: Vec<u8>,
    /// How many lines have been begun.
    number: u64,
    /// A line has been begun and not given yet.
    within_line: bool,
    /// The rest of a line that is too long has yet to be passed over.
    within_long_line: bool,
}

/// The bytes that are made lines of.
enum Stream {
    /// Nothing was read yet, so it may be packed or not.
    Fresh(Input),
    Plain(Input),
    Gzip(BufReader<Members<Input>>),
    /// Between two of the others.
    Ended,
}

impl Stream {
    /// Looks at the first bytes of the input and unpacks it if they are those of gzip.
    fn open(&mut self) -> io::Result<&mut dyn BufRead> {
        if let Self::Fresh(input) = self {
            let is_gzip = input.peek(gzip::MAGIC.len())?.starts_with(&gzip::MAGIC);
            *self = match (std::mem::replace(self, Self::Ended), is_gzip) {
                (Self::Fresh(input), true) => {
                    Self::Gzip(BufReader::with_capacity(BUFFER_BYTES, Members::new(input)))
                }
                (Self::Fresh(input), false) => Self::Plain(input),
                (other, _) => other,
            };
        }
        match self {
            Self::Fresh(input) | Self::Plain(input) => Ok(input),
            Self::Gzip(members) => Ok(members),
            Self::Ended => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// How far a line was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    LineEnd,
    Limit,
    Waiting,
    InputEnd,
}

impl Lines {
    pub(crate) fn new(input: Input, line_bytes_max: usize) -> Self {
        Self {
            waiting: input.waiting(),
            stream: Stream::Fresh(input),
            line_bytes_max,
            buffer: Vec::new(),
            number: 0,
            within_line: false,
            within_long_line: false,
        }
    }

    /// Returns what says until when to wait, and whether the input was interrupted.
    pub(crate) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Returns the number of the line that is read, or would be read next.
    pub(crate) fn number(&self) -> u64 {
        self.number.max(1)
    }

    /// Returns the bytes that a line may have, line end included.
    pub(crate) fn line_bytes_max(&self) -> usize {
        self.line_bytes_max
    }

    /// Returns the next line that is not blank, the end, or that the input waits.
    ///
    /// # Errors
    ///
    /// What the system says when the input can not be read, or is no sound gzip.
    pub(crate) fn next(&mut self) -> io::Result<Next<'_>> {
        if self.within_long_line {
            self.pass_over_long_line(|_| Ok(()))?;
        }
        loop {
            if !self.within_line {
                self.number += 1;
                self.within_line = true;
                self.buffer.clear();
            }
            let reached = self.fill()?;
            match reached {
                Reached::Waiting => return Ok(Next::Waiting),
                Reached::InputEnd if self.buffer.is_empty() => return Ok(Next::End),
                Reached::InputEnd if self.waiting.interrupted().is_some() => return Ok(Next::End),
                Reached::LineEnd | Reached::Limit | Reached::InputEnd => self.within_line = false,
            }
            self.within_long_line = reached == Reached::Limit;
            if self.within_long_line || !self.content().is_empty() {
                let bytes = (!self.within_long_line).then(|| self.content());
                let is_gzip = matches!(self.stream, Stream::Gzip(_));
                let (number, raw) = (self.number, self.buffer.as_slice());
                return Ok(Next::Line(Line { number, bytes, raw, is_gzip }));
            }
        }
    }

    /// Returns what was read of the line that is too long.
    pub(crate) fn long_line(&self) -> &[u8] {
        match self.within_long_line {
            true => &self.buffer,
            false => &[],
        }
    }

    /// Passes over the rest of a line that is too long, handing out its bytes.
    ///
    /// # Errors
    ///
    /// What the system says when the input can not be read, and what `take` says.
    pub(crate) fn pass_over_long_line(
        &mut self,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.buffer = Vec::new();
        while self.within_long_line {
            let input = self.stream.open()?;
            let bytes = match input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            let end = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let rest = end.and_then(|end| bytes.get(..end)).unwrap_or(bytes);
            self.within_long_line = end.is_none() && !bytes.is_empty();
            let (taken, length) = (take(rest), rest.len());
            input.consume(length);
            taken?;
        }
        Ok(())
    }

    /// Reads up to the end of the line or to its limit.
    fn fill(&mut self) -> io::Result<Reached> {
        let limit = (self.line_bytes_max + 1).saturating_sub(self.buffer.len());
        let read = self
            .stream
            .open()
            .and_then(|input| input.take(limit as u64).read_until(b'\n', &mut self.buffer));
        let is_interrupted = self.waiting.interrupted().is_some();
        match read {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Reached::Waiting),
            // What was packed ends in the middle.
            Err(_) if is_interrupted => Ok(Reached::InputEnd),
            Err(error) => Err(error),
            Ok(_) if self.buffer.ends_with(b"\n") => Ok(Reached::LineEnd),
            Ok(_) if self.buffer.len() > self.line_bytes_max => Ok(Reached::Limit),
            Ok(_) => Ok(Reached::InputEnd),
        }
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
    use std::time::Instant;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const LIMIT: usize = 8;

    fn read(input: impl Read + Send + 'static) -> io::Result<Vec<(u64, Option<String>)>> {
        let mut lines = Lines::new(Input::new(input), LIMIT);
        let mut read = Vec::new();
        while let Next::Line(Line { number, bytes, .. }) = lines.next()? {
            read.push((number, bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())));
        }
        Ok(read)
    }

    fn bytes(bytes: impl AsRef<[u8]>) -> io::Cursor<Vec<u8>> {
        io::Cursor::new(bytes.as_ref().to_vec())
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
    struct Trickle(io::Cursor<Vec<u8>>);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_left_out() {
        let input = b"\xef\xbb\xbfone\r\n\n  \n two\nthree";
        let expected = [text(1, "one"), text(4, "two"), text(5, "three")];
        assert_eq!(read(bytes(input)).unwrap(), expected);
    }

    #[test]
    fn a_line_is_also_given_as_it_was() {
        let mut lines = Lines::new(Input::new(bytes(b"\n \xef\xbb\r\n1")), LIMIT);
        let mut raw = Vec::new();
        while let Next::Line(line) = lines.next().unwrap() {
            raw.push(line.raw.to_vec());
        }
        assert_eq!(raw, [&b" \xef\xbb\r\n"[..], b"1"]);
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes_also_in_several_members_and_byte_by_byte() {
        let packed = [gzip(b"one\ntw"), gzip(b""), gzip(b"o\n")].concat();
        let expected = [text(1, "one"), text(2, "two")];
        assert_eq!(read(bytes(&packed)).unwrap(), expected);
        assert_eq!(read(Trickle(bytes(&packed))).unwrap(), expected);
        assert_eq!(read(Trickle(bytes(b"one\ntwo\n"))).unwrap(), expected);
    }

    #[test]
    fn zeros_between_and_behind_gzip_members_are_passed_over_however_many() {
        for zeros in [1, 2, 3, 511, 512, 300_000] {
            let padding = vec![0; zeros];
            let packed = [&gzip(b"one\ntw")[..], &padding, &gzip(b"o\n"), &padding].concat();
            assert_eq!(read(bytes(packed)).unwrap(), [text(1, "one"), text(2, "two")], "{zeros}");
        }
        let packed = [&gzip(b"1")[..], &[0, 0]].concat();
        assert_eq!(read(Trickle(bytes(packed))).unwrap(), [text(1, "1")]);
    }

    #[test]
    fn inputs_shorter_than_the_magic_are_plain() {
        assert_eq!(read(bytes(b"")).unwrap(), []);
        assert_eq!(read(bytes(b"1")).unwrap(), [text(1, "1")]);
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_what_follows_a_longer_one_is_read() {
        let input = b"12345678\n123456789\nnext\n1234567890123456";
        let expected = [text(1, "12345678"), (2, None), text(3, "next"), (4, None)];
        assert_eq!(read(bytes(input)).unwrap(), expected);
    }

    #[test]
    fn gzip_that_is_cut_off_or_followed_by_something_else_is_an_error() {
        let packed = gzip(b"one\ntwo\n");
        assert!(read(bytes(&packed[..packed.len() - 4])).is_err());
        assert!(read(bytes([&packed[..], b"rest"].concat())).is_err());
        assert!(read(bytes([&packed[..], &[0, 0, 1]].concat())).is_err());
    }

    #[test]
    fn a_line_that_comes_in_parts_is_whole_however_the_input_waits_in_between() {
        struct Pipe(std::sync::mpsc::Receiver<Vec<u8>>);
        impl Read for Pipe {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let Ok(bytes) = self.0.recv() else { return Ok(0) };
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
        }
        for packed in [b"one\ntwo\n".to_vec(), gzip(b"one\ntwo\n")] {
            let (sender, receiver) = std::sync::mpsc::channel();
            let mut lines = Lines::new(Input::new(Pipe(receiver)), LIMIT);
            lines.waiting().until(Some(Instant::now()));
            let mut read = Vec::new();
            let mut bytes = packed.into_iter();
            let mut sender = Some(sender);
            loop {
                match lines.next().unwrap() {
                    Next::Line(line) => read.push(line.bytes.unwrap().to_vec()),
                    Next::End => break,
                    Next::Waiting => match bytes.next() {
                        Some(byte) => sender.as_ref().unwrap().send(vec![byte]).unwrap(),
                        None => sender = None,
                    },
                }
            }
            assert_eq!(read, [b"one", b"two"]);
        }
    }
}
