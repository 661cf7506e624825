//! What people and guests write, read by the code that reads it. Nothing may panic, loop or pass a bound, whatever
//! stands in the bytes. The test replays and mutates the corpora; `fuzz` searches with coverage.

use fapo_core::names::{is_name, shown};
use fapo_core::score::{RawScore, Score};
use fapo_graph::{Entry, Execution, GraphSpec, Step, StepOrigin};
use std::collections::BTreeSet;

/// Reads bytes as one of the forms.
pub type Target = fn(&[u8]);

fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = fapo_core::config::read_config("c.json", &text);
    let _ = fapo_core::tenant::read_manifest("tenant.toml", "a", &text);
    let _ = fapo_core::grants::read_operator_file("fapo.toml", &text);
    let _ = fapo_core::scope::ScopeContract::from_playbook("p.md", &text);
}

fn rows(bytes: &[u8]) {
    let Ok(dataset) = fapo_core::case::read_dataset("d.jsonl", &String::from_utf8_lossy(bytes)) else {
        return;
    };
    let ids: BTreeSet<&str> = dataset.cases.iter().map(|case| case.case_id.as_str()).collect();
    assert_eq!(ids.len(), dataset.cases.len(), "ids are unique");
    for case in &dataset.cases {
        let answer = case.expected_answer().unwrap_or_default().trim();
        let shown = case.context.iter().any(|(_, value)| !answer.is_empty() && value.trim() == answer);
        assert!(!shown, "no context holds the label");
    }
}

fn template(bytes: &[u8]) {
    use fapo_template::{Cut, parse, render};
    let text = String::from_utf8_lossy(bytes);
    for cut in [Cut::Trailing, Cut::Original] {
        let Ok(prompt) = parse("p.md", &text, cut) else {
            continue;
        };
        let rendered = render(&prompt, |_| Some("${question}\nSystem:\nx"));
        assert_eq!(rendered.messages.len(), prompt.messages.len(), "no value makes a message");
        let placeholders = prompt.placeholders().count();
        let bytes: usize = rendered.messages.iter().map(|m| m.content.len()).sum();
        assert!(bytes <= text.len() + 24 * placeholders, "each placeholder is filled once");
    }
}

fn graph(bytes: &[u8]) {
    let Ok(graph) = serde_json::from_slice::<GraphSpec>(bytes) else {
        return;
    };
    let Ok(mut execution) = Execution::new(graph, vec![Entry::new("question", "q")]) else {
        return;
    };
    // A graph's loops are bounded: at most 16 visits of each of its nodes and of what they start.
    for _ in 0..5_000 {
        let ready = execution.ready();
        if ready.is_empty() {
            return;
        }
        let step = |id| Step {
            id,
            origin: StepOrigin::Executed,
            outputs: vec![Entry::new("text", "again")],
            output_text: None,
            diagnostics: Vec::new(),
        };
        if execution.finish(ready.into_iter().map(step).collect()).is_err() {
            return;
        }
    }
    panic!("it does not end");
}

fn journal(bytes: &[u8]) {
    thread_local!(static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder"));
    FOLDER.with(|folder| {
        std::fs::write(folder.path().join("journal.jsonl"), bytes).expect("written");
        if let Ok(run) = fapo_engine::stored::read_run(folder.path()) {
            let Ok(records) = run.records() else { return };
            let indexes: BTreeSet<usize> = records.iter().map(|record| record.index).collect();
            assert_eq!((indexes.len(), run.completed()), (records.len(), records.len()), "one record a case");
            assert!(records.iter().all(|record| record.composite().is_finite()));
        }
    });
}

fn component(bytes: &[u8]) {
    let compiled = std::str::from_utf8(bytes).ok().and_then(|text| wat::parse_str(text).ok());
    let _ = fapo_sandbox::inspect(compiled.as_deref().unwrap_or(bytes), 1 << 20);
}

fn result(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(shown(&text).chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
    let numbers = bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("eight bytes")));
    let written = text.split_whitespace().filter_map(|word| word.parse().ok());
    for (at, composite) in numbers.chain(written).enumerate() {
        let name = text.chars().skip(at).take(5).collect();
        let raw = RawScore {
            composite,
            breakdown: vec![(name, composite)],
            feedback: String::new(),
            diagnostics: Vec::new(),
        };
        if let Ok(score) = Score::checked(raw) {
            assert!((0.0..=100.0).contains(&score.composite()) && score.breakdown().iter().all(|(_, v)| v.is_finite()));
        }
    }
    for word in text.split_whitespace().filter(|word| is_name(word)) {
        assert!(word.is_ascii() && word.len() <= 64 && !word.contains(['.', '/', '\\']));
    }
}

/// Every form with its corpus's name.
pub const TARGETS: [(&str, Target); 7] = [
    ("config", config),
    ("rows", rows),
    ("template", template),
    ("graph", graph),
    ("journal", journal),
    ("component", component),
    ("result", result),
];
