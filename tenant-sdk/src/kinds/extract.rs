//! `extract`: a part of a text, by rule.

use super::{field, optional, plain, required, span};
use crate::kind::{Kind, NodeCall, Output, Replies, Turn};
use crate::scoring::numbers;
use fapo_graph::NodeKind;
use regex_lite::Regex;
use serde_json::{Map, Value, json};

/// The kind `extract`.
///
/// | mode | takes | where there is none |
/// |---|---|---|
/// | `first_line`, `last_line` | that line of those that are not blank, trimmed | "" |
/// | `field` | the marked field `field` (see [`field`]) | the whole text |
/// | `number` | the last number, or the `first` with `which`, without thousands separators | "" |
/// | `span` | the longest run of words that stands in `source` and not in `exclude` (see [`span`]) | the whole text |
/// | `regex` | group `group` (0 the whole match; 1 where absent, if the pattern has one) of the first match of `pattern` | "" |
///
/// Where there is none, a note says so.
pub struct Extract;

impl Kind for Extract {
    fn name(&self) -> &'static str {
        "extract"
    }

    fn describe(&self) -> NodeKind {
        let properties = json!({
            "mode": {"enum": ["first_line", "last_line", "field", "number", "span", "regex"]},
            "field": {"type": "string", "minLength": 1, "maxLength": 64},
            "which": {"enum": ["first", "last"]},
            "pattern": {"type": "string", "minLength": 1, "maxLength": 1024},
            "group": {"type": "integer", "minimum": 0, "maximum": 32},
        });
        let inputs = vec![
            required("text", "Text to take a part of."),
            optional("source", "Mode span: the text the run must stand in."),
            optional("exclude", "Mode span: the text the run must not stand in, for example the question."),
        ];
        let mut kind =
            plain(self.name(), "Takes a part of a text by rule, without a model.", properties, inputs, &["text"]);
        kind.settings_schema["required"] = json!(["mode"]);
        kind
    }

    fn check(&self, settings: &Map<String, Value>) -> Result<(), String> {
        let text = |name: &str| settings.get(name).and_then(Value::as_str);
        match text("mode") {
            Some("field") if text("field").is_none() => Err("mode field needs the setting `field`".into()),
            Some("regex") => {
                let pattern = text("pattern").ok_or("mode regex needs the setting `pattern`")?;
                let regex = compile(pattern)?;
                let group = settings.get("group").and_then(Value::as_u64).unwrap_or(0);
                if group as usize >= regex.captures_len() {
                    return Err(format!("the pattern has no group {group}"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn run(&self, node: &NodeCall<'_>, _: &[Replies]) -> Result<Turn, String> {
        let text = node.port("text").unwrap_or("");
        let found: Option<String> = match node.text("mode").unwrap_or_default() {
            "first_line" => lines(text).next().map(str::to_string),
            "last_line" => lines(text).last().map(str::to_string),
            "number" => {
                let mut all = numbers(text);
                if node.text("which") == Some("first") { all.next() } else { all.last() }
            }
            "field" => {
                let found = field(text, node.text("field").ok_or("setting `field` is missing")?);
                found.marked.then(|| found.text.to_string())
            }
            "span" => span(text, node.port("source").unwrap_or(""), node.port("exclude").unwrap_or("")),
            "regex" => {
                matched(text, node.text("pattern").ok_or("setting `pattern` is missing")?, node.integer("group"))?
            }
            other => return Err(format!("unknown mode {other:?}")),
        };
        Ok(Turn::Done(match found {
            Some(part) => Output::new("text", part),
            None => {
                let whole = matches!(node.text("mode"), Some("field" | "span"));
                let fallback = if whole { text.trim() } else { "" };
                Output::new("text", fallback).note("the rule found nothing in the text")
            }
        }))
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| format!("the pattern does not compile: {error}"))
}

fn matched(text: &str, pattern: &str, group: Option<u32>) -> Result<Option<String>, String> {
    let regex = compile(pattern)?;
    let group = group.map_or(usize::from(regex.captures_len() > 1), |group| group as usize);
    Ok(regex.captures(text).and_then(|captures| captures.get(group)).map(|found| found.as_str().to_string()))
}
