//! Unpacks gzip: any number of members, with any number of zeros between and behind them.
//!
//! Zeros are what fills the last block of a tape or of a device; `gzip` passes over them as well. Reading
//! can go on after [`WouldBlock`](io::ErrorKind::WouldBlock), as the decoder of a member can.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The bytes that a member begins with.
pub(crate) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The members of an input that begins with one.
#[derive(Debug)]
pub(crate) struct Members<R> {
    at: Option<At<R>>,
}

#[derive(Debug)]
enum At<R> {
    Within(GzDecoder<R>),
    Behind(R),
}

impl<R: BufRead> Members<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { at: Some(At::Behind(input)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.at {
                Some(At::Within(member)) => match member.read(into)? {
                    0 if !into.is_empty() => {}
                    read => return Ok(read),
                },
                Some(At::Behind(input)) => {
                    let Some(next) = next_behind_padding(input)? else { return Ok(0) };
                    if next != MAGIC[0] {
                        let reason = "what follows the gzip data is neither gzip nor zeros";
                        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
                    }
                }
                None => return Ok(0),
            }
            self.at = self.at.take().map(|at| match at {
                At::Within(member) => At::Behind(member.into_inner()),
                At::Behind(input) => At::Within(GzDecoder::new(input)),
            });
        }
    }
}

/// Passes over zeros and returns the byte behind them; none at the end.
fn next_behind_padding(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let bytes = input.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let (next, is_end) = (bytes.get(zeros).copied(), bytes.is_empty());
        input.consume(zeros);
        if next.is_some() || is_end {
            return Ok(next);
        }
    }
}
