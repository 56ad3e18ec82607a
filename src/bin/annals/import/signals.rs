//! Signals that ask an import to end: the first one ends its input, the second one the program.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use super::input::Interrupter;

const SIGNALS: [i32; 2] = [SIGINT, SIGTERM];

/// Interrupts an input with the first signal, and ends the program at once with the second.
///
/// # Errors
///
/// What the system says when it does not take a handler.
pub(crate) fn interrupt(input: Interrupter) -> io::Result<()> {
    let mut signals = Signals::new(SIGNALS)?;
    // What is registered first is done first: the flag that ends the program is set by the signal before.
    let is_second = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS {
        let status = super::exit_code_of_signal(signal);
        flag::register_conditional_shutdown(signal, status.into(), Arc::clone(&is_second))?;
        flag::register(signal, Arc::clone(&is_second))?;
    }
    thread::spawn(move || signals.forever().for_each(|signal| input.interrupt(signal)));
    Ok(())
}
