//! Bad input: the whole of stderr, the exit code, and what is in the run's folder afterwards.

use crate::support::{Answer, Bench, FakeServer};

const CONFIG: &str = "tenants/demo_qa/configs/validation.json";
const DATASET: &str = "tenants/demo_qa/datasets/validation.jsonl";
const GRAPH: &str = "tenants/demo_qa/chains/baseline.json";
const PROMPT: &str = "tenants/demo_qa/prompts/modules/generate_answer/variant-001.md";
const RUN: &str = "fapo-work/tenants/demo_qa/evals/tmp/validation-baseline";

/// Runs five cases and gives what a person sees.
fn seen(bench: &Bench) -> String {
    let ran = bench.fapo(&["eval", "--config", CONFIG, "--limit", "5"]);
    assert!(ran.code == 2 && ran.stderr.contains("\nhint: "), "{} {}", ran.code, ran.stderr);
    let size = std::fs::metadata(bench.path("tenants/demo_qa/stock.wasm")).map_or(0, |meta| meta.len());
    let talk = ran.talk().replace(&format!("{size} bytes;"), "SIZE bytes;");
    format!("exit {}\n{talk}run folder: {}\n", ran.code, bench.listing(RUN))
}

/// A name and what it breaks.
type Breakage<'a> = (&'a str, &'a dyn Fn(&Bench));

/// Breaks something in a fresh copy each time and gathers what is seen.
fn gather(faults: &[Breakage<'_>]) -> String {
    let mut text = String::new();
    for (name, fault) in faults {
        let bench = Bench::with_index();
        fault(&bench);
        text.push_str(&format!("# {name}\n{}\n", seen(&bench)));
    }
    text
}

/// The n-th row of the dataset, from 1, made by `edit`.
fn row(bench: &Bench, line: usize, edit: impl Fn(&str) -> String) {
    let text = bench.read(DATASET);
    let rows: Vec<String> =
        text.lines().enumerate().map(|(at, row)| if at + 1 == line { edit(row) } else { row.to_string() }).collect();
    bench.write(DATASET, &format!("{}\n", rows.join("\n")));
}

#[test]
fn configs_and_cases() {
    snapshot!(gather(&[
        ("unknown config field", &|b| b.edit(CONFIG, "\"max_workers\"", "\"max_worker\"")),
        ("a Python chain", &|b| b.edit(CONFIG, "chains/baseline.json", "chains/two_hop.py")),
        ("a config that is no JSON", &|b| b.write(CONFIG, "{\"tenant_id\": ")),
        ("missing dataset", &|b| b.edit(CONFIG, "datasets/validation.jsonl", "datasets/none.jsonl")),
        ("line 17 broken", &|b| row(b, 17, |row| row[..40].to_string())),
        ("duplicate case_id", &|b| row(b, 9, |row| row.replace("dq-v009", "dq-v004"))),
        ("a context value equal to the label", &|b| {
            row(b, 3, |row| {
                let mut row: serde_json::Value = serde_json::from_str(row).expect("JSON");
                row["context"]["note"] = row["expected"]["answer"].clone();
                row.to_string()
            });
        }),
        ("prompt missing", &|b| b.edit(CONFIG, "variant-001.md", "variant-007.md")),
        ("prompt that is no template", &|b| b.append(PROMPT, "\n${question\n")),
        ("no operator's file", &|b| std::fs::remove_file(b.path("fapo.toml")).expect("removed")),
        ("a model that is not granted", &|b| b.edit("fapo.toml", "task = ", "other = ")),
        ("an origin that is not granted", &|b| {
            b.append(
                "fapo.toml",
                "\n[models.far]\nprovider = \"openai\"\norigin = \"https://models.example/v1\"\nmodel = \"m\"\n",
            );
            b.edit("fapo.toml", "[\"demo_script\", \"embedded\"]", "[\"demo_script\", \"far\", \"embedded\"]");
            b.edit(CONFIG, "\"provider\": \"scripted\"", "\"provider\": \"openai\"");
            b.edit(CONFIG, "\"model\": \"scripted\"", "\"model\": \"m\", \"base_url\": \"http://127.0.0.1:9/v1\"");
        }),
        ("a metric the scorer does not know", &|b| b.edit(CONFIG, "exact_match", "exact_mach")),
        ("a limit that is none", &|b| b.append("fapo.toml", "\n[limits]\nstepz = 1\n")),
    ]));
}

#[test]
fn graphs() {
    let graph = |text: &'static str| {
        move |b: &Bench| {
            b.write(PROMPT, "User: ${question}\n");
            b.write(GRAPH, text);
        }
    };
    snapshot!(gather(&[
        ("no JSON", &graph("{\"nodes\": [")),
        ("unknown field", &|b| b.edit(GRAPH, "\"prompt\"", "\"promt\"")),
        ("unknown kind", &|b| b.edit(GRAPH, "\"llm\"", "\"llmm\"")),
        ("edge to a node that is not there", &|b| b.edit(GRAPH, "\"target\": \"answer\"", "\"target\": \"anser\"")),
        ("output that is no node", &|b| b.edit(GRAPH, "\"output\": \"answer\"", "\"output\": \"anser\"")),
        ("two nodes of one name", &|b| b.edit(GRAPH, "\"name\": \"retrieve\"", "\"name\": \"answer\"")),
        ("prompt that the config does not bring", &|b| b.edit(GRAPH, "\"generate_answer\"", "\"generate_anser\"")),
        ("setting outside its schema", &|b| b.edit(GRAPH, "\"param\": \"retrieval_k\"", "\"param\": \"retrieval_q\"")),
        ("index that is not granted", &|b| b.edit(GRAPH, "\"corpus\"", "\"other\"")),
        ("unbound input", &|b| b.edit(GRAPH, "\"port\": \"query\"", "\"port\": \"question\"")),
        ("cycle without a bound", &graph(CYCLE)),
        ("back edge without an end", &graph(UNBOUNDED)),
        ("a node nothing leads to the output", &graph(UNREACHABLE)),
        ("a step that is not upstream", &|b| b.edit(PROMPT, "steps.retrieve.output", "steps.answer.output")),
        ("parameter outside its range", &|b| b.edit(CONFIG, "\"retrieval_k\": 1", "\"retrieval_k\": 0")),
    ]));
}

const CYCLE: &str = r#"{"nodes": [
  {"name": "a", "kind": "llm", "prompt": "generate_answer", "handles": [{"model": "task"}]},
  {"name": "b", "kind": "llm", "prompt": "generate_answer", "handles": [{"model": "task"}]}],
 "edges": [{"source": "a", "target": "b"}, {"source": "b", "target": "a"}], "output": "b"}"#;

const UNBOUNDED: &str = r#"{"nodes": [
  {"name": "a", "kind": "llm", "prompt": "generate_answer", "handles": [{"model": "task"}]},
  {"name": "b", "kind": "llm", "prompt": "generate_answer", "handles": [{"model": "task"}]}],
 "edges": [{"source": "a", "target": "b"}, {"source": "b", "target": "a", "visits_max": 99}], "output": "b"}"#;

const UNREACHABLE: &str = r#"{"nodes": [
  {"name": "a", "kind": "llm", "prompt": "generate_answer", "handles": [{"model": "task"}]},
  {"name": "b", "kind": "llm", "prompt": "generate_answer", "handles": [{"model": "task"}]},
  {"name": "c", "kind": "llm", "prompt": "generate_answer", "handles": [{"model": "task"}]}],
 "edges": [{"source": "a", "target": "b"}, {"source": "c", "target": "c", "visits_max": 2}], "output": "b"}"#;

#[cfg(unix)]
#[test]
fn paths_that_leave_the_tenant() {
    use std::os::unix::fs::symlink;
    snapshot!(gather(&[
        ("dataset by ..", &|b| b.edit(CONFIG, "datasets/validation.jsonl", "../other/x.jsonl")),
        ("dataset of another tenant", &|b| b.edit(CONFIG, "tenants/demo_qa/datasets", "tenants/hotpotqa/datasets")),
        ("prompt by an absolute path", &|b| {
            b.edit(CONFIG, "tenants/demo_qa/prompts/modules/generate_answer/variant-001.md", "/etc/hostname");
        }),
        ("dataset through a link", &|b| {
            std::fs::rename(b.path(DATASET), b.path("outside.jsonl")).expect("moved");
            symlink(b.path("outside.jsonl"), b.path(DATASET)).expect("linked");
        }),
        ("folder through a link", &|b| {
            std::fs::rename(b.path("tenants/demo_qa/datasets"), b.path("outside")).expect("moved");
            symlink("../../outside", b.path("tenants/demo_qa/datasets")).expect("linked");
        }),
        ("run folder by ..", &|b| b.edit(CONFIG, "tenants/demo_qa/evals/tmp", "../../evals")),
        ("component outside", &|b| {
            b.edit("tenants/demo_qa/tenant.toml", "tenants/demo_qa/stock.wasm", "tenants/other/stock.wasm");
        }),
        ("dataset that is a pipe", &|b| {
            std::fs::remove_file(b.path(DATASET)).expect("removed");
            let made = std::process::Command::new("mkfifo").arg(b.path(DATASET)).status();
            assert!(made.is_ok_and(|status| status.success()), "mkfifo");
        }),
    ]));
}

#[test]
fn indexes() {
    let mut text = String::new();
    let bench = Bench::new();
    text.push_str(&format!("# missing\n{}\n", seen(&bench)));
    let bench = Bench::with_index();
    bench.append("tenants/demo_qa/datasets/corpus.jsonl", "{\"title\": \"New\", \"text\": \"A new passage.\"}\n");
    text.push_str(&format!("# of another text\n{}\n", seen(&bench)));
    let bench = Bench::with_index();
    bench.write("fapo-work/indexes/demo/manifest.json", "{}");
    text.push_str(&format!("# damaged\n{}\n", seen(&bench)));
    let bench = Bench::new();
    bench.append("tenants/demo_qa/datasets/corpus.jsonl", "{\"title\": \"New\"}\n");
    let ran = bench.fapo(&["index", "build", "demo"]);
    text.push_str(&format!("# built from a broken corpus\nexit {}\n{}\n", ran.code, ran.stderr));
    snapshot!(text);
}

#[test]
fn components() {
    let component = |wat: &'static str| {
        move |b: &Bench| {
            b.edit(
                "tenants/demo_qa/tenant.toml",
                "[scorer]\ncomponent = \"tenants/demo_qa/stock.wasm\"",
                "[scorer]\ncomponent = \"tenants/demo_qa/x.wasm\"",
            );
            std::fs::write(b.path("tenants/demo_qa/x.wasm"), wat::parse_str(wat).expect("assembles")).expect("written");
        }
    };
    snapshot!(gather(&[
        ("a core module", &component("(module)")),
        ("no role", &component("(component)")),
        ("another version", &component("(component (import \"fapo:tenant/log@0.9.0\" (instance)))")),
        (
            "wants sockets",
            &component(
                "(component (import \"wasi:sockets/tcp@0.2.0\" (instance $s)) (export \"fapo:tenant/scorer@0.1.0\" (instance $s)))",
            )
        ),
        (
            "a scorer that wants a model",
            &component(
                "(component (import \"fapo:tenant/provider@0.1.0\" (instance $p)) (export \"fapo:tenant/scorer@0.1.0\" (instance $p)))",
            )
        ),
        ("no component at all", &|b| b.write("tenants/demo_qa/stock.wasm", "hello")),
        ("missing file", &|b| std::fs::remove_file(b.path("tenants/demo_qa/stock.wasm")).expect("removed")),
        ("a package that may not be built", &|b| {
            b.edit("tenants/demo_qa/tenant.toml", "\"tenants/demo_qa/stock.wasm\"", "\"crate\"");
        }),
        ("too large", &|b| b.append("fapo.toml", "\n[limits]\ncomponent_bytes = 1000\n")),
    ]));
}

#[test]
fn model_servers() {
    let mut text = String::new();
    let mut with = |name: &str, origin: &str, further: &str| {
        let bench = Bench::with_index();
        bench.append(
            "fapo.toml",
            &format!(
                "\n[models.far]\nprovider = \"openai\"\norigin = \"{origin}\"\nmodel = \"m\"\nretries_max = 1\nretry_backoff_ms = 1\n{further}"
            ),
        );
        bench.edit("fapo.toml", "[\"demo_script\", \"embedded\"]", "[\"far\"]");
        bench.edit(CONFIG, "\"provider\": \"scripted\"", "\"provider\": \"openai\"");
        bench.edit(
            CONFIG,
            "\"model\": \"scripted\"",
            "\"model\": \"m\", \"max_retries\": 1, \"retry_backoff_seconds\": 0.001",
        );
        let ran = bench.fapo(&["eval", "--config", CONFIG, "--limit", "2"]);
        let faults: String = ran
            .stdout
            .lines()
            .filter(|line| line.starts_with(" fault") || line.starts_with(" hint"))
            .map(|line| format!("{line}\n"))
            .collect();
        let rows: Vec<serde_json::Value> = bench
            .read(&format!("{RUN}/results.jsonl"))
            .lines()
            .map(|row| serde_json::from_str(row).expect("JSON"))
            .collect();
        assert!(rows.iter().all(|row| row["composite_score"] == 0.0 && row["execution_status"] == "failed"));
        let seen = format!("# {name}\nexit {}\n{}{faults}run folder: {}\n\n", ran.code, ran.talk(), bench.listing(RUN));
        text.push_str(&seen.replace(origin, "ORIGIN"));
    };
    let down = FakeServer::start(Answer::Status(200, ""));
    let origin = down.origin();
    drop(down);
    with("down", &origin, "");
    for (name, answer, further) in [
        ("silent", Answer::Silence, "timeout_ms = 50\n"),
        ("nonsense", Answer::Status(200, "<html>hello</html>"), ""),
        ("401", Answer::Status(401, r#"{"error": {"message": "no such key", "code": "invalid_api_key"}}"#), ""),
        ("404", Answer::Status(404, r#"{"error": {"message": "no such model", "code": null}}"#), ""),
        ("500", Answer::Status(500, "oops"), ""),
    ] {
        let server = FakeServer::start(answer);
        with(name, &server.origin(), further);
    }
    snapshot!(text);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_the_same_command_goes_on() {
    let bench = Bench::with_index();
    let full = bench.path(&format!("{RUN}/progress.json.tmp"));
    std::fs::create_dir_all(bench.path(RUN)).expect("made");
    // A device that takes nothing stands where the next file is written.
    std::os::unix::fs::symlink("/dev/full", &full).expect("linked");
    let ran = bench.fapo(&["eval", "--config", CONFIG, "--limit", "5"]);
    std::fs::remove_file(&full).expect("removed");
    snapshot!(format!("exit {}\n{}", ran.code, ran.talk()));
    assert_eq!(bench.fapo(&["eval", "--config", CONFIG, "--limit", "5"]).code, 0);
    assert_eq!(bench.read(&format!("{RUN}/results.jsonl")).lines().count(), 5);
}

#[test]
fn a_second_writer_is_refused() {
    let bench = Bench::with_index();
    std::fs::create_dir_all(bench.path(RUN)).expect("made");
    let lock = std::fs::File::create(bench.path(&format!("{RUN}/lock"))).expect("made");
    lock.lock().expect("locked");
    snapshot!(seen(&bench));
}

#[test]
fn a_run_of_another_identity_stays_as_it_is() {
    let bench = Bench::with_index();
    assert_eq!(bench.fapo(&["eval", "--config", CONFIG, "--limit", "5"]).code, 0);
    bench.edit(PROMPT, "Question:", "The question:");
    snapshot!(seen(&bench));
    let ran = bench.fapo(&["eval", "--config", CONFIG, "--limit", "5", "--fresh"]);
    assert_eq!(ran.code, 0, "--fresh starts over: {}", ran.stderr);
}

#[test]
fn commands_name_what_they_cannot_find() {
    let bench = Bench::new();
    let mut text = String::new();
    for arguments in [
        &["eval"][..],
        &["eval", "--config", "none.json"],
        &["eval", "--config", CONFIG, "--case", "nobody"],
        &["show", "nowhere"],
        &["progress", "nowhere"],
        &["compare", "nowhere", "either"],
        &["tenant", "check", "nobody"],
        &["tenant", "new", "No Name"],
        &["tenant", "new", "demo_qa"],
        &["tenant", "build", "demo_qa"],
        &["tenant", "inspect", "none.wasm"],
        &["index", "build", "nothing"],
        &["data", "import", "nothing", "x.json"],
        &["data", "import", "demo_qa", "x.json"],
        &["score", "--tenant", "tenants/nobody", "--cases", "c", "--outputs", "o", "--output-dir", "d"],
        &["optimize", "nobody"],
        &["adopt", "nowhere"],
        &["reset-tenant", "nobody"],
    ] {
        let ran = bench.fapo(arguments);
        text.push_str(&format!("$ fapo {}\nexit {}\n{}{}\n", arguments.join(" "), ran.code, ran.stdout, ran.stderr));
    }
    snapshot!(text);
}
