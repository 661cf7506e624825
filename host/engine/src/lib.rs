//! Evaluation: concurrency, journal, resume, artefacts
