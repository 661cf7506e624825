//! What an adviser is shown of a chain and its failures on train: no row of a held-out split, no gold, and no more than
//! fits.

use fapo_core::attribution::{Attribution, Confidence, Interventions};
use fapo_core::case::Case;
use fapo_core::ports::Definition;
use fapo_core::run::CaseRecord;
use fapo_core::scope::ScopeContract;
use fapo_graph::Catalogue;
use fapo_template::unparse;
use serde_json::json;
use std::fmt::Write;

/// Bytes of each part of a question.
const CHAIN_BYTES: usize = 12 << 10;
const CATALOGUE_BYTES: usize = 8 << 10;
const PROMPTS_BYTES: usize = 24 << 10;
const PLAYBOOK_BYTES: usize = 6 << 10;
const CASES_BYTES: usize = 16 << 10;
const MEMORY_BYTES: usize = 6 << 10;
/// Bytes of one text of a case.
const TEXT_BYTES: usize = 600;
/// Cases shown of one cluster, and clusters with cases.
const CASES_OF_CLUSTER: usize = 3;
const CLUSTERS_WITH_CASES: usize = 3;
/// Clusters in the table.
const CLUSTERS_MAX: usize = 12;

/// What a question is about.
pub(crate) struct Ground<'a> {
    pub(crate) definition: &'a Definition,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) scope: &'a ScopeContract,
    /// Cases of train.
    pub(crate) cases: &'a [Case],
    /// Their records.
    pub(crate) records: &'a [CaseRecord],
    pub(crate) attribution: &'a Attribution,
    pub(crate) seen: Option<&'a Interventions>,
    /// A line for each attempt so far.
    pub(crate) memory: &'a [String],
}

impl Ground<'_> {
    pub(super) fn scope(&self) -> String {
        json!(self.scope).to_string()
    }

    pub(super) fn chain(&self) -> String {
        cut(&json!(self.definition.graph.without_scripts()).to_string(), CHAIN_BYTES)
    }

    pub(super) fn catalogue(&self) -> String {
        let mut text = String::new();
        for kind in &self.catalogue.kinds {
            let ports: Vec<&str> = kind.inputs.iter().map(|port| port.name.as_str()).collect();
            let _ = writeln!(
                text,
                "kind {}: {} Inputs: {}. Settings: {}",
                kind.name,
                kind.summary,
                ports.join(", "),
                kind.settings_schema
            );
        }
        for parameter in &self.catalogue.parameters {
            let now = self.definition.params.iter().find(|(name, _)| *name == parameter.name).map(|(_, value)| value);
            let _ = writeln!(
                text,
                "parameter {}: {} Now {}. Schema: {}",
                parameter.name,
                parameter.summary,
                now.unwrap_or(&parameter.default),
                parameter.schema
            );
        }
        cut(&text, CATALOGUE_BYTES)
    }

    pub(super) fn prompts(&self) -> String {
        let one = |prompt| format!("--- {}\n{}", fapo_template::Prompt::clone(prompt).name, unparse(prompt));
        cut(&self.definition.prompts.iter().map(one).collect::<Vec<_>>().join("\n"), PROMPTS_BYTES)
    }

    pub(super) fn failures(&self) -> String {
        let found = self.attribution;
        let mut text = format!("{} of {} training cases fail.\n", found.failed, found.planned);
        for cluster in found.clusters.iter().take(CLUSTERS_MAX) {
            let level = cluster.level.map_or("none", |level| level.word());
            let _ = writeln!(
                text,
                "{} cases, could gain {:.2} points: {} (fix {:?}, level {level}, confidence {:?})",
                cluster.count, cluster.gain, cluster.label, cluster.fix, cluster.confidence
            );
        }
        for ceiling in self.seen.iter().flat_map(|seen| &seen.steps) {
            let interval = ceiling.gain.ci.map_or(String::new(), |[low, high]| format!(", {low:.1} to {high:.1}"));
            let _ =
                writeln!(text, "Mending {} alone could gain {:.1}{interval} points.", ceiling.of, ceiling.gain.mean);
        }
        text
    }

    /// Some failed cases of the gravest clusters.
    pub(super) fn cases(&self) -> String {
        let mut text = String::new();
        for cluster in self.attribution.clusters.iter().take(CLUSTERS_WITH_CASES) {
            for id in self.attribution.cases_of(cluster).take(CASES_OF_CLUSTER) {
                let one = self.case(id);
                if text.len() + one.len() <= CASES_BYTES {
                    text.push_str(&one);
                }
            }
        }
        text
    }

    /// One failed case: what it asks, what each step put out, what was expected, what the scorer said.
    pub(super) fn case(&self, id: &str) -> String {
        let (Some(case), Some(record)) =
            (self.cases.iter().find(|c| c.case_id == id), self.records.iter().find(|r| r.case_id == id))
        else {
            return String::new();
        };
        let mut text = format!("--- case {id}, score {:.1}\n", record.composite());
        for (name, value) in &case.context {
            let _ = writeln!(text, "{name}: {}", cut(value, TEXT_BYTES));
        }
        for (step, output) in record.step_outputs() {
            let _ = writeln!(text, "step {step}: {}", cut(output, TEXT_BYTES));
        }
        let _ = writeln!(text, "answer: {}", cut(&record.output_text, TEXT_BYTES));
        let expected = case.expected_answer().unwrap_or("(no text)");
        let _ = writeln!(text, "expected: {}", cut(expected, TEXT_BYTES));
        if let Some(score) = record.score.as_ref().filter(|score| !score.feedback.is_empty()) {
            let _ = writeln!(text, "the scorer: {}", cut(&score.feedback, TEXT_BYTES));
        }
        text
    }

    /// Findings that texts alone leave in doubt, those with most points first.
    pub(super) fn doubtful(&self) -> Vec<String> {
        let mut found: Vec<_> = self.attribution.findings.iter().filter(|f| f.confidence == Confidence::Low).collect();
        found.sort_by(|a, b| b.lost.total_cmp(&a.lost).then_with(|| a.case_id.cmp(&b.case_id)));
        found.into_iter().map(|finding| finding.case_id.clone()).collect()
    }

    /// The latest attempts that fit.
    pub(super) fn memory(&self) -> String {
        let mut lines: Vec<&str> = Vec::new();
        let mut bytes = 0;
        for line in self.memory.iter().rev() {
            bytes += line.len();
            if bytes > MEMORY_BYTES {
                break;
            }
            lines.push(line);
        }
        lines.reverse();
        if lines.is_empty() { "nothing yet".into() } else { lines.join("\n") }
    }
}

/// A playbook, cut.
pub(super) fn playbook(text: &str) -> String {
    if text.trim().is_empty() { "nothing".into() } else { cut(text, PLAYBOOK_BYTES) }
}

/// The beginning of a text.
pub(super) fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.into();
    }
    format!("{} […]", &text[..text.floor_char_boundary(bytes_max)])
}
