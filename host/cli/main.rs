//! The `fapo` binary: arguments in, results on stdout, talk on stderr.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the one place that prints")]

use clap::{Parser, Subcommand};
use fapo::guests;
use fapo::wiring::{EvalOptions, Evaluated, eval};
use fapo_core::InputError;
use fapo_core::names::shown;
use fapo_core::run::CaseRecord;
use fapo_core::stats::composite_estimate;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Evaluates LLM pipelines whose chains and scorers run in a WebAssembly sandbox.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Evaluate what a config says; the same command again continues or prints.
    ///
    /// Example: fapo eval --config tenants/demo_qa/configs/validation.json --limit 5
    Eval {
        /// The eval config.
        #[arg(long)]
        config: PathBuf,
        /// Only the first cases.
        #[arg(long)]
        limit: Option<usize>,
        #[command(flatten)]
        place: Place,
    },
    /// Build the guests, then evaluate the tenant `demo_qa` with the scripted provider and show one case.
    ///
    /// Example: fapo demo
    Demo {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(clap::Args)]
struct Place {
    /// Where paths of configs start.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// The operator's file: which models and indexes tenants may use.
    #[arg(long, default_value = "fapo.toml")]
    operator: PathBuf,
    /// Where runs, indexes and caches go.
    #[arg(long, default_value = "fapo-work")]
    work: PathBuf,
    /// One JSON object a line on stdout.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("error: {e}");
            return ExitCode::from(3);
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(errors) => ExitCode::from(if errors == 0 { 0 } else { 5 }),
        Err(e) => {
            eprintln!("error: {}", shown(&e.to_string()));
            if let Some(hint) = e.hint {
                eprintln!("hint: {}", shown(&hint));
            }
            ExitCode::from(2)
        }
    }
}

/// Cases with a fault.
async fn run(command: Command) -> Result<usize, InputError> {
    let (place, config, limit, demo) = match command {
        Command::Eval { config, limit, place } => (place, config, limit, false),
        Command::Demo { place } => {
            guests::install_target()?;
            eprintln!("building the stock component for wasm32-wasip2 (about a minute the first time)");
            (place, PathBuf::from("tenants/demo_qa/configs/validation.json"), None, true)
        }
    };
    let config = if demo { place.root.join(config) } else { config };
    let operator = if demo { place.root.join(&place.operator) } else { place.operator };
    let options = EvalOptions { root: place.root, config, operator, work: place.work, limit, scorer: None };
    let json_lines = place.json;
    let done = eval(&options, &move |record: &CaseRecord| {
        if json_lines {
            let status = if record.fault.is_some() { "failed" } else { "succeeded" };
            println!(
                "{}",
                json!({"kind": "case", "case_id": record.case_id, "status": status, "composite": record.composite()})
            );
        }
    })
    .await?;
    let errors = done.report.records.iter().filter(|r| r.fault.is_some()).count();
    print_run(&done, errors, json_lines);
    if demo && !json_lines {
        print_case(&done);
    }
    Ok(errors)
}

fn print_run(done: &Evaluated, errors: usize, json_lines: bool) {
    let records = &done.report.records;
    let composites: Vec<f64> = records.iter().map(CaseRecord::composite).collect();
    let estimate = composite_estimate(&composites);
    if json_lines {
        println!(
            "{}",
            json!({"kind": "run", "run_id": done.report.run_id, "planned": records.len(), "completed": records.len(), "errors": errors,
                   "composite": {"mean": estimate.map(|e| e.mean), "ci": estimate.and_then(|e| e.ci)},
                   "dir": done.folder.display().to_string()})
        );
        return;
    }
    println!(
        "cases      {} planned, {errors} with a fault, {} from an earlier start",
        records.len(),
        done.report.resumed
    );
    if let Some(e) = estimate {
        let ci = e.ci.map_or(String::new(), |[lo, hi]| format!("  (95% interval {lo:.1} to {hi:.1})"));
        println!("composite  {:.2}{ci}", e.mean);
    }
    for (name, mean) in fapo_engine::artifacts::breakdown_averages(records) {
        println!("  {:<12} {mean:.2}", shown(&name));
    }
    let calls: usize = records.iter().map(|r| r.calls.len()).sum();
    println!("calls      {calls}");
    println!("folder     {}", done.folder.display());
}

/// The first case below 100, in full.
fn print_case(done: &Evaluated) {
    let Some(record) = done.report.records.iter().find(|r| r.composite() < 100.0) else {
        return;
    };
    println!("\ncase {} scored {:.0}", shown(&record.case_id), record.composite());
    for timed in &record.steps {
        println!("  step {}: {}", shown(&timed.step.id.node), shown(timed.step.main_output()).replace('\n', "\n    "));
    }
    for message in record.calls.iter().flat_map(|c| &c.messages) {
        println!("  prompt ({:?}): {}", message.role, shown(&message.content).replace('\n', "\n    "));
    }
    if let Some(score) = &record.score {
        println!("  scorer: {}", shown(&score.feedback));
    }
    println!("  fuel: chain {}, scorer {}", record.chain_use.fuel, record.scorer_use.fuel);
}
