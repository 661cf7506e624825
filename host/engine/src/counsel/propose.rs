//! Edits of a model: read, held against the level and the deterministic review, and dropped with a count where they do
//! not pass. So nothing is spent on them, and no attempt of the trial either.

use super::digest::{Ground, playbook};
use super::read::edits;
use super::{Counsel, Whom};
use fapo_core::InputError;
use fapo_core::ports::Definition;
use fapo_core::review::{Issue, Review, Severity, Verdict};
use fapo_core::scope::VariantLevel;
use fapo_core::variant::{Proposal, level_between};
use fapo_template::unparse;

/// What a proposal is held against before it may become an attempt.
pub(crate) struct Proposed<'a> {
    pub(crate) level: VariantLevel,
    /// The deterministic review.
    pub(crate) review: &'a (dyn Fn(&Definition, &Proposal) -> Review + Sync),
    /// Whether the same chain was tried already.
    pub(crate) tried: &'a (dyn Fn(&Definition) -> bool + Sync),
}

impl Counsel {
    /// Edits that may become attempts, in the order in which the model gives them.
    pub(crate) async fn propose(
        &mut self,
        ground: &Ground<'_>,
        held: &Proposed<'_>,
    ) -> Result<Vec<Proposal>, InputError> {
        let said = playbook(&self.advisers.playbook);
        let values = [
            ("level", held.level.word()),
            ("scope", &ground.scope()),
            ("playbook", &said),
            ("chain", &ground.chain()),
            ("catalogue", &ground.catalogue()),
            ("prompts", &ground.prompts()),
            ("failures", &ground.failures()),
            ("cases", &ground.cases()),
            ("memory", &ground.memory()),
        ];
        let Some(reply) = self.ask(Whom::Proposer, "propose", &values).await? else { return Ok(Vec::new()) };
        Ok(self.take(&reply, ground.definition, held))
    }

    /// The edit mended after a review that failed it, if the model mends it.
    pub(crate) async fn revise(
        &mut self,
        ground: &Ground<'_>,
        held: &Proposed<'_>,
        proposal: &Proposal,
        issues: &[Issue],
    ) -> Result<Option<Proposal>, InputError> {
        let said = |issue: &Issue| format!("{} {}", issue.description, issue.suggestion);
        let issues: Vec<String> = issues.iter().map(said).collect();
        let edit = serde_json::json!({"step": proposal.step, "hypothesis": proposal.hypothesis, "changed prompts": changed(ground.definition, proposal), "parameters": proposal.edit.apply(ground.definition).params});
        let values = [
            ("level", held.level.word()),
            ("edit", &edit.to_string()),
            ("issues", &issues.join("\n")),
            ("scope", &ground.scope()),
            ("prompts", &ground.prompts()),
        ];
        let Some(reply) = self.ask(Whom::Proposer, "revise", &values).await? else { return Ok(None) };
        Ok(self.take(&reply, ground.definition, held).into_iter().next())
    }

    fn take(&mut self, reply: &str, definition: &Definition, held: &Proposed<'_>) -> Vec<Proposal> {
        let Some(read) = edits(reply, definition) else {
            self.drop("an answer is not in the form that was asked for");
            return Vec::new();
        };
        let mut kept: Vec<(Proposal, Definition)> = Vec::new();
        for edit in read {
            self.report.edits += 1;
            let proposal = match edit {
                Ok(proposal) => proposal,
                Err(why) => {
                    self.drop(&why);
                    continue;
                }
            };
            let candidate = proposal.edit.apply(definition);
            let review = (held.review)(&candidate, &proposal);
            if review.verdict == Verdict::Block {
                let blocking = review.issues.iter().find(|issue| issue.severity == Severity::Block);
                self.drop(&format!("blocked by {}", blocking.map_or("the review", |issue| issue.check.as_str())));
            } else if level_between(definition, &candidate) != Some(held.level) {
                self.drop("an edit is of another level than was asked for");
            } else if (held.tried)(&candidate) || kept.iter().any(|(_, other)| *other == candidate) {
                self.drop("an edit was tried before");
            } else {
                kept.push((proposal, candidate));
            }
        }
        kept.into_iter().map(|(proposal, _)| proposal).collect()
    }
}

/// The prompts that a proposal changes, as they would be.
fn changed(definition: &Definition, proposal: &Proposal) -> Vec<String> {
    let candidate = proposal.edit.apply(definition);
    candidate
        .prompts
        .iter()
        .filter(|p| !definition.prompts.contains(p))
        .map(|p| format!("{}: {}", p.name, unparse(p)))
        .collect()
}
