//! What can be wrong with a prompt file.

/// Why a text is no prompt; lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A `${` without a `}` in the same section.
    #[error("prompt {prompt}, line {line}: `${{` is never closed in this section")]
    Unclosed {
        /// Prompt's name.
        prompt: String,
        /// Line of the `${`.
        line: usize,
    },
    /// A placeholder without a name.
    #[error("prompt {prompt}, line {line}: `${{}}` names no value")]
    EmptyName {
        /// Prompt's name.
        prompt: String,
        /// Line of the `${`.
        line: usize,
    },
    /// `User:` stands before `System:`.
    #[error("prompt {prompt}, line {line}: `User:` stands before `System:`")]
    UserBeforeSystem {
        /// Prompt's name.
        prompt: String,
        /// Line of the first `User:`.
        line: usize,
    },
    /// Worked turns without a system section, and text before them that has no role.
    #[error("prompt {prompt}, line {line}: the text before the first `User:` has no role")]
    NoRole {
        /// Prompt's name.
        prompt: String,
        /// First line of that text.
        line: usize,
    },
    /// A section between others without any text.
    #[error("prompt {prompt}, line {line}: this section is empty")]
    EmptySection {
        /// Prompt's name.
        prompt: String,
        /// Line of its heading.
        line: usize,
    },
    /// No text at all.
    #[error("prompt {prompt} is empty")]
    Empty {
        /// Prompt's name.
        prompt: String,
    },
}

impl TemplateError {
    /// The line it concerns, from 1.
    pub fn line(&self) -> usize {
        match self {
            TemplateError::Unclosed { line, .. }
            | TemplateError::EmptyName { line, .. }
            | TemplateError::UserBeforeSystem { line, .. }
            | TemplateError::NoRole { line, .. }
            | TemplateError::EmptySection { line, .. } => *line,
            TemplateError::Empty { .. } => 1,
        }
    }

    /// How to mend it.
    pub fn hint(&self) -> &'static str {
        match self {
            TemplateError::Unclosed { .. } | TemplateError::EmptyName { .. } => "write `$${` for a literal `${`",
            TemplateError::UserBeforeSystem { .. } => "put the `System:` section first",
            TemplateError::NoRole { .. } => "begin that text with `System:`",
            TemplateError::EmptySection { .. } => "give the section a text or remove its heading",
            TemplateError::Empty { .. } => "write at least the user's message",
        }
    }
}
