//! A model's review of a change, with a fresh context: it sees the change, its reason and the scope, and no case.

use super::digest::{cut, playbook};
use super::read;
use super::{Counsel, Whom};
use fapo_core::InputError;
use fapo_core::ports::Definition;
use fapo_core::review::{Issue, Review, Severity, Verdict};
use fapo_core::scope::ScopeContract;
use fapo_core::variant::Proposal;
use fapo_template::unparse;
use serde_json::json;

/// Name under which its issues stand.
pub(super) const CHECK: &str = "model_reviewer";

/// Bytes of a chain before and after.
const SIDE_BYTES: usize = 24 << 10;

impl Counsel {
    /// Adds what a model finds to what the checks found. It can only make a verdict graver; where it gives none, that is
    /// noted and the checks' verdict stands.
    pub(crate) async fn review(
        &mut self,
        parent: &Definition,
        candidate: &Definition,
        proposal: &Proposal,
        scope: &ScopeContract,
        mut found: Review,
    ) -> Result<Review, InputError> {
        if self.advisers.reviewer.is_none() || found.verdict == Verdict::Block {
            return Ok(found);
        }
        let said = playbook(&self.advisers.playbook);
        let values = [
            ("scope", json!(scope).to_string()),
            ("playbook", said),
            ("hypothesis", proposal.hypothesis.clone()),
            ("before", side(parent, candidate)),
            ("after", side(candidate, parent)),
        ];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let reply = self.ask(Whom::Reviewer, "review", &values).await?;
        match reply.as_deref().and_then(read::review) {
            Some((fails, issues)) => {
                self.report.failed_reviews += u64::from(fails);
                found.verdict = match (fails, issues.is_empty()) {
                    (true, _) => Verdict::Block,
                    (false, false) => Verdict::Warn,
                    (false, true) => found.verdict,
                };
                found.issues.extend(issues);
            }
            None => {
                if reply.is_some() {
                    self.drop("a review is not in the form that was asked for");
                }
                found.verdict = Verdict::Warn;
                found.issues.push(Issue {
                    check: CHECK.into(),
                    severity: Severity::Warn,
                    description: "the model reviewer gave no verdict".into(),
                    suggestion: "look at the change yourself".into(),
                });
            }
        }
        Ok(found)
    }
}

/// What of a definition is not as in the other one.
fn side(of: &Definition, other: &Definition) -> String {
    let prompts = of.prompts.iter().filter(|prompt| !other.prompts.contains(prompt));
    let mut text: Vec<String> = prompts.map(|p| format!("prompt {}\n{}", p.name, unparse(p))).collect();
    let params = of.params.iter().filter(|param| !other.params.contains(param));
    text.extend(params.map(|(name, value)| format!("parameter {name} = {value}")));
    if of.graph != other.graph {
        text.push(format!("graph {}", json!(of.graph)));
    }
    cut(&if text.is_empty() { "nothing".into() } else { text.join("\n") }, SIDE_BYTES)
}
