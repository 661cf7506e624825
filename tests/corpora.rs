//! What people and guests write, read by the code that reads it: every file of `tests/corpora`, and mutations of it.
//!
//! Nothing may panic, loop or pass a bound, whatever stands in the file. The mutations of a test run are the same each
//! time; `FAPO_MUTATION_SECONDS=600` goes on with others for as long a target. What was once found stays in the folder.

use crate::support::{root, say};
use fapo_core::names::{is_name, shown};
use fapo_core::score::{RawScore, Score};
use fapo_graph::{Entry, Execution, GraphSpec, Step, StepOrigin};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Mutations a target gets in each test run.
const MUTATIONS: u32 = 20_000;
/// Longest that one input may take.
const SLOW: Duration = Duration::from_secs(2);

type Target = fn(&[u8]);

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
    let folder = tempfile::tempdir().expect("a folder");
    let cut = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    std::fs::write(folder.path().join("run_config.json"), &bytes[..cut]).expect("written");
    std::fs::write(folder.path().join("journal.jsonl"), &bytes[cut..]).expect("written");
    let _ = fapo_engine::stored::read_run(folder.path());
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

const TARGETS: [(&str, Target); 7] = [
    ("config", config),
    ("rows", rows),
    ("template", template),
    ("graph", graph),
    ("journal", journal),
    ("component", component),
    ("result", result),
];

/// A generator of the shift-register kind: the same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// What breaks readers, to be put in anywhere.
const PIECES: [&[u8]; 16] = [
    b"\"",
    b"{",
    b"}",
    b"[[[[[[[[",
    b"]",
    b"${",
    b"\n",
    b"\0",
    b"\xff\xfe",
    b"\xe2\x80\xae",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"System:\n",
    b"```",
    b"\\u0000",
];

fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            3 => {
                let end = at + random.below(bytes.len() - at + 1).min(40);
                bytes.drain(at..end);
            }
            4 => {
                let end = at + random.below(bytes.len() - at + 1).min(200);
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
        }
    }
    bytes
}

#[test]
fn readers_withstand_their_corpora_and_mutations_of_them() {
    let seconds: u64 = std::env::var("FAPO_MUTATION_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    for (name, target) in TARGETS {
        let folder = root().join("tests/corpora").join(name);
        let mut paths: Vec<_> = std::fs::read_dir(&folder).expect("the corpus").flatten().map(|e| e.path()).collect();
        paths.sort();
        let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).expect("read")).collect();
        assert!(!seeds.is_empty(), "{name} has a corpus");
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seconds);
        let (mut done, began) = (0, Instant::now());
        while done < MUTATIONS || began.elapsed().as_secs() < seconds {
            let input = match seeds.get(done as usize) {
                Some(seed) => seed.clone(),
                None => mutated(&seeds, &mut random),
            };
            let one = Instant::now();
            let ended = std::panic::catch_unwind(|| target(&input));
            let found = if ended.is_err() { Some("panics") } else { (one.elapsed() > SLOW).then_some("takes long") };
            if let Some(what) = found {
                let kept = std::env::temp_dir().join(format!("fapo-corpus-{name}-{done}"));
                std::fs::write(&kept, &input).expect("written");
                panic!("{name} {what} over an input of {} bytes: {}", input.len(), kept.display());
            }
            done += 1;
        }
        say(&format!("{name}: {done} inputs"));
    }
}
