//! The Chroma reader against dumps of real Chroma and the truth that its API told, and against damaged ones.
#![allow(clippy::disallowed_methods)]

mod bundle;
mod fixtures;
mod hostile;
mod messages;
mod queue;
mod truth;
mod untouched;
