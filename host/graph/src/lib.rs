//! Chain graphs as data: types, static checks, the execution rule.
//!
//! Pure: the host reviews a graph with the code that a guest executes it with. Running a node, calling a model and
//! reading files are left to others.

pub mod check;
pub mod execute;
pub mod grants;
pub mod reach;
pub mod schema;
pub mod scripts;
pub mod settings;
mod types;

pub use check::{GraphProblem, PromptNames, check, check_catalogue};
pub use execute::{ExecuteError, Execution, answer};
pub use grants::{handles, ungranted};
pub use settings::resolve_settings;
pub use types::*;
