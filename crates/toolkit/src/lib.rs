//! One function per verb, `Options -> Report`. Nothing here prints, exits or knows a terminal.
//!
//! | verb | function | report |
//! |---|---|---|
//! | `inspect` | [`inspect::inspect`] | what a source is |
//! | `plan` | [`plan::plan`] | what a conversion would do; writes nothing |
//! | `convert` | [`convert::convert`] | what it did |
//! | `verify` | [`verify::verify`] | whether an archive is whole, or two sets are equal |
//! | `recall` | [`recall::recall`] | whether search still answers the same |
//! | `migrate` | [`migrate::migrate`] | all of it, with a verdict |
//! | `reembed` | [`reembed::reembed`] | what it did, and what the hook did |
//! | `connectors` | [`connectors::connectors`] | the support matrix |

pub mod connectors;
pub mod convert;
mod declared;
pub mod delta_bundle;
pub mod diff;
pub mod inspect;
pub mod merge;
pub mod migrate;
pub mod open;
pub mod plan;
pub mod providers;
pub mod recall;
pub mod reembed;
pub mod sample;
pub mod settings;
pub mod survey;
mod targets;
pub mod verify;

pub use settings::Settings;
pub use tranship_connector::{Error, ErrorKind, Result};
pub use tranship_pipeline::progress;
