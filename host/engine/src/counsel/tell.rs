//! Why cases failed, said by a model, where texts leave it in doubt.

use super::digest::Ground;
use super::read::{Told, told};
use super::{Counsel, Whom};
use fapo_core::InputError;
use fapo_core::attribution::{Attribution, Confidence};

/// Cases that a model is asked about for one variant: each costs a call.
const CASES_MAX: usize = 6;

/// Puts what a model says in the place of findings of low confidence. `ground` is about the same attribution.
pub(crate) async fn tell(counsel: &mut Counsel, ground: &Ground<'_>) -> Result<Attribution, InputError> {
    let mut all: Vec<(String, Told)> = Vec::new();
    if counsel.has_proposer() {
        for id in ground.doubtful().into_iter().take(CASES_MAX) {
            let (chain, case) = (ground.chain(), ground.case(&id));
            let reply = counsel.ask(Whom::Proposer, "attribute", &[("chain", &chain), ("case", &case)]).await?;
            let Some(reply) = reply else { break };
            match told(&reply, ground.definition) {
                Some(said) => all.push((id, said)),
                None => counsel.drop("an attribution is not in the form that was asked for"),
            }
        }
        counsel.report.cases_told += all.len() as u64;
    }
    let mut found = ground.attribution.clone();
    for (id, said) in all {
        if let Some(finding) = found.findings.iter_mut().find(|finding| finding.case_id == id) {
            let (fix, level) = said.kind.fix();
            (finding.fix, finding.level, finding.confidence) = (fix, Some(level), Confidence::Medium);
            (finding.step, finding.heuristic, finding.evidence) = (said.step, "model".into(), said.why);
        }
    }
    Ok(found.regrouped())
}
