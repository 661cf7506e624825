//! The scope contract: how far the optimizer may go with a tenant. It stands as a fenced block in the tenant's
//! playbook (`docs/iteration-playbook.md`, section `## Scope`); what it does not name is forbidden.

use crate::input_error::InputError;
use crate::tenant::read_toml;
use crate::variant::Edit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// How deep a change goes; ordered from the shallowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VariantLevel {
    /// The wording of prompts.
    Prompt,
    /// Parameters of the chain.
    Parameter,
    /// Nodes and edges.
    Structure,
}

impl VariantLevel {
    /// All levels, the shallowest first.
    pub const ALL: [VariantLevel; 3] = [VariantLevel::Prompt, VariantLevel::Parameter, VariantLevel::Structure];

    /// The level's word.
    pub fn word(self) -> &'static str {
        match self {
            VariantLevel::Prompt => "prompt",
            VariantLevel::Parameter => "parameter",
            VariantLevel::Structure => "structure",
        }
    }
}

/// What may be changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeContract {
    /// Levels that are open.
    #[serde(default)]
    pub levels: Vec<VariantLevel>,
    /// Patterns of prompt files that new variants may add, for example `prompts/modules/*/variant-*.md`.
    #[serde(default)]
    pub files: Vec<String>,
    /// Parameters that may change: `[least, most]` of two numbers, or the list of allowed values.
    #[serde(default)]
    pub parameters: BTreeMap<String, Vec<Value>>,
    /// Structure patterns that may be used.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// Node components, by the tenant's names, that a variant may begin to use; the operator must grant them as well.
    #[serde(default)]
    pub components: Vec<String>,
    /// Script modules that a variant may add or change; nodes of other scripts stay as they are.
    #[serde(default)]
    pub scripts: Vec<String>,
    /// Settings that stay as they are over a trial.
    #[serde(default)]
    pub constants: Vec<String>,
    /// Most variants of one trial; None where the playbook sets no number.
    #[serde(default)]
    pub variants_max: Option<u32>,
}

/// First line of the block.
const FENCE: &str = "```toml scope";

impl ScopeContract {
    /// Reads the contract from a playbook's text; without a block everything is forbidden. `file` names it in errors.
    ///
    /// # Errors
    /// The block is not closed, or is no contract; named with its line in the file.
    pub fn from_playbook(file: &str, text: &str) -> Result<Self, InputError> {
        let Some(begin) = text.lines().position(|line| line.trim_end() == FENCE) else {
            return Ok(ScopeContract::default());
        };
        let body: Vec<&str> = text.lines().skip(begin + 1).collect();
        let end = body.iter().position(|line| line.trim_end() == "```").ok_or_else(|| {
            InputError::new(format!("{file}:{}", begin + 1), "the scope block is never closed")
                .hint("end it with a line ```")
        })?;
        // Blank lines in front, so that the line of an error is the line of the file.
        let padded = format!("{}{}", "\n".repeat(begin + 1), body[..end].join("\n"));
        read_toml(file, &padded)
    }

    /// Whether a level is open.
    pub fn allows(&self, level: VariantLevel) -> bool {
        self.levels.contains(&level)
    }

    /// Whether a parameter may have a value.
    pub fn allows_value(&self, parameter: &str, value: &Value) -> bool {
        let Some(allowed) = self.parameters.get(parameter) else {
            return false;
        };
        if let ([least, most], Some(value)) = (allowed.as_slice(), value.as_f64())
            && let (Some(least), Some(most)) = (least.as_f64(), most.as_f64())
        {
            return (least..=most).contains(&value);
        }
        allowed.contains(value)
    }

    /// Whether an edit, if it changes the graph, does so by a pattern that is allowed.
    pub fn allows_pattern(&self, edit: &Edit) -> bool {
        match edit {
            Edit::Structure { pattern, .. } => self.patterns.contains(pattern),
            Edit::Prompt(_) | Edit::Parameter { .. } => true,
        }
    }

    /// Whether a file may be added. A `*` stands for any characters but `/`.
    pub fn allows_file(&self, path: &str) -> bool {
        self.files.iter().any(|pattern| {
            let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
            pattern.len() == path.len() && pattern.iter().zip(&path).all(|(pattern, part)| matches(pattern, part))
        })
    }
}

/// Whether one part of a path fits a pattern with `*`.
fn matches(pattern: &str, part: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == part;
    };
    part.strip_prefix(head)
        .is_some_and(|rest| (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches(tail, &rest[at..])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PLAYBOOK: &str = "# Playbook\n\n## Scope\nProse.\n\n```toml scope\nlevels = [\"prompt\", \"parameter\"]\nfiles = [\"prompts/modules/*/variant-*.md\"]\nparameters = { retrieval_k = [1, 20], mode = [\"a\", \"b\", \"c\"] }\nvariants_max = 25\n```\n";

    #[test]
    fn the_block_is_read_and_what_it_does_not_name_is_forbidden() {
        let scope = ScopeContract::from_playbook("p.md", PLAYBOOK).expect("reads");
        assert!(scope.allows(VariantLevel::Parameter) && !scope.allows(VariantLevel::Structure));
        for (name, value, allowed) in [
            ("retrieval_k", json!(1), true),
            ("retrieval_k", json!(20), true),
            ("retrieval_k", json!(21), false),
            ("retrieval_k", json!("5"), false),
            ("mode", json!("b"), true),
            ("mode", json!("d"), false),
            ("other", json!(1), false),
        ] {
            assert_eq!(scope.allows_value(name, &value), allowed, "{name} {value}");
        }
        for (path, allowed) in [
            ("prompts/modules/answer/variant-002.md", true),
            ("prompts/modules/a/b/variant-002.md", false),
            ("prompts/modules/answer/other.md", false),
            ("datasets/train.jsonl", false),
        ] {
            assert_eq!(scope.allows_file(path), allowed, "{path}");
        }
    }

    #[test]
    fn no_block_forbids_everything_and_a_wrong_one_is_named_with_its_line() {
        assert_eq!(ScopeContract::from_playbook("p.md", "# Playbook\n").expect("reads"), ScopeContract::default());
        let e = ScopeContract::from_playbook("p.md", &PLAYBOOK.replace("levels", "level")).expect_err("unknown field");
        assert!(e.to_string().starts_with("p.md:7: unknown field `level`"), "{e}");
        let e = ScopeContract::from_playbook("p.md", &PLAYBOOK.replace("```\n", "")).expect_err("not closed");
        assert!(e.to_string().contains("never closed"), "{e}");
    }
}
