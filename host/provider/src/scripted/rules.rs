//! The rules of a script as they stand in its file, one JSON object a line.

use fapo_core::InputError;
use fapo_core::fault::FaultKind;
use fapo_core::ports::{ContentFault, FinishReason, ProviderError, ServiceFault};
use serde::Deserialize;

/// Said with every wrong line.
const HINT: &str = "a rule is {\"contains\": …, \"when\": …, \"reply\": …} or {\"default\": …}";

/// A file's rules in its order, and its default.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) rules: Vec<Rule>,
    pub(super) default: Option<String>,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) contains: Texts,
    pub(super) when: Texts,
    pub(super) outcome: Outcome,
}

/// What a rule that fits leads to.
#[derive(Debug)]
pub(super) enum Outcome {
    Replies(Answer),
    Fails(ScriptedFault),
    /// So often for each of its calls, then the answer.
    FailsFirst(ScriptedFault, u32, Answer),
}

#[derive(Debug)]
pub(super) struct Answer {
    /// The last user message where none.
    pub(super) text: Option<String>,
    pub(super) finish: FinishReason,
}

/// A line as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    contains: Texts,
    #[serde(default)]
    when: Texts,
    reply: Option<String>,
    #[serde(default)]
    echo: bool,
    finish: Option<FinishReason>,
    fault: Option<ScriptedFault>,
    fault_times: Option<u32>,
    default: Option<String>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(untagged, expecting = "`contains` and `when` are a text or a list of texts")]
pub(super) enum Texts {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

impl Texts {
    pub(super) fn all(&self, holds: impl Fn(&str) -> bool) -> bool {
        match self {
            Texts::None => true,
            Texts::One(text) => holds(text),
            Texts::Many(texts) => texts.iter().all(|text| holds(text)),
        }
    }
}

/// What a service can do wrong, by the names that records use.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ScriptedFault {
    Refused,
    ContextTooLong,
    RateLimited,
    Unreachable,
    TimedOut,
    Malformed,
    ServerError,
    Unauthorized,
    NotFound,
    QuotaExhausted,
}

impl ScriptedFault {
    pub(super) fn error(self) -> ProviderError {
        let kind = match self {
            ScriptedFault::Refused => return ContentFault::Refused("the script says so".to_owned()).into(),
            ScriptedFault::ContextTooLong => return ContentFault::ContextTooLong.into(),
            ScriptedFault::RateLimited => FaultKind::RateLimited,
            ScriptedFault::Unreachable => FaultKind::Unreachable,
            ScriptedFault::TimedOut => FaultKind::TimedOut,
            ScriptedFault::Malformed => FaultKind::Malformed,
            ScriptedFault::ServerError => FaultKind::ServerError,
            ScriptedFault::Unauthorized => FaultKind::Unauthorized,
            ScriptedFault::NotFound => FaultKind::NotFound,
            ScriptedFault::QuotaExhausted => FaultKind::QuotaExhausted,
        };
        ServiceFault { kind, message: "the script says that this call fails".to_owned(), hint: None }.into()
    }
}

/// Reads a file of rules; blank lines are skipped.
pub(super) fn read(file: &str, text: &str) -> Result<Rules, InputError> {
    let mut rules = Vec::new();
    let mut default: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = at + 1;
        let wrong = |why: String| InputError::new(format!("{file}:{number}"), why).hint(HINT);
        let line: Line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let Some(reply) = line.default.clone() else {
            rules.push(rule(line).map_err(|why| wrong(why.to_owned()))?);
            continue;
        };
        check_default(&line).map_err(|why| wrong(why.to_owned()))?;
        if let Some((first, _)) = default {
            return Err(wrong(format!("a `default` stands on line {first} already")));
        }
        default = Some((number, reply));
    }
    Ok(Rules { rules, default: default.map(|(_, reply)| reply) })
}

fn rule(line: Line) -> Result<Rule, &'static str> {
    let finish = line.finish.unwrap_or(FinishReason::Stop);
    let answer = match (line.reply, line.echo) {
        (Some(_), true) => return Err("a rule has either `reply` or `echo`"),
        (None, false) => None,
        (text, _) => Some(Answer { text, finish }),
    };
    let outcome = match (line.fault, line.fault_times, answer) {
        (None, None, Some(answer)) => Outcome::Replies(answer),
        (None, None, None) => return Err("a rule has either `reply` or `default`"),
        (None, Some(_), _) => return Err("`fault_times` stands without `fault`"),
        (Some(fault), None, None) => Outcome::Fails(fault),
        (Some(_), None, Some(_)) => return Err("a `fault` with a reply after it needs `fault_times`"),
        (Some(fault), Some(times), Some(answer)) => Outcome::FailsFirst(fault, times, answer),
        (Some(_), Some(_), None) => return Err("after `fault_times` comes a reply: add `reply` or `echo`"),
    };
    Ok(Rule { contains: line.contains, when: line.when, outcome })
}

fn check_default(line: &Line) -> Result<(), &'static str> {
    if line.reply.is_some() {
        return Err("a rule has either `reply` or `default`");
    }
    let alone = line.contains == Texts::None
        && line.when == Texts::None
        && !line.echo
        && line.finish.is_none()
        && line.fault.is_none()
        && line.fault_times.is_none();
    if alone { Ok(()) } else { Err("`default` stands alone on its line") }
}
