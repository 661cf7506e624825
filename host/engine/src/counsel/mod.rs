//! Models that advise the optimizer: one that proposes edits, one that reviews them, and the first again where texts do
//! not show why a case failed.
//!
//! What they are shown of a tenant stands between fences that no text can close (`fapo_core::judge`), what they say is
//! read into types and checked like anybody's proposal. They never replace a rule of the host: a reviewer can only add
//! to what the deterministic review found. Each answer is kept in the trial's folder and paid once, so that a trial that
//! was stopped takes the same way; one that does not come costs its edits and ends nothing.

mod digest;
mod propose;
mod read;
mod review;
mod tell;

pub(crate) use digest::Ground;
pub(crate) use propose::Proposed;
pub(crate) use tell::tell;

use crate::account::Account;
use crate::folder;
use crate::services::call_model;
use crate::spending::{Spending, Spent};
use fapo_core::held::Held;
use fapo_core::judge::{JudgePrompts, Question};
use fapo_core::ports::{GenerateRequest, Provider, ProviderError, RunFiles};
use fapo_core::{InputError, digest as hash};
use fapo_graph::StepId;
use fapo_template::{Cut, parse};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// The questions, by name.
static PROMPTS: LazyLock<JudgePrompts> = LazyLock::new(|| {
    let texts = [
        ("propose", include_str!("prompts/propose.md")),
        ("revise", include_str!("prompts/revise.md")),
        ("review", include_str!("prompts/review.md")),
        ("attribute", include_str!("prompts/attribute.md")),
    ];
    let read = |(name, text): (&str, &str)| Some((name.to_string(), parse(name, text, Cut::Trailing).ok()?));
    texts.into_iter().filter_map(read).collect()
});

/// Longest answer that is read, bytes.
const REPLY_BYTES_MAX: usize = 256 << 10;

/// Who may be asked, and how often.
#[derive(Clone, Default)]
pub struct Advisers {
    /// Proposes edits, and tells why cases failed.
    pub proposer: Option<Arc<dyn Provider>>,
    /// Reviews edits.
    pub reviewer: Option<Arc<dyn Provider>>,
    /// Most paid calls of a trial.
    pub calls_max: u64,
    /// What the trial may cost in all.
    pub accounts: Vec<Arc<Account>>,
    /// What the tenant's playbook says.
    pub playbook: String,
}

/// What a trial had of its advisers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CounselReport {
    /// Questions asked.
    pub asked: u64,
    /// Of them, those without an answer: a fault of the service, or the calls were used up.
    pub unanswered: u64,
    /// Calls that a service was paid for.
    pub calls_paid: u64,
    /// Edits that were proposed.
    pub edits: u64,
    /// Edits and answers that were dropped before anything was spent on them, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Reviews that ended with a fail.
    pub failed_reviews: u64,
    /// Failed cases that a model told the step of.
    pub cases_told: u64,
}

/// One answer, as the trial's folder keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Said {
    /// Digest of the question and of how often it was asked before.
    key: String,
    /// Name of the question.
    question: String,
    reply: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    paid: bool,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    Proposer,
    Reviewer,
}

/// The advisers of one trial.
pub(crate) struct Counsel {
    tenant_id: String,
    advisers: Advisers,
    spending: Spending,
    said: BTreeMap<String, Said>,
    /// How often a question was asked.
    times: BTreeMap<String, u32>,
    log: PathBuf,
    files: Arc<dyn RunFiles>,
    report: CounselReport,
}

impl Counsel {
    /// Advisers whose answers are kept in a folder.
    ///
    /// # Errors
    /// The answers that stand there cannot be read.
    pub(crate) fn open(
        tenant_id: &str,
        advisers: &Advisers,
        folder: &Path,
        files: &Arc<dyn RunFiles>,
    ) -> Result<Self, InputError> {
        let log = folder.join("counsel.jsonl");
        let text = folder::read(&log)?;
        let whole = String::from_utf8_lossy(&text);
        let kept = whole.lines().filter_map(|line| serde_json::from_str::<Said>(line).ok());
        let said: BTreeMap<String, Said> = kept.map(|said| (said.key.clone(), said)).collect();
        if !text.is_empty() && !text.ends_with(b"\n") {
            files.append(&log, b"\n").map_err(|e| failed(&log, &e))?;
        }
        let budget = fapo_core::grants::Budget { calls_max: Some(advisers.calls_max), ..Default::default() };
        let calls = said.values().filter(|said| said.paid).count() as u64;
        let spent = Spent { amount: crate::account::Amount { calls, ..Default::default() }, ..Spent::default() };
        Ok(Counsel {
            tenant_id: tenant_id.into(),
            spending: Spending::begin(budget, &spent, &advisers.accounts),
            advisers: advisers.clone(),
            said,
            times: BTreeMap::new(),
            log,
            files: Arc::clone(files),
            report: CounselReport::default(),
        })
    }

    /// What came of it all; None where there is nobody to ask.
    pub(crate) fn report(&self) -> Option<CounselReport> {
        (self.has_proposer() || self.advisers.reviewer.is_some()).then(|| self.report.clone())
    }

    /// Whether anybody proposes.
    pub(crate) fn has_proposer(&self) -> bool {
        self.advisers.proposer.is_some()
    }

    /// Notes that something was dropped.
    fn drop(&mut self, reason: &str) {
        *self.report.dropped.entry(reason.into()).or_default() += 1;
    }

    /// One question with fenced values; None where there is nobody to ask, or no answer.
    async fn ask(&mut self, whom: Whom, question: &str, values: &[(&str, &str)]) -> Result<Option<String>, InputError> {
        let provider = match whom {
            Whom::Proposer => self.advisers.proposer.clone(),
            Whom::Reviewer => self.advisers.reviewer.clone(),
        };
        let Some(provider) = provider else { return Ok(None) };
        let values = values.iter().map(|(name, text)| ((*name).to_string(), (*text).to_string())).collect();
        let asked = Question {
            prompt: question.into(),
            model: format!("{whom:?}").to_lowercase(),
            values,
            choices: Vec::new(),
            swap: None,
        };
        let messages = asked
            .messages(&PROMPTS)
            .map_err(|fault| InputError::new(format!("question {question}"), fault.to_string()))?;
        let whole = hash::of_json(&json!([asked.model, messages, provider.identity()]));
        let times = self.times.entry(whole.clone()).or_default();
        let sample = *times;
        *times += 1;
        self.report.asked += 1;
        let key = hash::of_json(&json!([whole, sample]));
        let said = match self.said.get(&key) {
            Some(said) => said.clone(),
            None => {
                let request = GenerateRequest {
                    id: StepId { node: question.into(), visit: sample },
                    model: asked.model,
                    messages,
                    output_tokens_max: None,
                    stop: Vec::new(),
                };
                let held = Held::default();
                let (record, ended) =
                    call_model(&self.spending, &self.tenant_id, &provider, &request, sample, &held).await;
                let paid = record.is_paid();
                let said = Said {
                    key: key.clone(),
                    question: question.into(),
                    reply: record.reply,
                    fault: record.fault,
                    paid,
                };
                // What a budget refused was not asked, and may be by a start that has more.
                if !matches!(&ended, Err(ProviderError::Service(fault)) if fault.kind.is_spent()) {
                    let mut line = serde_json::to_vec(&said).unwrap_or_default();
                    line.push(b'\n');
                    self.files.append(&self.log, &line).map_err(|e| failed(&self.log, &e))?;
                    self.said.insert(key, said.clone());
                }
                said
            }
        };
        self.report.calls_paid += u64::from(said.paid);
        let reply = said.reply.filter(|reply| reply.len() <= REPLY_BYTES_MAX && !reply.trim().is_empty());
        if reply.is_none() {
            self.report.unanswered += 1;
        }
        Ok(reply)
    }
}

fn failed(path: &Path, e: &std::io::Error) -> InputError {
    InputError::new(path.display().to_string(), e.to_string())
        .hint("make room or mend the permissions, then run the same command: no answer is paid twice")
}
