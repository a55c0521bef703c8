//! From the text of a locator to a source or a sink.

use tranship_connector::{
    CollectionInfo, Connector, CreateOptions, Error, ErrorKind, Locator, OpenOptions, PrepareContext, Prepared,
    Registry, Result, Sink, Source,
};

use tranship_storage::Compression;

use crate::declared::{declare, with_metric};
use crate::providers::registry;

/// A source that was found and opened.
pub struct Opened {
    /// The locator's text, for messages.
    pub label: String,
    /// Who reads it.
    pub connector: &'static Connector,
    /// True for a compressed file, whose splits hold more bytes than it does.
    pub compressed: bool,
    /// The collection.
    pub source: Box<dyn Source>,
}

/// Opens the one collection that `text` and `options` name.
pub fn source(text: &str, options: &OpenOptions) -> Result<Opened> {
    let (locator, connector) = resolve(text)?;
    connector.check_options(options)?;
    let open = connector.open.ok_or_else(|| not_offered(connector, "read"))?;
    let source = open(&locator, options)?;
    let source = match options.metric {
        Some(metric) => with_metric(source, metric)?,
        None => source,
    };
    let source = tranship_transform::wrap(source, &options.transforms)?;
    let compressed = locator.path.is_file() && Compression::of_file(&locator.path)? != Compression::None;
    Ok(Opened { label: text.to_owned(), connector, compressed, source })
}

/// Who reads what lies at `text`.
pub fn connector(text: &str) -> Result<&'static Connector> {
    resolve(text).map(|(_, connector)| connector)
}

/// The collections that lie at `text`.
pub fn list(text: &str, options: &OpenOptions) -> Result<(&'static Connector, Vec<CollectionInfo>)> {
    let (locator, connector) = resolve(text)?;
    connector.check_options(options)?;
    let list = connector.list.ok_or_else(|| not_offered(connector, "read"))?;
    let mut infos = list(&locator, options)?;
    if let Some(metric) = options.metric {
        infos.iter_mut().for_each(|info| declare(&mut info.schema, metric));
    }
    for info in &mut infos {
        tranship_transform::declare(info, &options.transforms)?;
    }
    Ok((connector, infos))
}

/// Creates the sink that `text` names: by connector, else by the path's extension.
pub fn sink(text: &str, options: &CreateOptions) -> Result<(&'static Connector, Box<dyn Sink>)> {
    let registry = registry();
    let locator = Locator::parse(text, &registry);
    check_path(&locator)?;
    let connector = match &locator.provider {
        Some(_) => registry.resolve(&locator)?,
        None => by_extension(&registry, &locator)?,
    };
    let create = connector.create.ok_or_else(|| not_offered(connector, "written"))?;
    connector.check_target_options(options)?;
    Ok((connector, create(&locator, options)?))
}

/// Prepares a source with this run's memory.
pub fn prepare<'a>(
    source: &'a dyn Source,
    memory_bytes: u64,
    split_bytes: u64,
    scratch: &std::path::Path,
) -> Result<Box<dyn Prepared + 'a>> {
    source.prepare(&PrepareContext { memory_bytes, split_bytes, scratch })
}

fn resolve(text: &str) -> Result<(Locator, &'static Connector)> {
    let registry = registry();
    let locator = Locator::parse(text, &registry);
    if locator.is_stream() && locator.provider.is_none() {
        return Err(Error::usage("standard input needs a format").hint("name it, as in jsonl:-"));
    }
    check_path(&locator)?;
    refuse_delta(&locator)?;
    let connector = registry.resolve(&locator)?;
    if !locator.is_stream() && locator.path.symlink_metadata().is_err() {
        return Err(
            Error::new(ErrorKind::Io, format!("there is nothing at {}", locator.path.display())).hint("check the path")
        );
    }
    Ok((locator, connector))
}

/// A delta is no set of records: taken for one, it would show only what changed.
fn refuse_delta(locator: &Locator) -> Result<()> {
    let path = locator.path.display();
    match !locator.is_stream() && locator.path.join(tranship_verify::delta::DELTA).is_file() {
        false => Ok(()),
        true => {
            Err(Error::usage(format!("{path} is a delta: what changed between two sets, and not a set")).hint(format!(
                "apply it first: tranship apply BASE {path} archive:NEW.tranship; or write it for a database: \
             tranship convert {path} PROVIDER:DIR --onto BUNDLE; its records alone are archive:{path}/upserts.tranship"
            )))
        }
    }
}

fn by_extension(registry: &Registry, locator: &Locator) -> Result<&'static Connector> {
    let name = locator.path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.trim_end_matches(".zst").trim_end_matches(".gz");
    let fits = |connector: &&&'static Connector| {
        connector.create.is_some()
            && connector.extensions.iter().any(|extension| stem.ends_with(&format!(".{extension}")))
    };
    registry.connectors.iter().find(fits).copied().ok_or_else(|| {
        let names: Vec<&str> = registry.connectors.iter().filter(|c| c.create.is_some()).map(|c| c.name).collect();
        Error::usage(format!("{} does not say what to write", locator.path.display())).hint(format!(
            "name the format, as in {}:{}",
            names.join("|"),
            locator.path.display()
        ))
    })
}

/// The path of a locator that says where; `chroma:` alone does not.
pub fn check_path(locator: &Locator) -> Result<()> {
    if locator.path.as_os_str().is_empty() {
        return Err(Error::usage(format!("`{locator}` names no path"))
            .hint(format!("put one behind the colon, as in {locator}./NAME")));
    }
    Ok(())
}

fn not_offered(connector: &Connector, what: &str) -> Error {
    Error::usage(format!("`{}` cannot be {what}", connector.name)).hint("`tranship connectors` shows what can")
}
