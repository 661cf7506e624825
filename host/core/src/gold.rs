//! `[gold]` of `tenant.toml`: what a step would put out if it did all that is asked of it.
//!
//! Diagnostic replays hand these texts to a chain in the place of a step's own, to see what the answer loses where. No
//! scored run, no proposer and no component sees them otherwise.

use crate::attribution::{gold_titles, states_answer, tells};
use crate::case::Case;
use crate::input_error::InputError;
use crate::ports::Hit;
use fapo_template::{Cut, Prompt, parse, render};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The needed passages of a case, as a search node would give them on.
const PASSAGES: &str = "passages";
/// Their titles, one a line.
const TITLES: &str = "titles";
/// The expected answer.
const ANSWER: &str = "answer";
/// A field of the label.
const EXPECTED: &str = "expected.";

/// What gold means for the steps of a tenant's chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GoldSpec {
    /// Index in which needed passages are looked up by their titles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Text by node, with the placeholders `${answer}`, `${titles}`, `${passages}`, `${expected.<field>}` and the names
    /// of the case's context.
    pub steps: BTreeMap<String, String>,
}

impl GoldSpec {
    /// Whether its texts can be used. `file` names it in errors, `indexes` are those the tenant requests.
    ///
    /// # Errors
    /// A text is no template of one message, or needs passages and names no index to find them in.
    pub fn check(&self, file: &str, indexes: &[String]) -> Result<(), InputError> {
        let here = |node: &str| format!("{file}, [gold.steps] {node}");
        for (node, text) in &self.steps {
            let prompt = template(node, text)
                .ok_or_else(|| InputError::new(here(node), "is no text with placeholders").hint(
                    "write a text that is not empty, with ${answer}, ${titles}, ${passages}, ${expected.<field>} or names of the context; no line begins with a role",
                ))?;
            let needs = prompt.placeholders().any(|name| name == PASSAGES);
            if needs && !self.index.as_ref().is_some_and(|index| indexes.contains(index)) {
                return Err(InputError::new(
                    here(node),
                    "needs passages, and no requested index is named to find them in",
                )
                .hint("write index = \"<one of the requested indexes>\" under [gold]"));
            }
        }
        Ok(())
    }

    /// Whether a text of it needs passages.
    pub fn needs_passages(&self) -> bool {
        self.steps
            .iter()
            .filter_map(|(node, text)| template(node, text))
            .any(|p| p.placeholders().any(|n| n == PASSAGES))
    }

    /// What the steps of a chain should have put out for a case, by node; a node is missing where the case lacks a text
    /// that it needs. `known` are the passages with needed titles that the index has, `needs` says which of the titles a
    /// node is about.
    pub fn of(&self, case: &Case, known: &[Hit], needs: &dyn Fn(&str) -> Needs) -> BTreeMap<String, GoldOutput> {
        let value = |node: &str, name: &str| -> Option<String> {
            match name {
                ANSWER => case.expected_answer().map(str::to_string),
                TITLES => Some(needs(node).to_find.join("\n")),
                PASSAGES => found(known, &needs(node).brought).map(|hits| shown(&hits)),
                _ => match name.strip_prefix(EXPECTED) {
                    Some(field) => case.expected.get(field).map(|value| match value {
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    }),
                    None => case.context.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()),
                },
            }
        };
        let gold = |(node, text): (&String, &String)| {
            let prompt = template(node, text)?;
            if prompt.placeholders().any(|name| value(node, name).is_none_or(|value| value.trim().is_empty())) {
                return None;
            }
            let said = render(&prompt, |name| value(node, name)).messages.pop()?.content;
            let names = |wanted: &str| prompt.placeholders().any(|name| name == wanted);
            let told_by = match (names(PASSAGES), names(ANSWER) && tells(case)) {
                (true, _) => ToldBy::Titles,
                (false, true) => ToldBy::Answer,
                (false, false) => ToldBy::Nothing,
            };
            let hits = if names(PASSAGES) { found(known, &needs(node).brought)? } else { Vec::new() };
            let hits = hits.iter().map(|hit| (hit.passage_id.clone(), hit.title.clone())).collect();
            Some((node.clone(), GoldOutput { text: said, hits, told_by }))
        };
        self.steps.iter().filter_map(gold).collect()
    }
}

/// Needed titles, as they concern one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Of passages that it puts out, if it searches, or that the searches before it should have brought.
    pub brought: Vec<String>,
    /// Of passages that the next search should bring.
    pub to_find: Vec<String>,
}

/// What concerns each of a chain's nodes, given in order of execution with what they put out and whether they search.
///
/// The n-th of several searches has to have brought n of the needed passages, the last of them all: the least that
/// mends a search is what it found of them and, where that is too little, the first that are missing.
pub fn needs(titles: &[String], nodes: &[(&str, bool)]) -> Vec<Needs> {
    let searches = nodes.iter().filter(|(_, searches)| *searches).count();
    let (mut number, mut so_far) = (0, Vec::new());
    let mut all: Vec<Needs> = Vec::new();
    for (text, search) in nodes {
        if *search {
            number += 1;
            let mut own: Vec<String> = titles.iter().filter(|title| names_title(text, title)).cloned().collect();
            let due = if number == searches { titles.len() } else { titles.len().min(number) };
            let missing = |own: &[String], so_far: &[String]| {
                titles.iter().find(|title| !own.contains(title) && !so_far.contains(title)).cloned()
            };
            let together = |own: &[String], so_far: &[String]| {
                titles.iter().filter(|title| own.contains(title) || so_far.contains(title)).count()
            };
            while together(&own, &so_far) < due {
                own.extend(missing(&own, &so_far));
            }
            let fresh: Vec<String> = own.iter().filter(|title| !so_far.contains(title)).cloned().collect();
            let to_find = if fresh.is_empty() { own.clone() } else { fresh.clone() };
            // Whoever stands before this search and after the last one writes what it searches for.
            all.iter_mut()
                .rev()
                .take_while(|needs| needs.to_find.is_empty())
                .for_each(|n| n.to_find.clone_from(&to_find));
            so_far.extend(fresh);
            all.push(Needs { brought: own, to_find });
        } else {
            all.push(Needs { brought: so_far.clone(), to_find: Vec::new() });
        }
    }
    for needs in &mut all {
        for list in [&mut needs.brought, &mut needs.to_find] {
            if list.is_empty() {
                list.extend(titles.iter().cloned());
            }
        }
    }
    all
}

/// The passages with these titles; None where there is no title, or one that no passage has.
fn found(known: &[Hit], titles: &[String]) -> Option<Vec<Hit>> {
    let of = |title: &String| known.iter().find(|hit| hit.title == *title).cloned();
    titles.iter().map(of).collect::<Option<Vec<Hit>>>().filter(|hits| !hits.is_empty())
}

/// What one step of one case should have put out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldOutput {
    /// Its main output.
    pub text: String,
    /// Passages it stands for, as a search would have found them: id and title.
    pub hits: Vec<(String, String)>,
    /// What in a text tells whether the step did its part.
    pub told_by: ToldBy,
}

impl GoldOutput {
    /// A text of a variant that passed the case.
    pub fn of_variant(text: &str) -> Self {
        GoldOutput { text: text.into(), hits: Vec::new(), told_by: ToldBy::Nothing }
    }
}

/// What in a step's text tells whether it did its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldBy {
    /// The words of the answer stand in it.
    Answer,
    /// The titles of needed passages stand in it, and in those of the searches before it.
    Titles,
    /// Nothing.
    Nothing,
}

/// Whether a step did its part, as far as texts tell; None where they do not. `steps` are nodes with their texts in
/// order of execution, `at` one of them.
///
/// The n-th of several searches has to have brought n of the needed passages, the last of them all.
pub fn did_its_part(
    case: &Case,
    gold: &BTreeMap<String, GoldOutput>,
    steps: &[(&str, &str)],
    at: usize,
) -> Option<bool> {
    let (node, text) = steps.get(at)?;
    let told_by = |node: &str| gold.get(node).map_or(ToldBy::Nothing, |gold| gold.told_by);
    match told_by(node) {
        ToldBy::Nothing => None,
        ToldBy::Answer => Some(states_answer(case, text)),
        ToldBy::Titles => {
            let searches = |steps: &[(&str, &str)]| steps.iter().filter(|(n, _)| told_by(n) == ToldBy::Titles).count();
            let titles = gold_titles(case);
            let before: Vec<&str> =
                steps[..=at].iter().filter(|(n, _)| told_by(n) == ToldBy::Titles).map(|(_, text)| *text).collect();
            let found = titles.iter().filter(|title| before.iter().any(|text| names_title(text, title))).count();
            let last = searches(&steps[at + 1..]) == 0;
            Some(found >= if last { titles.len() } else { titles.len().min(before.len()) })
        }
    }
}

fn names_title(text: &str, title: &str) -> bool {
    text.contains(&format!("«{title} |")) || text.contains(&format!("«{title}»"))
}

/// Passages as a search node gives them on.
fn shown(passages: &[Hit]) -> String {
    let one = |(at, hit): (usize, &Hit)| format!("[{}] «{} | {}»", at + 1, hit.title, hit.text);
    passages.iter().enumerate().map(one).collect::<Vec<_>>().join("\n")
}

fn template(node: &str, text: &str) -> Option<Prompt> {
    let prompt = parse(node, text, Cut::Trailing).ok()?;
    (prompt.messages.len() == 1 && !text.trim().is_empty()).then_some(prompt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn case() -> Case {
        let map = |value: Value| value.as_object().expect("an object").clone();
        Case {
            case_id: "c".into(),
            task_type: "qa".into(),
            context: vec![("question".into(), "Who wound the clock of Arn?".into())],
            expected: map(json!({"answer": "Mara Quill", "supporting_facts": [["Arn", 0], ["The clock", 1]]})),
            metadata: map(json!({})),
        }
    }

    fn hit(title: &str) -> Hit {
        Hit { passage_id: title.to_lowercase(), title: title.into(), text: format!("About {title}."), score: 1.0 }
    }

    fn spec() -> GoldSpec {
        let steps = [
            ("search", "${passages}"),
            ("again", "${passages}"),
            ("query", "${titles}"),
            ("summary", "${answer} did: ${question}"),
            ("answer", "${expected.answer}"),
        ];
        GoldSpec {
            index: Some("wiki".into()),
            steps: steps.map(|(node, text)| (node.to_string(), text.to_string())).into(),
        }
    }

    #[test]
    fn a_case_has_gold_for_each_step_whose_texts_it_has() {
        let whole = |_: &str| Needs { brought: gold_titles(&case()), to_find: gold_titles(&case()) };
        let all = spec().of(&case(), &[hit("Arn"), hit("The clock")], &whole);
        assert_eq!(all["search"].text, "[1] «Arn | About Arn.»\n[2] «The clock | About The clock.»");
        assert_eq!((all["query"].text.as_str(), all["answer"].text.as_str()), ("Arn\nThe clock", "Mara Quill"));
        assert_eq!(all["summary"].text, "Mara Quill did: Who wound the clock of Arn?");
        let without = spec().of(&case(), &[hit("Arn")], &whole);
        assert!(!without.contains_key("search") && without.contains_key("query"), "a needed passage is not there");
    }

    #[test]
    fn texts_tell_whether_a_step_did_its_part() {
        let whole = |_: &str| Needs { brought: gold_titles(&case()), to_find: gold_titles(&case()) };
        let (case, gold) = (case(), spec().of(&case(), &[hit("Arn"), hit("The clock")], &whole));
        let told = |steps: &[(&str, &str)], at| did_its_part(&case, &gold, steps, at);
        let (arn, clock) = ("[1] «Arn | x»", "[1] «The clock | x»");
        assert_eq!(told(&[("search", arn), ("again", clock)], 0), Some(true));
        assert_eq!(told(&[("search", arn), ("again", clock)], 1), Some(true));
        assert_eq!(told(&[("search", arn), ("again", arn)], 1), Some(false), "the second brought nothing new");
        assert_eq!(told(&[("search", "[1] «Else | Arn»"), ("again", clock)], 0), Some(false));
        assert_eq!(told(&[("summary", "It was Mara Quill.")], 0), Some(true));
        assert_eq!(told(&[("summary", "Nobody knows.")], 0), Some(false));
        assert_eq!((told(&[("query", "x")], 0), told(&[("other", "x")], 0)), (None, None));
    }

    #[test]
    fn a_search_is_mended_by_the_least_that_it_should_have_brought() {
        let titles = ["A", "B", "C"].map(String::from);
        let of = |nodes: &[(&str, bool)]| -> Vec<(String, String)> {
            needs(&titles, nodes).into_iter().map(|n| (n.brought.concat(), n.to_find.concat())).collect()
        };
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
        };
        let (b, nothing) = ("[1] «B | x»", "[1] «Z | x»");
        // Search, summary, query, search, answer: what the first found stands, the last brings the rest.
        let chain = [(b, true), ("", false), ("", false), (nothing, true), ("", false)];
        assert_eq!(of(&chain), pairs(&[("B", "B"), ("B", "AC"), ("B", "AC"), ("AC", "AC"), ("BAC", "ABC")]));
        assert_eq!(of(&[("", false), (nothing, true)]), pairs(&[("ABC", "ABC"), ("ABC", "ABC")]));
        let three = [(nothing, true), (b, true), (nothing, true)];
        assert_eq!(of(&three), pairs(&[("A", "A"), ("B", "B"), ("C", "C")]));
    }

    #[test]
    fn a_text_that_cannot_be_used_is_refused_with_its_node() {
        let one = |text: &str| GoldSpec { index: None, steps: [("a".to_string(), text.to_string())].into() };
        for text in ["", " ", "System: x\nUser: y"] {
            let e = one(text).check("tenant.toml", &[]).expect_err(text);
            assert!(e.to_string().starts_with("tenant.toml, [gold.steps] a: "), "{e}");
        }
        assert!(one("${passages}").check("t", &["wiki".into()]).is_err(), "no index is named");
        assert!(spec().check("t", &["wiki".into()]).is_ok());
        assert!(spec().check("t", &[]).is_err(), "an index that is not requested");
    }
}
