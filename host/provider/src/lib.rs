//! Talks to models. In this version one provider: [`Scripted`], which answers by rules from a file.

mod scripted;

pub use scripted::Scripted;
