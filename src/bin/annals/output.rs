//! Standard output, line by line: safe for a terminal, and no reason to fail when its reader goes away.
//!
//! Invariants:
//!
//! 1. A reader that has gone changes no exit code: what is written from then on is dropped, and the command
//!    goes on to its verdict.
//! 2. No text reaches the output with a character in it that a terminal acts on or hides. A payload in JSON
//!    keeps its bytes, unless the output is a terminal.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use annals::Escaped;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::failure::Failure;

/// Standard output behind a buffer. What is in the buffer is written by [`finish`](Self::finish).
#[derive(Debug)]
pub(crate) struct Output {
    buffer: BufWriter<Reader>,
    /// Whether the reader has gone.
    is_closed: bool,
    is_terminal: bool,
}

/// Who reads the output.
#[derive(Debug)]
struct Reader {
    output: StdoutLock<'static>,
    has_got_something: bool,
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.has_got_something |= written > 0;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl Output {
    pub(crate) fn new() -> Self {
        let output = io::stdout().lock();
        let is_terminal = output.is_terminal();
        let reader = Reader { output, has_got_something: false };
        Self { buffer: BufWriter::with_capacity(64 << 10, reader), is_closed: false, is_terminal }
    }

    /// Returns whether people read the output.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Returns whether the reader has gone after it got something: it wants no more.
    pub(crate) fn is_enough(&self) -> bool {
        self.is_closed && self.buffer.get_ref().has_got_something
    }

    /// Writes one line of text.
    pub(crate) fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        self.write(|buffer, _| writeln!(buffer, "{}", Escaped(text)))
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        self.write(|buffer, is_terminal| {
            let form = SafeJson { escapes_payloads: is_terminal };
            value.serialize(&mut Serializer::with_formatter(&mut *buffer, form))?;
            buffer.write_all(b"\n")
        })
    }

    /// Writes what is left in the buffer.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.write(|buffer, _| buffer.flush())
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut BufWriter<Reader>, bool) -> io::Result<()>,
    ) -> Result<(), Failure> {
        if self.is_closed {
            return Ok(());
        }
        match write(&mut self.buffer, self.is_terminal) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            written => written.map_err(|error| Failure::of_output(&error)),
        }
    }
}

/// JSON on one line whose texts hold no character that a terminal acts on or hides: each is written as its
/// escape, which reads back as the same text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SafeJson {
    /// Whether payloads are escaped as well, which keeps what they say but not their bytes.
    pub(crate) escapes_payloads: bool,
}

impl Formatter for SafeJson {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        write_escaped(writer, fragment)
    }

    fn write_raw_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        match self.escapes_payloads {
            // Outside of its texts JSON holds none of these characters but white space.
            true => write_escaped(writer, fragment),
            false => writer.write_all(fragment.as_bytes()),
        }
    }
}

/// Writes a text with `\uXXXX` in place of what a terminal acts on or hides.
fn write_escaped<W: ?Sized + Write>(writer: &mut W, text: &str) -> io::Result<()> {
    let mut plain_from = 0;
    let is_escaped = |character: char| {
        Escaped(character).is_escaped() && !matches!(character, '\n' | '\r' | '\t')
    };
    for (at, character) in text.char_indices().filter(|(_, it)| is_escaped(*it)) {
        writer.write_all(text.get(plain_from..at).unwrap_or_default().as_bytes())?;
        for unit in character.encode_utf16(&mut [0; 2]) {
            write!(writer, "\\u{unit:04x}")?;
        }
        plain_from = at + character.len_utf8();
    }
    writer.write_all(text.get(plain_from..).unwrap_or_default().as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn json(value: &impl Serialize, escapes_payloads: bool) -> String {
        let mut bytes = Vec::new();
        let form = SafeJson { escapes_payloads };
        value.serialize(&mut Serializer::with_formatter(&mut bytes, form)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn texts_are_escaped_and_read_back_as_they_were() {
        let text = "a\u{1b}\u{7f}\u{9b}\u{202e}b\u{e0001}\n\"é\\";
        let printed = json(&[text], false);
        assert_eq!(printed, "[\"a\\u001b\\u007f\\u009b\\u202eb\\udb40\\udc01\\n\\\"é\\\\\"]");
        assert_eq!(serde_json::from_str::<[String; 1]>(&printed).unwrap()[0], text);
    }

    #[test]
    fn a_payload_keeps_its_bytes_but_on_a_terminal() {
        let payload = RawValue::from_string("{\"\u{202e}\" : 1}".to_owned()).unwrap();
        assert_eq!(json(&payload, false), "{\"\u{202e}\" : 1}");
        assert_eq!(json(&payload, true), "{\"\\u202e\" : 1}");
    }
}
