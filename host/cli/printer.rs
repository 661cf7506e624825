//! The one place that prints: data to stdout, talk to stderr.
#![expect(clippy::print_stderr, reason = "the one place that prints")]

use super::lines::Line;
use comfy_table::{Table, presets};
use fapo_core::InputError;
use fapo_core::names::shown;
use std::io::{IsTerminal, Write};

/// Prints for people or for programs. Whatever a tenant wrote is made harmless for a terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printer {
    json: bool,
}

impl Printer {
    /// With `json`, stdout holds one [`Line`] a line and nothing else.
    pub(super) fn new(json: bool) -> Self {
        Printer { json }
    }

    /// Whether programs read along.
    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// A line for programs; nothing for people. Flushed, because a program may wait for it.
    pub(super) fn line(self, line: &Line) {
        if self.json {
            let text = serde_json::to_string(line).expect("lines are JSON");
            let mut out = std::io::stdout().lock();
            // A reader that went away is no fault of the run.
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        }
    }

    /// Text for people on stdout.
    pub(super) fn text(self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stdout().lock(), "{}", shown(text));
        }
    }

    /// A document for another program on stdout, byte for byte; on a terminal as [`text`](Self::text), whatever stands
    /// in it. With `json` nothing: stdout holds lines alone.
    pub(super) fn document(self, text: &str) {
        if std::io::stdout().is_terminal() {
            self.text(text);
        } else if !self.json {
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
        }
    }

    /// A table for people on stdout. A cell is one line, or a tenant's line break would make rows of its own.
    pub(super) fn table(self, head: &[&str], rows: Vec<Vec<String>>) {
        if self.json {
            return;
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header(head);
        for row in rows {
            table.add_row(row.iter().map(|cell| shown(cell).replace('\n', "\\n").replace('\t', "\\t")));
        }
        self.text(&table.lines().map(|line| line.trim_end().to_string()).collect::<Vec<_>>().join("\n"));
    }

    /// A note on stderr.
    pub(super) fn note(self, text: &str) {
        eprintln!("{}", shown(text));
    }

    /// A warning, for both.
    pub(super) fn warning(self, message: &str) {
        eprintln!("warning: {}", shown(message));
        self.line(&Line::Warning { message: message.into() });
    }

    /// An error with its hint, for both.
    pub(super) fn error(self, e: &InputError) {
        eprintln!("error: {}", shown(&e.to_string()));
        if let Some(hint) = &e.hint {
            eprintln!("hint: {}", shown(hint));
        }
        self.line(&Line::Error { subject: e.subject.clone(), message: e.message.clone(), hint: e.hint.clone() });
    }
}
