//! A study: the same protocol over tenants, models and policies, several trials each, and one table of what came of it.
//!
//! Each trial has a folder of its own, which keeps it and continues it; the study itself keeps nothing but the table,
//! which is made of the trials' reports. So a study that was stopped goes on with the same command.

use crate::optimize::TrialOptions;
use crate::place::{Place, read_text};
use fapo_core::InputError;
use fapo_core::grants::Budget;
use fapo_core::names::is_name;
use fapo_core::price::Money;
use fapo_core::selection::{PAPER_VARIANTS, Policy};
use fapo_core::tenant::read_toml;
use fapo_engine::account::Account;
use fapo_engine::optimize::TrialReport;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most trials of a study.
const TRIALS_MAX: usize = 10_000;
/// Most trials of one cell: each draws samples of its own, and there is no end of room for them.
const REPEATS_MAX: u32 = 1_000;

/// `study.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Its folder's name.
    pub name: String,
    /// Trials of each tenant, model and policy.
    #[serde(default = "trials")]
    pub trials: u32,
    /// Policies to compare.
    #[serde(default = "policies")]
    pub policies: Vec<Policy>,
    /// Most variants of a trial; by policy where absent.
    #[serde(default)]
    pub variants_max: Option<u32>,
    /// Most paid calls of the replays of one variant to beat; as `fapo optimize` has it where absent.
    #[serde(default)]
    pub diagnosis_calls: Option<u64>,
    /// Route whose model proposes edits.
    #[serde(default)]
    pub proposer: Option<String>,
    /// Route whose model reviews edits.
    #[serde(default)]
    pub reviewer: Option<String>,
    /// What all trials together may cost.
    #[serde(default)]
    pub budget: StudyBudget,
    /// Models to try each tenant on; the configs' own where there is none.
    #[serde(default)]
    pub models: Vec<StudyModel>,
    /// Tenants.
    pub tenants: Vec<StudyTenant>,
}

/// What all trials of a study may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StudyBudget {
    /// Paid calls.
    pub calls_max: Option<u64>,
    /// Tokens.
    pub tokens_max: Option<u64>,
    /// Dollars.
    pub cost_max: Option<Money>,
}

/// A model that tenants are tried on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyModel {
    /// Its name in the table.
    pub name: String,
    /// In place of the configs' provider.
    pub provider: String,
    /// In place of the configs' model.
    #[serde(default)]
    pub model: Option<String>,
}

/// A tenant of a study.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyTenant {
    /// The tenant.
    pub id: String,
    /// Its configs; `configs/{train,validation,test}.json` of the tenant where absent.
    #[serde(default)]
    pub train: Option<PathBuf>,
    /// See `train`.
    #[serde(default)]
    pub validation: Option<PathBuf>,
    /// See `train`.
    #[serde(default)]
    pub test: Option<PathBuf>,
}

fn trials() -> u32 {
    3
}

fn policies() -> Vec<Policy> {
    vec![Policy::Paper]
}

impl Study {
    /// Reads a study. `file` names it in errors.
    ///
    /// # Errors
    /// Anything wrong with the text, at its line or field.
    pub fn read(path: &Path) -> Result<Study, InputError> {
        let file = path.display().to_string();
        let study: Study = read_toml(&file, &read_text(path)?)?;
        let wrong = |field: &str, why: String, mend: &str| {
            Err(InputError::new(format!("{file}, {field}"), why).hint(mend.to_string()))
        };
        let names = || study.models.iter().map(|model| &model.name);
        let unnamed = [&study.name].into_iter().chain(names()).find(|name| !is_name(name));
        if let Some(name) = unnamed {
            return wrong(
                "name",
                format!("{name:?} is no name"),
                "use lower-case letters, digits, _ and -, at most 64",
            );
        }
        if study.tenants.is_empty() {
            return wrong("tenants", "names no tenant".into(), "add [[tenants]] with id = \"...\"");
        }
        if study.policies.is_empty() {
            return wrong("policies", "names no policy".into(), "write policies = [\"paper\"]");
        }
        let twice = |all: Vec<String>| {
            all.iter().enumerate().find(|(at, one)| all[..*at].contains(one)).map(|(_, one)| one.clone())
        };
        for (field, all) in [
            ("models", names().cloned().collect()),
            ("policies", study.policies.iter().map(|policy| policy.word().to_string()).collect()),
            ("tenants", study.tenants.iter().map(|tenant| tenant.id.clone()).collect::<Vec<String>>()),
        ] {
            if let Some(one) = twice(all) {
                return wrong(field, format!("{one:?} stands twice"), "name each once");
            }
        }
        let cells = study.tenants.len() * study.models.len().max(1) * study.policies.len();
        if !(1..=REPEATS_MAX).contains(&study.trials) || cells.saturating_mul(study.trials as usize) > TRIALS_MAX {
            return wrong("trials", format!("{} of each make no study", study.trials), "choose 1 to some hundreds");
        }
        Ok(study)
    }

    /// Its folder in the work folder.
    pub fn folder(&self, place: &Place) -> PathBuf {
        place.work.join("studies").join(&self.name)
    }

    /// Every trial, in the order in which they are run: one of each cell, then the next of each.
    pub fn cells(&self) -> Vec<Cell> {
        let models: Vec<Option<&StudyModel>> =
            if self.models.is_empty() { vec![None] } else { self.models.iter().map(Some).collect() };
        let mut cells = Vec::new();
        for repeat in 0..self.trials {
            for tenant in &self.tenants {
                for model in &models {
                    for policy in &self.policies {
                        let name = model.map_or("configured", |model| model.name.as_str());
                        let of = Of { tenant: tenant.id.clone(), model: name.into(), policy: *policy };
                        let options = self.options(tenant, *model, *policy, repeat, &of);
                        cells.push(Cell { of, repeat, options });
                    }
                }
            }
        }
        cells
    }

    fn options(
        &self,
        tenant: &StudyTenant,
        model: Option<&StudyModel>,
        policy: Policy,
        repeat: u32,
        of: &Of,
    ) -> TrialOptions {
        let config = |named: &Option<PathBuf>, split: &str| {
            named.clone().unwrap_or_else(|| format!("tenants/{}/configs/{split}.json", tenant.id).into())
        };
        TrialOptions {
            tenant: tenant.id.clone(),
            configs: [
                config(&tenant.train, "train"),
                config(&tenant.validation, "validation"),
                config(&tenant.test, "test"),
            ],
            provider: model.map(|model| model.provider.clone()),
            model: model.and_then(|model| model.model.clone()),
            policy,
            repeat,
            prepare: true,
            name: Some(format!("{}-{}-{}-{}-{}", self.name, of.tenant, of.model, of.policy.word(), repeat + 1)),
            variants_max: self.variants_max.unwrap_or(PAPER_VARIANTS),
            calls_max: u64::MAX,
            diagnosis_calls: self.diagnosis_calls,
            proposer: self.proposer.clone(),
            reviewer: self.reviewer.clone(),
            adviser_calls: ADVISER_CALLS,
            ..TrialOptions::default()
        }
    }

    /// What its trials may cost together, counted in its folder.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn account(&self, place: &Place) -> Result<Arc<Account>, InputError> {
        let StudyBudget { calls_max, tokens_max, cost_max } = self.budget;
        let budget = Budget { calls_max, tokens_max, cost_max };
        let path = self.folder(place).join("spent.json");
        Ok(Arc::new(Account::open(&path, &format!("study {}", self.name), "[budget] of the study", budget)?))
    }
}

/// Paid calls of the advisers of one trial of a study.
const ADVISER_CALLS: u64 = 200;

/// What a trial of a study is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Of {
    /// The tenant.
    pub tenant: String,
    /// The model's name in the study.
    pub model: String,
    /// How it keeps and stops.
    pub policy: Policy,
}

/// One trial of a study.
pub struct Cell {
    /// What it is of.
    pub of: Of,
    /// Its number, from 0.
    pub repeat: u32,
    /// How it is run.
    pub options: TrialOptions,
}

/// Mean and standard deviation of so many trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation; null of one trial.
    pub sd: Option<f64>,
}

impl Spread {
    /// Of some values; None without any.
    pub fn of(values: &[f64]) -> Option<Spread> {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n.max(1) as f64;
        let sd = (n >= 2).then(|| (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt());
        (n > 0).then_some(Spread { mean, sd })
    }

    fn range(&self) -> [f64; 2] {
        let sd = self.sd.unwrap_or_default();
        [self.mean - sd, self.mean + sd]
    }

    /// Whether mean ± sd of both share no value: the paper's sign of a win that chance does not explain.
    pub fn apart(&self, other: &Spread) -> bool {
        let ([a, b], [c, d]) = (self.range(), other.range());
        b < c || d < a
    }
}

/// A line of the table: trials of one tenant, model and policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// What they are of.
    #[serde(flatten)]
    pub of: Of,
    /// Trials that ended.
    pub trials: usize,
    /// The baselines on test.
    pub baseline_test: Spread,
    /// The selected variants on validation.
    pub selected_validation: Spread,
    /// The selected variants on test.
    pub selected_test: Spread,
    /// Selected minus baseline on test, trial by trial.
    pub gain: Spread,
    /// Whether the ranges of baseline and selected share no value.
    pub apart: bool,
    /// Attempts of all trials.
    pub attempts: usize,
    /// Attempts that were kept.
    pub kept: usize,
}

/// How one policy does against another, or against the baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wins {
    /// One.
    pub of: String,
    /// The other.
    pub against: String,
    /// Tenants and models on which the one's mean on test is higher.
    pub wins: usize,
    /// Of them, those whose ranges share no value.
    pub wins_apart: usize,
    /// Those on which it is lower.
    pub losses: usize,
    /// Of them, those whose ranges share no value.
    pub losses_apart: usize,
    /// Those on which both are equal.
    pub equal: usize,
}

/// What came of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Table {
    /// Its name.
    pub study: String,
    /// Trials planned of each.
    pub planned: u32,
    /// By tenant, model and policy.
    pub rows: Vec<Row>,
    /// Policies against the baseline and against each other.
    pub wins: Vec<Wins>,
}

/// The table of what ended so far.
pub fn table(study: &Study, ended: &[(Of, TrialReport)]) -> Table {
    let mut all: Vec<&Of> = Vec::new();
    for (of, _) in ended {
        if !all.contains(&of) {
            all.push(of);
        }
    }
    let rows: Vec<Row> = all.into_iter().filter_map(|of| row(of, ended)).collect();
    let mut wins = Vec::new();
    for (at, policy) in study.policies.iter().enumerate() {
        let own = |row: &&Row| row.of.policy == *policy;
        let against = rows.iter().filter(own).map(|row| (row.selected_test, row.baseline_test));
        wins.push(counted(policy.word(), "baseline", against));
        for other in &study.policies[at + 1..] {
            let beside = |row: &Row| {
                let same =
                    |r: &&Row| r.of.policy == *other && r.of.tenant == row.of.tenant && r.of.model == row.of.model;
                Some((row.selected_test, rows.iter().find(same)?.selected_test))
            };
            wins.push(counted(policy.word(), other.word(), rows.iter().filter(own).filter_map(beside)));
        }
    }
    Table { study: study.name.clone(), planned: study.trials, rows, wins }
}

fn row(of: &Of, ended: &[(Of, TrialReport)]) -> Option<Row> {
    let reports: Vec<&TrialReport> = ended.iter().filter(|(o, _)| o == of).map(|(_, report)| report).collect();
    let spread = |value: &dyn Fn(&TrialReport) -> f64| {
        Spread::of(&reports.iter().map(|report| value(report)).collect::<Vec<f64>>())
    };
    let (baseline, selected) = (spread(&|r| r.baseline.test.mean)?, spread(&|r| r.selected.test.mean)?);
    let kept = |r: &&TrialReport| r.attempts.iter().filter(|a| a.outcome == fapo_core::variant::Outcome::Kept).count();
    Some(Row {
        of: of.clone(),
        trials: reports.len(),
        baseline_test: baseline,
        selected_validation: spread(&|r| r.selected.validation.mean)?,
        selected_test: selected,
        gain: spread(&|r| r.selected.test.mean - r.baseline.test.mean)?,
        apart: selected.apart(&baseline),
        attempts: reports.iter().map(|r| r.attempts.len()).sum(),
        kept: reports.iter().map(kept).sum(),
    })
}

fn counted(of: &str, against: &str, pairs: impl Iterator<Item = (Spread, Spread)>) -> Wins {
    let mut wins =
        Wins { of: of.into(), against: against.into(), wins: 0, wins_apart: 0, losses: 0, losses_apart: 0, equal: 0 };
    for (one, other) in pairs {
        let apart = usize::from(one.apart(&other));
        if one.mean > other.mean {
            (wins.wins, wins.wins_apart) = (wins.wins + 1, wins.wins_apart + apart);
        } else if one.mean < other.mean {
            (wins.losses, wins.losses_apart) = (wins.losses + 1, wins.losses_apart + apart);
        } else {
            wins.equal += 1;
        }
    }
    wins
}

/// A mean with its standard deviation, as tables show it.
pub fn shown(spread: &Spread) -> String {
    match spread.sd {
        Some(sd) => format!("{:.2} ± {sd:.2}", spread.mean),
        None => format!("{:.2}", spread.mean),
    }
}

/// Heads of the table.
pub const HEAD: [&str; 9] =
    ["tenant", "model", "policy", "trials", "baseline, test", "selected, test", "gain", "ranges", "kept"];

impl Table {
    /// Cells of the table, a row a line.
    pub fn cells(&self) -> Vec<Vec<String>> {
        let cells = |row: &Row| {
            vec![
                row.of.tenant.clone(),
                row.of.model.clone(),
                row.of.policy.word().into(),
                format!("{} of {}", row.trials, self.planned),
                shown(&row.baseline_test),
                shown(&row.selected_test),
                shown(&row.gain),
                if row.apart { "apart" } else { "overlap" }.into(),
                format!("{} of {}", row.kept, row.attempts),
            ]
        };
        self.rows.iter().map(cells).collect()
    }

    /// The lines about wins.
    pub fn sentences(&self) -> Vec<String> {
        let one = |w: &Wins| {
            format!(
                "{} against {}: {} wins ({} with ranges apart), {} losses ({}), {} equal",
                w.of, w.against, w.wins, w.wins_apart, w.losses, w.losses_apart, w.equal
            )
        };
        self.wins.iter().map(one).collect()
    }

    /// As Markdown. Names are checked where they are read and hold no markup.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("# Study {}\n\n", self.study);
        text.push_str(&line(&HEAD.map(String::from)));
        text.push_str(&line(&HEAD.map(|_| "---".to_string())));
        self.cells().iter().for_each(|cells| text.push_str(&line(cells)));
        text.push_str(
            "\nPoints of the mean composite, mean ± sample standard deviation over trials. Ranges are mean ± sd.\n\n",
        );
        self.sentences().iter().for_each(|sentence| text.push_str(&format!("- {sentence}\n")));
        text
    }

    /// As CSV: numbers in full, one row a line of the table.
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        let head = [
            "tenant",
            "model",
            "policy",
            "trials",
            "baseline_test_mean",
            "baseline_test_sd",
            "selected_validation_mean",
            "selected_validation_sd",
            "selected_test_mean",
            "selected_test_sd",
            "gain_mean",
            "gain_sd",
            "ranges_apart",
            "attempts",
            "kept",
        ];
        let mut rows = vec![head.map(String::from).to_vec()];
        for row in &self.rows {
            let mut cells =
                vec![row.of.tenant.clone(), row.of.model.clone(), row.of.policy.word().into(), row.trials.to_string()];
            for spread in [row.baseline_test, row.selected_validation, row.selected_test, row.gain] {
                cells.extend([spread.mean.to_string(), number(spread.sd)]);
            }
            cells.extend([row.apart.to_string(), row.attempts.to_string(), row.kept.to_string()]);
            rows.push(cells);
        }
        for cells in rows {
            if writer.write_record(cells).is_err() {
                break;
            }
        }
        String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_share_a_value_are_no_win_that_counts() {
        let spread = |mean, sd| Spread { mean, sd: Some(sd) };
        assert!(spread(50.0, 2.0).apart(&spread(55.0, 2.0)));
        assert!(!spread(50.0, 2.0).apart(&spread(54.0, 2.0)), "they touch");
        let found = Spread::of(&[1.0, 3.0, 5.0]).expect("values");
        assert_eq!((found.mean, found.sd), (3.0, Some(2.0)));
        assert_eq!(Spread::of(&[7.0]).map(|s| s.sd), Some(None));
        assert_eq!(Spread::of(&[]), None);
        let pairs = [(60.0, 50.0), (50.0, 51.0), (40.0, 40.0)].map(|(a, b)| (spread(a, 1.0), spread(b, 1.0)));
        let counted = counted("a", "b", pairs.into_iter());
        let numbers = (counted.wins, counted.wins_apart, counted.losses, counted.losses_apart, counted.equal);
        assert_eq!(numbers, (1, 1, 1, 0, 1));
    }
}
