//! What is this: collections, counts, dimensions, metrics, index settings; with `full`, every row accounted for.

use serde::Serialize;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_connector::{CollectionInfo, Count, Error, ErrorKind, OpenOptions, Result, RowLedger};
use tranship_verify::profile::{self, Profile};
use tranship_verify::{Form, Side};

use crate::open;
use crate::settings::Settings;

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct InspectOptions {
    /// Locator.
    pub source: String,
    /// How to open it; a named collection narrows the report.
    pub open: OpenOptions,
    /// Read everything: exact counts, ledger, fingerprint.
    pub full: bool,
}

/// What it is.
#[derive(Debug, Clone, Serialize)]
pub struct InspectReport {
    /// The locator.
    pub source: String,
    /// Who reads it.
    pub connector: &'static str,
    /// The collections.
    pub collections: Vec<InspectedCollection>,
}

/// One collection.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedCollection {
    /// What the files tell without reading records.
    #[serde(flatten)]
    pub info: CollectionInfo,
    /// What reading everything told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<FullInspection>,
    /// Why it could not be read, if others could be looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

impl InspectReport {
    /// True if nothing that was asked for is left unread.
    pub fn is_complete(&self) -> bool {
        self.collections.iter().all(|collection| collection.unread.is_empty())
    }
}

/// The outcome of reading everything.
#[derive(Debug, Clone, Serialize)]
pub struct FullInspection {
    /// raw = live + deleted + superseded + filtered.
    pub ledger: RowLedger,
    /// Fingerprint of all records.
    pub fingerprint: FingerprintSummary,
    /// What the records look like.
    pub profile: Profile,
    /// What that suggests.
    pub findings: Vec<String>,
    /// What else is worth telling.
    pub notes: Vec<String>,
}

/// Looks at a source.
pub fn inspect(options: &InspectOptions, settings: &Settings<'_>) -> Result<InspectReport> {
    let (connector, mut infos) = open::list(&options.source, &options.open)?;
    if let Some(wanted) = &options.open.collection {
        let opened = open::source(&options.source, &options.open)?;
        let name = opened.source.schema().name.clone();
        infos.retain(|info| &info.name == wanted || info.schema.name == name);
    }
    let is_alone = infos.len() == 1;
    let mut collections = Vec::new();
    for mut info in infos {
        let (mut full, mut unread) = (None, Vec::new());
        if options.full {
            match read_all(options, &info, settings) {
                Ok(found) => {
                    info.records = Count::Exact(found.fingerprint.records);
                    full = Some(found);
                }
                Err(error) if !is_alone && concerns_one(&error) => unread = reasons(&error),
                Err(error) => return Err(error),
            }
        }
        collections.push(InspectedCollection { info, full, unread });
    }
    Ok(InspectReport { source: options.source.clone(), connector: connector.name, collections })
}

/// True if the error may be this collection's alone, so that the others are still looked at.
fn concerns_one(error: &Error) -> bool {
    use ErrorKind::{Damaged, Limit, LossDenied, NotRecognised, TooManyRejects, Usage};
    matches!(error.kind(), Damaged | Limit | LossDenied | NotRecognised | TooManyRejects | Usage)
}

fn reasons(error: &Error) -> Vec<String> {
    let next = error.next_step().map(|hint| format!("next: {hint}"));
    [format!("{}: {error}", error.kind().code())].into_iter().chain(next).collect()
}

fn read_all(options: &InspectOptions, info: &CollectionInfo, settings: &Settings<'_>) -> Result<FullInspection> {
    let open_options = OpenOptions { collection: Some(info.name.clone()), ..options.open.clone() };
    let opened = open::source(&options.source, &open_options)?;
    let scratch = settings.scratch()?;
    let prepared = open::prepare(
        &*opened.source,
        settings.prepare_bytes(),
        tranship_connector::source::SPLIT_BYTES,
        scratch.path(),
    )?;
    let (set, profile) = profile::read(&Side::new(&opened.label, &*prepared, Form::AsRead), settings.engine())?;
    let before = prepared.left_out().and_then(|left_out| left_out.live);
    let filtered = before.map_or(0, |live| live.saturating_sub(set.records()));
    let ledger = RowLedger { live: Some(set.records()), filtered, ..prepared.ledger() };
    let findings = profile.findings();
    Ok(FullInspection { ledger, fingerprint: set.summary(), profile, findings, notes: prepared.notes() })
}
