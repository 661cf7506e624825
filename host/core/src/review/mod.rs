//! The deterministic review of a proposal, before anything is spent on it.
//!
//! One ordered table of checks; each looks at one thing and says what is wrong with it. A single blocking issue blocks.

mod checks;
mod leaks;

pub use leaks::{LABEL_TIMES, Leaks};

use crate::ports::Definition;
use crate::scope::ScopeContract;
use crate::variant::Proposal;
use fapo_graph::Catalogue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How grave an issue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// To be looked at.
    Warn,
    /// Not to be evaluated.
    Block,
}

/// What a review comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing found.
    Pass,
    /// Evaluate, but look at it.
    Warn,
    /// Not to be evaluated.
    Block,
}

/// Something wrong with a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Issue {
    /// The check that found it.
    pub check: String,
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong, without any text of a held-out split.
    pub description: String,
    /// What would mend it.
    pub suggestion: String,
}

/// The result of a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Review {
    /// What it comes to.
    pub verdict: Verdict,
    /// All that was found, in the order of the checks.
    pub issues: Vec<Issue>,
}

/// Everything a review looks at.
pub struct Reviewed<'a> {
    /// Whose chain it is.
    pub tenant_id: &'a str,
    /// What it was.
    pub parent: &'a Definition,
    /// What it would be.
    pub candidate: &'a Definition,
    /// The change and its reason.
    pub proposal: &'a Proposal,
    /// How far one may go.
    pub scope: &'a ScopeContract,
    /// What the chain component offers.
    pub catalogue: &'a Catalogue,
    /// Texts and answers of every split, to be found and not to be read.
    pub leaks: &'a Leaks,
    /// Whether the tenant has a file already.
    pub stands: &'a dyn Fn(&str) -> bool,
}

/// Runs every check.
pub fn review(reviewed: &Reviewed<'_>) -> Review {
    let mut issues = Vec::new();
    for (name, check) in checks::CHECKS {
        let found = check(reviewed).into_iter();
        issues.extend(found.map(|(severity, description, suggestion)| Issue {
            check: (*name).to_string(),
            severity,
            description,
            suggestion: suggestion.to_string(),
        }));
    }
    let verdict = match issues.iter().map(|issue| issue.severity).max() {
        None => Verdict::Pass,
        Some(Severity::Warn) => Verdict::Warn,
        Some(Severity::Block) => Verdict::Block,
    };
    Review { verdict, issues }
}

/// Names of the checks, in their order.
pub fn checks() -> impl Iterator<Item = &'static str> {
    checks::CHECKS.iter().map(|(name, _)| *name)
}
