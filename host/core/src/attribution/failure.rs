//! A failed case as the heuristics look at it: its steps, what each was shown, and the expected answer.

use super::texts::{Words, gives_up, is_common, nearly, states, text_holds, words};
use crate::case::Case;
use crate::fault::step_name;
use crate::ports::FinishReason;
use crate::run::{CallRecord, CaseRecord};
use fapo_graph::{StepId, StepOrigin};
use serde_json::Value;
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashSet};

/// A step that ran.
pub(super) struct Ran<'a> {
    pub(super) id: &'a StepId,
    /// `node` or `node#visit`.
    pub(super) name: String,
    pub(super) text: &'a str,
    words: OnceCell<Words>,
}

impl Ran<'_> {
    /// Words of its text, looked at once and only where somebody asks.
    pub(super) fn words(&self) -> &Words {
        self.words.get_or_init(|| Words::of(self.text))
    }

    /// Whether its text has these words, side by side.
    pub(super) fn holds(&self, wanted: &[String]) -> bool {
        text_holds(self.text, wanted)
    }
}

/// The searches of one step, as one.
pub(super) struct Hop {
    pub(super) step: String,
    /// Titles as words, joined; looked at only where a passage is needed.
    titles: BTreeSet<String>,
}

/// A case with a composite below 100 or with a fault.
pub(super) struct Failure<'a> {
    pub(super) case: &'a Case,
    pub(super) record: &'a CaseRecord,
    /// In order of execution.
    pub(super) steps: Vec<Ran<'a>>,
    /// Words of the expected answer; empty where the label has none.
    pub(super) answer: Vec<String>,
    /// Words of the chain's answer.
    pub(super) output: Vec<String>,
    /// Whether the answers of this task are labels.
    pub(super) labelled: bool,
    pub(super) hops: Vec<Hop>,
    /// Titles of the passages the answer needs, as the label names them.
    pub(super) gold: Vec<String>,
    /// Found once: several heuristics ask, and it takes a look at every prompt.
    dropped_at: OnceCell<Option<usize>>,
}

impl<'a> Failure<'a> {
    pub(super) fn new(case: &'a Case, record: &'a CaseRecord, labelled: bool) -> Self {
        let steps = record
            .steps
            .iter()
            .filter(|timed| timed.step.origin != StepOrigin::Skipped)
            .map(|timed| {
                let text = timed.step.main_output();
                Ran { id: &timed.step.id, name: step_name(&timed.step.id), text, words: OnceCell::new() }
            })
            .collect();
        let gold = gold_titles(case);
        Failure {
            case,
            record,
            steps,
            answer: case.expected_answer().map(words).unwrap_or_default(),
            output: words(&record.output_text),
            labelled: labelled || case.expected_answer().is_some_and(is_identifier),
            hops: hops(record, !gold.is_empty()),
            gold,
            dropped_at: OnceCell::new(),
        }
    }

    /// Position of the step that gave the chain's answer: the last that set it, else the last with its text, else the
    /// last; or the model's step whose text that one only gave on.
    pub(super) fn answering(&self) -> Option<usize> {
        let set = |ran: &Ran<'_>| {
            self.record.steps.iter().any(|timed| timed.step.id == *ran.id && timed.step.output_text.is_some())
        };
        let says = |ran: &Ran<'_>| ran.text.trim() == self.record.output_text.trim();
        let gave = self.steps.iter().rposition(set).or_else(|| self.steps.iter().rposition(says));
        gave.or(self.steps.len().checked_sub(1)).map(|at| self.said_first(at))
    }

    /// The step that a step's text comes from: a step without a model that gives on what it was shown said nothing.
    fn said_first(&self, at: usize) -> usize {
        let ran = &self.steps[at];
        if self.call(ran.id).is_some() || ran.text.trim().is_empty() {
            return at;
        }
        let same = |earlier: &Ran<'_>| self.call(earlier.id).is_some() && earlier.text.trim() == ran.text.trim();
        self.steps[..at].iter().rposition(same).unwrap_or(at)
    }

    /// Name of the step that gave the chain's answer.
    pub(super) fn answering_name(&self) -> String {
        self.answering().map_or("(output)".into(), |at| self.steps[at].name.clone())
    }

    /// Steps before the one that gave the answer.
    pub(super) fn earlier(&self) -> &[Ran<'a>] {
        &self.steps[..self.answering().unwrap_or(0)]
    }

    /// The last model call of a step.
    pub(super) fn call(&self, id: &StepId) -> Option<&'a CallRecord> {
        self.record.calls.iter().rev().find(|call| call.id == *id)
    }

    pub(super) fn truncated(&self, ran: &Ran<'_>) -> bool {
        self.call(ran.id).is_some_and(|call| call.finish == Some(FinishReason::Length))
    }

    pub(super) fn searched(&self, ran: &Ran<'_>) -> bool {
        self.record.searches.iter().any(|search| search.id == *ran.id)
    }

    /// Whether the output gives the answer, in whatever form.
    pub(super) fn output_right(&self) -> bool {
        states(self.output.as_slice(), &self.answer) || !self.labelled && nearly(&self.output, &self.answer)
    }

    /// The expected answer, where seeing its words in a text says something.
    pub(super) fn telling_answer(&self) -> Option<&[String]> {
        (!self.answer.is_empty() && !self.labelled && !is_common(&self.answer)).then_some(&self.answer)
    }

    /// Whether the question itself names the answer, as in a comparison.
    pub(super) fn answer_in_question(&self) -> bool {
        text_holds(self.question(), &self.answer)
    }

    fn question(&self) -> &'a str {
        let of = |key: &str| self.case.context.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        of("question").or_else(|| of("query")).unwrap_or_default()
    }

    /// Whether a step was shown the words, beside the question: in its prompt, or in the step before where it has none.
    pub(super) fn was_shown(&self, at: usize, wanted: &[String]) -> bool {
        match self.call(self.steps[at].id) {
            Some(call) => {
                let question = self.question();
                call.messages
                    .iter()
                    .any(|message| beside(&message.content, question).any(|part| text_holds(part, wanted)))
            }
            None => at > 0 && self.steps[at - 1].holds(wanted),
        }
    }

    /// The step before the answering one at which the answer was lost: it was shown the answer and does not give it
    /// on, and the answering step was not shown it.
    pub(super) fn dropped_at(&self) -> Option<usize> {
        *self.dropped_at.get_or_init(|| self.find_dropped())
    }

    fn find_dropped(&self) -> Option<usize> {
        let (answer, last) = (self.telling_answer()?, self.answering()?);
        if self.output_right() || self.was_shown(last, answer) {
            return None;
        }
        let seen = self.earlier().iter().rposition(|ran| ran.holds(answer))?;
        let drops = |at: &usize| !self.searched(&self.steps[*at]) && self.was_shown(*at, answer);
        (seen + 1..last).rev().find(drops)
    }

    /// The first step of the unbroken row of steps, up to this one, that give up.
    pub(super) fn gave_up_first(&self, at: usize) -> usize {
        (0..at).rev().take_while(|before| gives_up(self.steps[*before].words())).last().unwrap_or(at)
    }

    /// Needed titles that no search found.
    pub(super) fn missing_titles(&self) -> Vec<&str> {
        let found = |title: &str| self.hops.iter().any(|hop| hop.has(title));
        self.gold.iter().map(String::as_str).filter(|title| !self.hops.is_empty() && !found(title)).collect()
    }

    /// The first hop that found no needed title that an earlier one had not.
    pub(super) fn fruitless_hop(&self) -> Option<usize> {
        (0..self.hops.len()).find(|at| {
            let before = &self.hops[..*at];
            !self.gold.iter().any(|title| self.hops[*at].has(title) && !before.iter().any(|hop| hop.has(title)))
        })
    }

    /// Whether a text before the answer, or the case's context, holds the words.
    pub(super) fn stands_before(&self, wanted: &[String]) -> bool {
        self.earlier().iter().any(|ran| ran.holds(wanted))
            || self.case.context.iter().any(|(_, value)| text_holds(value, wanted))
    }

    /// How many of some words stand, each by itself, in a text before the answer or in the case's context.
    pub(super) fn known(&self, said: &[String]) -> usize {
        let context: Vec<Words> = self.case.context.iter().map(|(_, value)| Words::of(value)).collect();
        let before: HashSet<&str> =
            self.earlier().iter().map(Ran::words).chain(&context).flat_map(Words::iter).collect();
        said.iter().filter(|word| before.contains(word.as_str())).count()
    }
}

impl Hop {
    fn has(&self, title: &str) -> bool {
        self.titles.contains(&words(title).join(" "))
    }
}

/// What a text says before, between and after each `part`.
fn beside<'a>(text: &'a str, part: &'a str) -> impl Iterator<Item = &'a str> {
    let found = memchr::memmem::find_iter(text.as_bytes(), part.as_bytes()).filter(|_| !part.is_empty());
    let mut start = 0;
    let ends = found.map(|at| (at, at + part.len())).chain([(text.len(), text.len())]);
    ends.map(move |(end, next)| {
        let piece = &text[start..end];
        start = next;
        piece
    })
}

fn hops(record: &CaseRecord, with_titles: bool) -> Vec<Hop> {
    let mut hops: Vec<Hop> = Vec::new();
    for search in &record.searches {
        let step = step_name(&search.id);
        let hits = if with_titles { search.hits.as_slice() } else { &[] };
        let titles = hits.iter().map(|(_, title)| words(title).join(" "));
        match hops.iter_mut().find(|hop| hop.step == step) {
            Some(hop) => hop.titles.extend(titles),
            None => hops.push(Hop { step, titles: titles.collect() }),
        }
    }
    hops
}

/// Titles of the passages that a case's answer needs, each once: under `expected.supporting_facts`
/// (`[[title, sentence], …]`) and `gold_title` of `expected` or `metadata`.
pub fn gold_titles(case: &Case) -> Vec<String> {
    let facts = case.expected.get("supporting_facts").and_then(Value::as_array).into_iter().flatten();
    let of_facts = facts.filter_map(|fact| fact.get(0).unwrap_or(fact).as_str());
    let named = [&case.expected, &case.metadata].into_iter().filter_map(|map| map.get("gold_title"));
    let of_names = named.flat_map(|value| match value {
        Value::Array(titles) => titles.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect::<Vec<_>>(),
    });
    let mut titles: Vec<String> = Vec::new();
    for title in of_facts.chain(of_names) {
        if !titles.iter().any(|seen| seen == title) {
            titles.push(title.to_string());
        }
    }
    titles
}

/// `CWE-79` and the like: letters, a hyphen, digits.
pub(super) fn is_identifier(text: &str) -> bool {
    text.split_once('-').is_some_and(|(letters, digits)| {
        !letters.is_empty()
            && letters.chars().all(|c| c.is_ascii_uppercase())
            && !digits.is_empty()
            && digits.chars().all(|c| c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn what_stands_beside_a_part_is_all_but_the_part() {
        for (text, part, pieces) in [
            ("Q: why? A: so", "why?", &["Q: ", " A: so"] as &[&str]),
            ("why?why?", "why?", &["", "", ""]),
            ("no such thing", "why?", &["no such thing"]),
            ("whole", "", &["whole"]),
            ("", "x", &[""]),
        ] {
            assert_eq!(beside(text, part).collect::<Vec<_>>(), pieces, "{text:?} {part:?}");
        }
    }
}
