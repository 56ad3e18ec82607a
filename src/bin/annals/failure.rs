//! Why a command did not succeed, what it says about that, and with which exit code it ends.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use annals::Escaped;

/// Why a command does not end with exit code 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command was used wrongly; exit code 2.
    Usage(String),
    /// The command failed; exit code 1.
    Failed(Box<dyn Error>),
    /// What had to be said is said already; exit code 1.
    Reported,
    /// Nothing was changed, since nobody has agreed to what would be; exit code 3.
    Unconfirmed(&'static str),
    /// Nothing is there of what was asked for; exit code 4. One message for each thing that is not there.
    NothingFound(Vec<String>),
    /// A signal ended the command, which had done what it could by then; exit code 128 and its number.
    Interrupted(u8),
}

impl Failure {
    /// Takes what the system said about writing the output.
    pub(crate) fn of_output(error: &io::Error) -> Self {
        Self::failed(format!("cannot write the output: {error}"))
    }

    /// Wraps an error, or a message.
    pub(crate) fn failed(error: impl Into<Box<dyn Error>>) -> Self {
        Self::Failed(error.into())
    }

    /// Says on standard error why the command ends and returns its exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Usage(message) => {
                complain(message);
                ExitCode::from(2)
            }
            Self::Failed(error) => {
                complain(&with_causes(error.as_ref()));
                ExitCode::FAILURE
            }
            Self::Reported => ExitCode::FAILURE,
            Self::Unconfirmed(message) => {
                complain(message);
                ExitCode::from(3)
            }
            Self::NothingFound(messages) => {
                messages.iter().for_each(|message| complain(message));
                ExitCode::from(4)
            }
            Self::Interrupted(code) => {
                complain("interrupted: every line that was read is recorded");
                ExitCode::from(*code)
            }
        }
    }
}

impl From<annals::Error> for Failure {
    fn from(error: annals::Error) -> Self {
        Self::failed(error)
    }
}

/// Writes a message to standard error, safe for a terminal; that it cannot be written is no reason to stop.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "annals: {}", Escaped(message));
}

/// Returns the message of an error followed by those of its causes that it does not contain itself.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn a_cause_is_said_once() {
        let root = Layer { text: "permission denied", source: None };
        let middle = Layer { text: "open: permission denied", source: Some(root.into()) };
        let top = Layer { text: "no store", source: Some(middle.into()) };
        assert_eq!(with_causes(&top), "no store: open: permission denied");
    }
}
