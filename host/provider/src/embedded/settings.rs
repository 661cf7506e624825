//! How the embedded model answers, checked before its file is read.

use fapo_core::InputError;
use std::path::PathBuf;

/// How the model answers.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddedSettings {
    /// The model's file.
    pub file: PathBuf,
    /// 0..=2; 0 takes the likeliest token each time.
    pub temperature: f64,
    /// Above 0, at most 1: share of the likeliest tokens that is drawn from; all where absent.
    pub top_p: Option<f64>,
    /// Cap on a reply, tokens; a call may lower it.
    pub output_tokens_max: u32,
    /// Base of the sampling seeds; sample n draws with seed + n.
    pub seed: u64,
}

impl EmbeddedSettings {
    pub(super) fn check(&self) -> Result<(), InputError> {
        if !(0.0..=2.0).contains(&self.temperature) {
            return Err(InputError::new("`temperature`", format!("{} is not within 0 and 2", self.temperature)));
        }
        if let Some(top_p) = self.top_p
            && !(top_p > 0.0 && top_p <= 1.0)
        {
            return Err(InputError::new("`top_p`", format!("{top_p} is not above 0 and at most 1")));
        }
        if self.output_tokens_max == 0 {
            return Err(InputError::new("`output_tokens_max`", "is 0"));
        }
        Ok(())
    }
}
