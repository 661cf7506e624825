//! Reports as a browser sees them: the figures of `show`, no request, no script, and hostile text that stays text.
//!
//! With `FAPO_BROWSER=1` each page is opened in headless Chromium; without, the files alone are looked at.

use crate::planted::mended_by_a_rule;
use crate::support::{Answer, Bench, FakeServer, say};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Names under which Chromium may be installed.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Ends of hosts that Chromium itself asks in the background, whatever page is open; a report has none of them.
const OWN_HOSTS: [&str; 3] = [".google.com", ".googleapis.com", ".gvt1.com"];

/// The browser, where one is asked for.
fn browser() -> Option<&'static str> {
    if std::env::var_os("FAPO_BROWSER").is_none_or(|value| value != "1") {
        say("not opened in a browser: FAPO_BROWSER is not 1");
        return None;
    }
    let there = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success());
    Some(BROWSERS.into_iter().find(there).expect("FAPO_BROWSER is 1, so chromium is installed"))
}

/// A page as a browser has it once it is loaded; it asked for nothing and said nothing on its console.
fn opened(browser: &str, page: &Path) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("net.json");
    let out = Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync", "--disable-extensions", "--enable-logging=stderr"])
        .args(["--disable-features=OptimizationHints,MediaRouter,DialMediaRouteProvider", "--metrics-recording-only"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("--log-net-log={}", log.display()))
        .arg(format!("--screenshot={}", page.with_extension("png").display()))
        .args(["--window-size=1280,2000", "--virtual-time-budget=2000", "--dump-dom"])
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser starts");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert!(!said.contains("CONSOLE"), "{said}");
    let asked = std::fs::read_to_string(&log).expect("a log");
    let urls = asked.split("\"url\":\"").skip(1).map(|rest| rest.split('"').next().unwrap_or_default());
    let host = |url: &str| url.split('/').nth(2).unwrap_or_default().to_string();
    let own = |url: &str| OWN_HOSTS.iter().any(|suffix| host(url).ends_with(suffix));
    let left: Vec<&str> = urls.filter(|url| url.starts_with("http") && !own(url)).collect();
    assert!(left.is_empty(), "{left:?}");
    String::from_utf8(out.stdout).expect("UTF-8")
}

/// The figure of a name on a page.
fn figure(dom: &str, name: &str) -> String {
    let rest = dom.split(&format!("data-figure=\"{name}\">")).nth(1).unwrap_or_else(|| panic!("no figure {name}"));
    rest.split('<').next().expect("an end").trim().to_string()
}

/// Writes the report of a folder, and the page as a browser has it, or as it stands where there is none.
fn page(bench: &Bench, folder: &str) -> String {
    let ran = bench.fapo(&["report", folder, "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let path = bench.path(ran.line("report")["path"].as_str().expect("a path"));
    let text = std::fs::read_to_string(&path).expect("written");
    for remote in ["<img", "<script", "<link", "<iframe", "@import", "url("] {
        assert!(!text.contains(remote), "{remote} stands in {folder}");
    }
    let dom = browser().map_or(text, |browser| opened(browser, &path));
    if let Some(keep) = std::env::var_os("FAPO_SCREENSHOTS") {
        let name = folder.replace('/', "-");
        let _ = std::fs::copy(path.with_extension("png"), Path::new(&keep).join(format!("{name}.png")));
    }
    dom
}

/// Markup that would run, load and lead away.
fn hostile(origin: &str) -> String {
    format!(
        "<script>document.title='owned'</script><img src=\"{origin}/x.png\" onerror=\"document.title='owned'\"><a href=\"javascript:1\">x</a>"
    )
}

#[test]
fn the_page_of_a_run_has_the_figures_of_show_and_hostile_text_stays_text() {
    let server = FakeServer::start(Answer::Status(404, "no"));
    let bench = Bench::with_index();
    let config = "tenants/demo_qa/configs/validation.json";
    let rule = serde_json::json!({"default": hostile(&server.origin())});
    bench.write("tenants/demo_qa/scripted.jsonl", &format!("{rule}\n"));
    assert_eq!(bench.fapo(&["eval", "--config", config]).code, 0);
    let run = "fapo-work/tenants/demo_qa/evals/tmp/validation-baseline";
    let shown = bench.fapo(&["show", run, "--json"]);
    let (of_run, usage) = (shown.line("run"), shown.line("usage"));
    let dom = page(&bench, run);
    assert_eq!(figure(&dom, "composite"), format!("{:.2}", of_run["composite"]["mean"].as_f64().expect("a mean")));
    for name in ["planned", "completed", "errors"] {
        assert_eq!(figure(&dom, name), of_run[name].to_string(), "{name}");
    }
    assert_eq!(figure(&dom, "calls"), usage["calls"].to_string());
    assert!(
        dom.contains("&lt;script&gt;document.title") || dom.contains("&#60;script&#62;document.title"),
        "it is shown as text"
    );
    assert!(!dom.contains("<title>owned") && dom.contains("<svg"), "and nothing of it ran");
    assert_eq!(server.requests(), 0);
}

fn malicious(asked: &str) -> String {
    if !asked.contains("Propose two to four edits") {
        return r#"{"verdict": "pass", "issues": []}"#.into();
    }
    serde_json::json!({"edits": [{
        "technique": "<script>", "step": "summarise", "hypothesis": hostile("http://127.0.0.1:9"),
        "change": {"prompt": {"module": "summarise",
            "text": "User: SUMMARISE ${question} <script>document.title='owned'</script>\nword for word\n${steps.retrieve.output}\n"}},
    }]})
    .to_string()
}

#[test]
fn the_page_of_a_trial_has_the_figures_of_show_and_what_a_model_proposed_stays_text() {
    let bench = mended_by_a_rule();
    let server = FakeServer::start(Answer::Reply(malicious));
    let origin = server.origin();
    let route =
        format!("\n[models.adviser]\nprovider = \"openai\"\norigin = \"{origin}\"\nmodel = \"m\"\nretries_max = 0\n");
    bench.append("fapo.toml", &route);
    let ran =
        bench.fapo(&["optimize", "demo_qa", "--variants", "12", "--trial", "t", "--proposer", "adviser", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let shown = bench.fapo(&["show", "fapo-work/trials/t", "--json"]).line("trial");
    assert_eq!(shown["calls"], ran.line("trial")["calls"], "replays among them, then and now");
    let dom = page(&bench, "fapo-work/trials/t");
    let mean = |value: &Value| format!("{:.2}", value.as_f64().expect("a mean"));
    assert_eq!(figure(&dom, "selected"), shown["selected"]["variant"].as_str().expect("a name"));
    assert_eq!(figure(&dom, "baseline_test"), mean(&shown["baseline"]["test"]["mean"]));
    assert_eq!(figure(&dom, "selected_test"), mean(&shown["selected"]["test"]["mean"]));
    let difference = shown["difference"]["mean"].as_f64().expect("a mean");
    assert_eq!(figure(&dom, "difference"), format!("{difference:+.2}"));
    assert_eq!(figure(&dom, "paid"), shown["calls"]["paid"].to_string());
    assert_eq!(figure(&dom, "attempts"), shown["attempts"].as_array().expect("attempts").len().to_string());
    assert!(!dom.contains("<title>owned") && dom.matches("<svg").count() == 2, "trajectory and lineage, and no script");
    for split in ["validation", "test"] {
        for row in bench.read(&format!("tenants/demo_qa/datasets/{split}.jsonl")).lines() {
            let row: Value = serde_json::from_str(row).expect("JSON");
            assert!(!dom.contains(row["context"]["question"].as_str().expect("a text")), "{row}");
        }
    }
}

#[test]
fn the_page_of_a_study_has_the_cells_of_its_table() {
    let bench = Bench::new();
    bench.write(
        "study.toml",
        "name = \"one\"\ntrials = 2\nvariants_max = 8\npolicies = [\"paired\", \"paper\"]\n[[models]]\nname = \"s\"\nprovider = \"scripted\"\n[[tenants]]\nid = \"demo_qa\"\n",
    );
    let ran = bench.fapo(&["study", "study.toml"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let dom = page(&bench, "fapo-work/studies/one");
    let table = bench.read("fapo-work/studies/one/study.md");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| demo_qa")).collect();
    assert_eq!((rows.len(), dom.matches("data-row").count()), (2, 2));
    for cell in rows.iter().flat_map(|row| row.trim_matches('|').split(" | ")) {
        assert!(dom.contains(&format!("<td>{}</td>", cell.trim())), "{cell}");
    }
}

#[test]
fn a_folder_that_holds_nothing_is_named() {
    let bench = Bench::new();
    let ran = bench.fapo(&["report", "tenants"]);
    assert!(ran.code == 2 && ran.stderr.contains("tenants") && ran.stderr.contains("holds no run"), "{}", ran.stderr);
}
