//! The command line: one file a command, one table of them all.

mod adopt;
mod attribute;
mod capabilities;
mod compare;
mod compile_component;
mod data_import;
mod demo;
mod diff;
mod doctor;
mod epochs;
mod eval;
mod export;
mod gate;
mod index_build;
mod index_search;
mod interventions;
mod limits;
pub mod lines;
mod live;
mod model;
mod noise;
mod optimize;
mod page;
mod printer;
mod progress;
mod providers;
mod replay;
mod report;
mod reset_tenant;
mod score;
mod show;
mod start_cost;
mod study;
mod tenant_build;
mod tenant_check;
mod tenant_inspect;
mod tenant_layout;
mod tenant_new;
mod tenant_test;
mod trial_report;

use crate::place::{Place, UserFolders};
use crate::telemetry::Telemetry;
use clap::{Args, Parser, Subcommand};
use fapo_core::InputError;
use printer::Printer;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Everything was done.
    Done = 0,
    /// A check or a gate did not pass.
    Failed = 1,
    /// A budget or a quota is spent; the same command continues.
    Budget = 4,
    /// Some cases have a fault, or the run was stopped; the same command continues.
    Partial = 5,
}

/// Exit code of bad input.
const EXIT_INPUT: u8 = 2;
/// Exit code of a fault of the program itself.
const EXIT_INTERNAL: u8 = 3;

/// Evaluates LLM pipelines whose chains and scorers run in a WebAssembly sandbox.
#[derive(Parser)]
#[command(
    name = "fapo",
    version,
    after_help = "Exit codes: 0 done, 1 a check failed, 2 wrong usage or input, 3 internal, 4 budget or quota spent, 5 partial.\n\
                  Example: fapo demo"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    globals: Globals,
}

#[derive(Args)]
struct Globals {
    /// Repository root: holds `tenants/`, and paths inside configs count from it.
    #[arg(long, global = true, default_value = ".", value_name = "DIR")]
    root: PathBuf,
    /// The operator's file: which models and indexes tenants may use [default: fapo.toml in the root, else
    /// fapo/fapo.toml in the user's configuration folder].
    #[arg(long, global = true, value_name = "FILE")]
    operator: Option<PathBuf>,
    /// Where runs, indexes and caches go.
    #[arg(long, global = true, default_value = "fapo-work", value_name = "DIR")]
    work: PathBuf,
    /// One JSON object a line on stdout; see `fapo schema`.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Demo),
    Eval(eval::Eval),
    Optimize(optimize::Optimize),
    Study(study::RunStudy),
    Adopt(adopt::Adopt),
    Diff(diff::Diff),
    Score(score::ScoreOutputs),
    Show(show::Show),
    Replay(replay::ReplayRun),
    Attribute(attribute::Attribute),
    Progress(progress::Progress),
    Compare(compare::Compare),
    Noise(noise::Noise),
    Gate(gate::GateRun),
    Export(export::Export),
    Report(page::WriteReport),
    /// Make, build, check, inspect and test tenants.
    #[command(subcommand)]
    Tenant(Tenant),
    /// Build and search indexes.
    #[command(subcommand)]
    Index(Index),
    /// Import datasets.
    #[command(subcommand)]
    Data(Data),
    /// Fetch, list and remove the embedded model.
    #[command(subcommand)]
    Model(model::Model),
    Doctor(doctor::Doctor),
    ResetTenant(reset_tenant::ResetTenant),
    /// Print the JSON schema of the lines that `--json` prints.
    #[command(after_help = "Example: fapo schema > cli-lines.schema.json")]
    Schema,
    Limits(limits::LimitsTable),
    Providers(providers::Providers),
    #[command(hide = true)]
    CompileComponent(compile_component::CompileComponent),
}

#[derive(Subcommand)]
enum Tenant {
    New(tenant_new::New),
    Build(tenant_build::Build),
    Check(tenant_check::Check),
    Inspect(tenant_inspect::Inspect),
    Test(tenant_test::Test),
}

#[derive(Subcommand)]
enum Index {
    Build(index_build::Build),
    Search(index_search::Search),
}

#[derive(Subcommand)]
enum Data {
    Import(data_import::Import),
}

/// Runs the program with its arguments.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no errors; clap prints either.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { EXIT_INPUT } else { 0 });
        }
    };
    let printer = Printer::new(cli.globals.json);
    let mut place = Place::new(cli.globals.root, cli.globals.operator, cli.globals.work, user_folders());
    if let Command::CompileComponent(compile) = &cli.command {
        return compile.run(printer);
    }
    place.compiler = match std::env::current_exe() {
        Ok(program) => Some(program),
        Err(e) => {
            // Compiling here instead would leave the limits on it out.
            printer.error(&InputError::new("this program's own file, which compiles components apart", e.to_string()));
            return ExitCode::from(EXIT_INTERNAL);
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(e) => {
            printer.error(&InputError::new("the asynchronous runtime", e.to_string()));
            return ExitCode::from(EXIT_INTERNAL);
        }
    };
    let telemetry = match Telemetry::begin() {
        Ok(telemetry) => telemetry,
        Err(e) => {
            printer.error(&e);
            return ExitCode::from(EXIT_INPUT);
        }
    };
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(dispatch(cli.command, &place, printer))
    }));
    // Blocking work that a stopped command left behind is not waited for.
    runtime.shutdown_background();
    drop(telemetry);
    match ended {
        Ok(Ok(exit)) => ExitCode::from(exit as u8),
        Ok(Err(e)) => {
            printer.error(&e);
            ExitCode::from(EXIT_INPUT)
        }
        // The panic's own message is on stderr already.
        Err(_) => {
            printer.error(
                &InputError::new("fapo", "a fault of the program itself; its message stands above")
                    .hint("please report it; finished cases are journalled and the same command continues"),
            );
            ExitCode::from(EXIT_INTERNAL)
        }
    }
}

async fn dispatch(command: Command, place: &Place, printer: Printer) -> Result<Exit, InputError> {
    match command {
        Command::Demo(demo) => demo.run(place, printer).await,
        Command::Eval(eval) => eval.run(place, printer).await,
        Command::Optimize(optimize) => optimize.run(place, printer).await,
        Command::Study(study) => study.run(place, printer).await,
        Command::Adopt(adopt) => adopt.run(place, printer),
        Command::Diff(diff) => diff.run(printer),
        Command::Score(score) => score.run(place, printer).await,
        Command::Show(show) => show.run(place, printer),
        Command::Replay(replay) => replay.run(place, printer).await,
        Command::Attribute(attribute) => attribute.run(place, printer).await,
        Command::Progress(progress) => progress.run(place, printer),
        Command::Noise(noise) => noise.run(place, printer).await,
        Command::Gate(gate) => gate.run(place, printer),
        Command::Export(export) => export.run(place, printer),
        Command::Report(report) => report.run(place, printer),
        Command::Compare(compare) => compare.run(place, printer),
        Command::Tenant(Tenant::New(new)) => new.run(place, printer),
        Command::Tenant(Tenant::Build(build)) => build.run(place, printer),
        Command::Tenant(Tenant::Check(check)) => check.run(place, printer).await,
        Command::Tenant(Tenant::Inspect(inspect)) => inspect.run(place, printer),
        Command::Tenant(Tenant::Test(test)) => test.run(place, printer).await,
        Command::Index(Index::Build(build)) => build.run(place, printer),
        Command::Index(Index::Search(search)) => search.run(place, printer),
        Command::Data(Data::Import(import)) => import.run(place, printer).await,
        Command::Model(model) => model.run(place, printer),
        Command::Doctor(doctor) => doctor.run(place, printer),
        Command::ResetTenant(reset) => reset.run(place, printer),
        Command::Limits(limits) => limits.run(place, printer),
        Command::Providers(providers) => providers.run(printer),
        Command::CompileComponent(_) => Ok(Exit::Done),
        Command::Schema => {
            Printer::new(false).text(&format!("{:#}", lines::schema()));
            Ok(Exit::Done)
        }
    }
}

/// The user's folders, as the desktop standard has them.
fn user_folders() -> UserFolders {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |inner: &str| set("HOME").map(|home| home.join(inner));
    UserFolders {
        config: set("XDG_CONFIG_HOME").or_else(|| home(".config")),
        cache: set("XDG_CACHE_HOME").or_else(|| home(".cache")),
    }
}
