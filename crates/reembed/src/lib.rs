//! Texts become vectors on the way: a hook of the user's embeds them, a cache keeps what it answered, a source gives them to
//! whatever target.
//!
//! [`fill`](fill::fill) goes over a source once and lets the hook embed every text that the cache lacks; then an [`EmbeddedSource`] wraps the
//! source, with one vector column replaced or added, read from the cache as often as somebody asks. Invariant: after `fill` no call is
//! made, so that surveys, resumed runs and further targets cost nothing. A text that cannot be embedded is a reject with its place.
//!
//! This crate alone starts a program, and only the one that the user names.

pub mod bridge;
pub mod fill;
mod linear;
mod process;
pub mod protocol;
mod recover;
pub mod source;
pub mod space;
pub mod store;
pub mod text;
mod worker;

pub use bridge::{BridgeKind, BridgeOptions, BridgeReport};
pub use fill::{FillContext, FillReport, Filled, HookOptions, fill};
pub use source::{EmbeddedSource, Target};
pub use space::Space;
pub use text::{Missing, Recipe, TooLong};
