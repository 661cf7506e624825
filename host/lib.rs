//! FAPO: wiring and commands.
