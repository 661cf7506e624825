//! Attribution through its public door: each heuristic both sides, the original's table, clusters, and agreement with
//! labels that a person gave.

mod clusters;
mod heuristics;
mod labels;
mod original;
mod rows;
