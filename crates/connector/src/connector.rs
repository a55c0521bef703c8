//! One static [`Connector`] per provider or format, and the registry that the toolkit fills.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use tranship_collection::{CollectionSchema, Metric};
use tranship_storage::Limits;

use crate::error::{Error, Result};
use crate::locator::Locator;
use crate::nearby;
use crate::sink::Sink;
use crate::source::Source;
use crate::transforms::Transforms;

/// How sure a probe is, 1 (the name looks right) to 100 (magic and structure fit).
pub type Score = u8;

/// One provider or format.
pub struct Connector {
    /// The name before the colon.
    pub name: &'static str,
    /// One line on what it is.
    pub about: &'static str,
    /// File extensions, without dot.
    pub extensions: &'static [&'static str],
    /// What it can do.
    pub capabilities: Capabilities,
    /// What `--option KEY=VALUE` takes when it is read.
    pub options: &'static [SourceOption],
    /// What `--target-option KEY=VALUE` takes when it is written.
    pub target_options: &'static [SourceOption],
    /// Looks at a path without changing it; `None` if it is something else.
    pub probe: fn(&Path) -> Option<Score>,
    /// The collections in a locator.
    pub list: Option<fn(&Locator, &OpenOptions) -> Result<Vec<CollectionInfo>>>,
    /// Opens one collection.
    pub open: Option<fn(&Locator, &OpenOptions) -> Result<Box<dyn Source>>>,
    /// Creates an output.
    pub create: Option<fn(&Locator, &CreateOptions) -> Result<Box<dyn Sink>>>,
}

/// What a connector can carry, as data: shown by `connectors`, checked by the conformance suite.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Capabilities {
    /// What it reads, in a few words; empty if nothing.
    pub reads: &'static str,
    /// What it writes, in a few words; empty if nothing.
    pub writes: &'static str,
    /// Element and shape of vectors that survive bit for bit.
    pub vectors: &'static str,
    /// Ids that survive as they are.
    pub ids: &'static str,
    /// Metadata that survives by value.
    pub metadata: &'static str,
    /// True if more than one collection can lie in one place.
    pub several_collections: bool,
    /// True if what it writes is a bundle: files for a provider's own bulk import, with `load.sh`.
    pub bundles: bool,
    /// The real engine that the tests run it against.
    pub proven_with: &'static str,
    /// What it reads, version by version, and how that is known.
    pub covers: &'static [Coverage],
}

/// One kind of file that a connector reads.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Coverage {
    /// The format, with the versions of its producer.
    pub what: &'static str,
    /// How it is known that it is read right.
    pub known: Known,
    /// The test that shows it, or what is not read.
    pub note: &'static str,
}

/// How something is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// The tests make a dump with the engine and compare with its own answer.
    AgainstEngine,
    /// The tests read a stored dump of the real engine and compare with its answer.
    StoredDump,
    /// Written after the format's description; no real file was at hand.
    SheetOnly,
    /// Recognised and refused, with the reason.
    Refused,
}

/// An option of one connector, when it reads or when it writes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SourceOption {
    /// The key.
    pub key: &'static str,
    /// What it means, what values it takes and what it is by default.
    pub about: &'static str,
}

/// How a source is opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Which of several collections.
    pub collection: Option<String>,
    /// Name of the id column or key, for foreign files.
    pub id_column: Option<String>,
    /// Name of the vector column or key, for foreign files.
    pub vector_column: Option<String>,
    /// Name of the document column or key, for foreign files.
    pub document_column: Option<String>,
    /// Metric of the vectors, for sources that declare none.
    pub metric: Option<Metric>,
    /// Read although the source is locked, changing or unclean.
    pub allow_inconsistent: bool,
    /// Read what the dump holds only approximately (quantised vectors, doubles that no f32 holds); noted in the schema.
    pub allow_lossy: bool,
    /// Options of the one connector, by key.
    pub options: BTreeMap<String, String>,
    /// What is changed of the records while they are read; carried out around the connector's source, not by it.
    pub transforms: Transforms,
    /// Digest whole input files, not only their edges.
    pub hash_source: bool,
    /// Bounds on foreign lengths.
    pub limits: Limits,
}

/// How a sink is created.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// Name of the collection at the target; the source's own by default.
    pub collection: Option<String>,
    /// Payload key that documents go under, where the target has no document field.
    pub document_key: Option<String>,
    /// Write for readers without BYTE_STREAM_SPLIT.
    pub plain_encoding: bool,
    /// Codes of losses that the user accepts.
    pub allow_loss: Vec<String>,
    /// Options of the one connector, by key.
    pub options: BTreeMap<String, String>,
}

/// One collection of a source, as far as it can be told without reading records.
#[derive(Debug, Clone, Serialize)]
pub struct CollectionInfo {
    /// Name to give to `--collection`.
    pub name: String,
    /// Number of records.
    pub records: Count,
    /// Its schema as far as known.
    pub schema: CollectionSchema,
    /// Producer and version, if the files tell.
    pub producer: Option<String>,
    /// What is worth telling: what cannot be read, what is unclean.
    pub notes: Vec<String>,
}

impl Known {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Known::AgainstEngine => "against the engine",
            Known::StoredDump => "stored dump",
            Known::SheetOnly => "description only",
            Known::Refused => "refused",
        }
    }
}

impl OpenOptions {
    /// The option `key` of the connector.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }
}

impl Connector {
    /// Fails if `options` holds a key that this connector does not know when it reads.
    pub fn check_options(&self, options: &OpenOptions) -> Result<()> {
        self.check_keys(self.options, &options.options)
    }

    /// Fails if `options` holds a key that this connector does not know when it writes.
    pub fn check_target_options(&self, options: &CreateOptions) -> Result<()> {
        self.check_keys(self.target_options, &options.options)
    }

    fn check_keys(&self, known: &[SourceOption], given: &BTreeMap<String, String>) -> Result<()> {
        let is_known = |key: &str| known.iter().any(|option| option.key == key);
        let Some(key) = given.keys().find(|key| !is_known(key)) else { return Ok(()) };
        let names: Vec<&str> = known.iter().map(|option| option.key).collect();
        let hint = match names.as_slice() {
            [] => "it takes none".to_owned(),
            names => format!("it takes {}", names.join(", ")),
        };
        Err(Error::usage(format!("`{}` has no option `{key}`", self.name)).hint(hint))
    }
}

/// A count and how far to trust it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "certainty", content = "count", rename_all = "snake_case")]
pub enum Count {
    /// Exactly this many.
    Exact(u64),
    /// At most this many.
    UpTo(u64),
    /// Only reading will tell.
    Unknown,
}

/// The connectors of this build.
pub struct Registry {
    /// In the order in which they are listed.
    pub connectors: Vec<&'static Connector>,
}

impl Registry {
    /// The connector called `name`.
    pub fn get(&self, name: &str) -> Option<&'static Connector> {
        self.connectors.iter().copied().find(|connector| connector.name == name)
    }

    /// The connector for a locator: by name, else the best probe. A tie is an error that lists the candidates.
    pub fn resolve(&self, locator: &Locator) -> Result<&'static Connector> {
        if let Some(name) = &locator.provider {
            return self.get(name).ok_or_else(|| self.unknown(name));
        }
        let path = &locator.path;
        if !locator.is_stream() && path.symlink_metadata().is_err() {
            return Err(Error::new(crate::ErrorKind::Io, format!("there is nothing at {}", path.display()))
                .hint("check the path"));
        }
        let mut scored: Vec<_> =
            self.connectors.iter().filter_map(|c| (c.probe)(path).map(|score| (score, *c))).collect();
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        match scored.as_slice() {
            [] => Err(Error::not_recognised(format!("nobody recognises {}", path.display()))
                .hint(nearby::next_step(self, path))),
            [(first, a), (second, b), ..] if first == second => {
                Err(Error::not_recognised(format!("{} could be {} or {}", path.display(), a.name, b.name))
                    .hint(format!("say which, as in {}:{}", a.name, path.display())))
            }
            [(_, best), ..] => Ok(best),
        }
    }

    fn names(&self) -> Vec<&'static str> {
        self.connectors.iter().map(|c| c.name).collect()
    }

    fn unknown(&self, name: &str) -> Error {
        Error::usage(format!("there is no connector `{name}`")).hint(format!("known: {}", self.names().join(", ")))
    }
}
