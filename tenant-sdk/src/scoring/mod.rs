//! Comparing a prediction with a gold answer, as the reference scorers do.
//!
//! Where the reference implementations differ, a tenant says which one it means: see [`Metric`].

mod answer;
mod evidence;
mod label;
mod number;
mod text;
mod unicode;

pub use answer::{Metric, exact_match, f1_points, normalise, token_f1, without_articles};
pub use evidence::{evidence_feedback, gold_titles};
pub use label::{bare_label, contains, label_of};
pub use number::{numbers, numbers_equal, whole_number};
pub use text::{decimal_digit, is_python_space, is_word};
