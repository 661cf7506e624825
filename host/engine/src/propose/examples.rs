//! Worked examples of a tenant (`examples/*.jsonl`), turned into chat turns of a prompt.

use fapo_core::InputError;
use fapo_template::{MessageTemplate, Prompt, Role, Segment, step_reference};
use serde_json::{Map, Value};

/// Fields that hold the answer of an example, in the order of preference.
const ANSWERS: [&str; 3] = ["answer", "expected_answer", "label"];

/// One worked example: named texts and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    fields: Vec<(String, String)>,
    answer: String,
}

impl Example {
    /// Reads a JSONL text; rows without an answer are refused. `file` names it in errors.
    ///
    /// # Errors
    /// A row is no object of texts with an answer; named with its line.
    pub fn read(file: &str, text: &str) -> Result<Vec<Example>, InputError> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(at, line)| {
                let here = |message: String| InputError::new(format!("{file}:{}", at + 1), message);
                let row: Map<String, Value> = serde_json::from_str(line).map_err(|e| here(e.to_string()))?;
                let name =
                    ANSWERS.into_iter().find(|name| row.get(*name).is_some_and(Value::is_string)).ok_or_else(|| {
                        here("the example has no answer".into())
                            .hint(format!("add one of the fields {}", ANSWERS.join(", ")))
                    })?;
                let texts = row.iter().filter(|(field, _)| *field != name);
                let fields =
                    texts.filter_map(|(field, value)| Some((field.clone(), value.as_str()?.to_string()))).collect();
                Ok(Example { fields, answer: row[name].as_str().unwrap_or_default().to_string() })
            })
            .collect()
    }

    /// Everything it would show.
    pub fn text(&self) -> String {
        let fields = self.fields.iter().map(|(_, value)| value.as_str());
        fields.chain([self.answer.as_str()]).collect::<Vec<_>>().join("\n")
    }

    /// The last user message of a prompt filled in with this example, and its answer; None where a placeholder finds
    /// no field.
    ///
    /// A placeholder takes the field of its name; the one placeholder that is left takes the one field that is left.
    pub(super) fn turns(&self, prompt: &Prompt) -> Option<[MessageTemplate; 2]> {
        let asked = prompt.messages.iter().rfind(|message| message.role == Role::User)?;
        let mut names: Vec<&str> = Vec::new();
        for segment in &asked.segments {
            if let Segment::Placeholder(name) = segment
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        }
        let named = |name: &str| self.fields.iter().find(|(field, _)| field == name);
        let open: Vec<&str> = names.iter().copied().filter(|name| named(name).is_none()).collect();
        let spare: Vec<&(String, String)> =
            self.fields.iter().filter(|(field, _)| !names.contains(&field.as_str())).collect();
        let value = |name: &str| -> Option<String> {
            match (named(name), open.as_slice(), spare.as_slice()) {
                (Some((_, value)), _, _) => Some(value.clone()),
                // As retrieval nodes give passages.
                (None, [_], [(_, value)]) if step_reference(name).is_some() => Some(format!("[1] «{value}»")),
                (None, [_], [(_, value)]) => Some(value.clone()),
                _ => None,
            }
        };
        let mut text = String::new();
        for segment in &asked.segments {
            match segment {
                Segment::Literal(literal) => text.push_str(literal),
                Segment::Placeholder(name) => text.push_str(&value(name)?),
            }
        }
        let said = |role, text: String| MessageTemplate { role, segments: vec![Segment::Literal(text)] };
        Some([said(Role::User, text), said(Role::Assistant, self.answer.clone())])
    }
}
