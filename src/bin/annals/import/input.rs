//! The bytes of an input, read by a thread of its own, so that whoever takes them can stop waiting.
//!
//! Knows nothing of what the bytes mean. Invariants:
//!
//! 1. What the thread has read is given out, all of it and in order, also after an interruption.
//! 2. After an interruption nothing more is read.
//! 3. After its end the input is not read again: on a terminal one end is enough.
//! 4. Memory is that of a few chunks, however fast the input comes.

use std::cell::Cell;
use std::io::{self, BufRead, ErrorKind, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

const CHUNK_BYTES: usize = 64 << 10;
const CHUNKS_WAITING_MAX: usize = 8;

/// How long an interrupted input may take to hand over what it has read. The thread that reads does it at
/// once, unless it waits for the input and has nothing.
const HANDOVER: Duration = Duration::from_millis(200);

/// What the taker of an input and the input agree on while bytes are awaited.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// When waiting ends with [`ErrorKind::WouldBlock`]; without it, when there is something.
    until: Cell<Option<Instant>>,
    /// The number of the signal that interrupted the input.
    interrupted: Cell<Option<i32>>,
}

impl Waiting {
    /// Sets until when to wait for bytes.
    pub(crate) fn until(&self, until: Option<Instant>) {
        self.until.set(until);
    }

    /// Returns the number of the signal that interrupted the input.
    pub(crate) fn interrupted(&self) -> Option<i32> {
        self.interrupted.get()
    }
}

/// An input that a thread reads.
#[derive(Debug)]
pub(crate) struct Input {
    messages: Receiver<Message>,
    interrupter: Interrupter,
    waiting: Rc<Waiting>,
    /// Tells the thread to read no more.
    stop: Arc<AtomicBool>,
    chunk: Vec<u8>,
    /// Where the rest of the chunk begins.
    at: usize,
    ended: bool,
}

#[derive(Debug)]
enum Message {
    /// Bytes of the input; none at its end.
    Bytes(io::Result<Vec<u8>>),
    /// A signal came.
    Signal(i32),
}

/// Interrupts an input from another thread.
#[derive(Debug, Clone)]
pub(crate) struct Interrupter(SyncSender<Message>);

impl Interrupter {
    /// Ends the input after what it has read by now.
    pub(crate) fn interrupt(&self, signal: i32) {
        // Where the receiver is gone, the input has ended already.
        let _ = self.0.send(Message::Signal(signal));
    }
}

impl Input {
    /// Starts a thread that reads.
    pub(crate) fn new(source: impl Read + Send + 'static) -> Self {
        let (sender, messages) = sync_channel(CHUNKS_WAITING_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let (reader, is_stopped) = (sender.clone(), Arc::clone(&stop));
        thread::spawn(move || read(source, &reader, &is_stopped));
        Self {
            messages,
            interrupter: Interrupter(sender),
            waiting: Rc::default(),
            stop,
            chunk: Vec::new(),
            at: 0,
            ended: false,
        }
    }

    pub(crate) fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    pub(crate) fn waiting(&self) -> Rc<Waiting> {
        Rc::clone(&self.waiting)
    }

    /// Returns the next bytes without taking them: at least `count`, unless the input ends before.
    pub(crate) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.rest().len() < count && !self.ended {
            let more = self.receive()?;
            self.ended = more.is_empty();
            self.chunk = [self.rest(), more.as_slice()].concat();
            self.at = 0;
        }
        Ok(self.rest())
    }

    fn rest(&self) -> &[u8] {
        self.chunk.get(self.at..).unwrap_or_default()
    }

    /// Returns the next chunk, which is empty at the end.
    fn receive(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.next_message()? {
                Message::Bytes(Ok(bytes)) => return Ok(bytes),
                Message::Bytes(Err(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                Message::Signal(signal) => {
                    self.stop.store(true, Ordering::Release);
                    self.waiting.interrupted.set(Some(signal));
                }
            }
        }
    }

    fn next_message(&self) -> io::Result<Message> {
        let is_interrupted = self.waiting.interrupted().is_some();
        let patience = match (is_interrupted, self.waiting.until.get()) {
            (true, _) => Some(HANDOVER),
            (false, until) => until.map(|time| time.saturating_duration_since(Instant::now())),
        };
        let received = match patience {
            Some(patience) => self.messages.recv_timeout(patience),
            None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(message) => Ok(message),
            Err(RecvTimeoutError::Timeout) if !is_interrupted => Err(ErrorKind::WouldBlock.into()),
            Err(_) => Ok(Message::Bytes(Ok(Vec::new()))),
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.rest().is_empty() && !self.ended {
            let chunk = self.receive()?;
            self.ended = chunk.is_empty();
            (self.chunk, self.at) = (chunk, 0);
        }
        Ok(self.rest())
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

/// Reads to the end, to an error, or until told to stop.
fn read(mut source: impl Read, to: &SyncSender<Message>, is_stopped: &AtomicBool) {
    loop {
        let chunk = match is_stopped.load(Ordering::Acquire) {
            true => Ok(Vec::new()),
            false => read_chunk(&mut source),
        };
        let is_last = chunk.as_ref().map_or(true, Vec::is_empty);
        if to.send(Message::Bytes(chunk)).is_err() || is_last {
            return;
        }
    }
}

fn read_chunk(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match source.read(&mut chunk) {
            Ok(read) => {
                chunk.truncate(read);
                return Ok(chunk);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what it is sent, and waits in between, as a pipe does.
    struct Pipe(Receiver<&'static [u8]>);

    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Ok(bytes) = self.0.recv() else { return Ok(0) };
            buffer[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }

    #[test]
    fn waiting_ends_at_its_time_and_nothing_is_lost_by_it() {
        let (sender, receiver) = sync_channel(8);
        let mut input = Input::new(Pipe(receiver));
        sender.send(&b"on"[..]).unwrap();
        assert_eq!(input.peek(2).unwrap(), b"on");
        input.waiting().until(Some(Instant::now()));
        assert_eq!(input.peek(3).unwrap_err().kind(), ErrorKind::WouldBlock);
        sender.send(b"e").unwrap();
        input.waiting().until(None);
        assert_eq!(input.peek(3).unwrap(), b"one");
        drop(sender);
        let mut rest = String::new();
        input.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "one");
    }

    #[test]
    fn an_interruption_ends_an_input_that_waits_after_what_it_has_read() {
        let (sender, receiver) = sync_channel(8);
        let mut input = Input::new(Pipe(receiver));
        sender.send(&b"one"[..]).unwrap();
        assert_eq!(input.peek(3).unwrap(), b"one");
        input.interrupter().interrupt(15);
        let mut rest = String::new();
        input.read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), input.waiting().interrupted()), ("one", Some(15)));
        drop(sender);
    }

    #[test]
    fn an_end_is_asked_for_once() {
        struct Ends(u32);
        impl Read for Ends {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                assert_eq!(self.0, 1, "read again after its end");
                Ok(0)
            }
        }
        let mut input = Input::new(Ends(0));
        for _ in 0..3 {
            assert!(input.peek(2).unwrap().is_empty() && input.fill_buf().unwrap().is_empty());
        }
    }
}
