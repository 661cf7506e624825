//! Something a person wrote is wrong: which thing, why, and how to mend it.

use std::fmt;

/// Bad input. Displays as `<subject>: <message>`; the command line prints the hint on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InputError {
    /// The culprit: a file with its line, a field, a tenant, a case.
    pub subject: String,
    /// What is wrong with it, lower case, no full stop.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl InputError {
    /// An error without a hint.
    pub fn new(subject: impl Into<String>, message: impl Into<String>) -> Self {
        InputError { subject: subject.into(), message: message.into(), hint: None }
    }

    /// The same error with the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.message)
    }
}
