//! Reads JSONL: plain files by byte ranges, compressed files and pipes through one producer.
//!
//! Invariant: a split begins at the beginning of a line and ends after a newline (or at the end of the input), at
//! places that depend on the input and the target size alone. A plain file is cut every `split_bytes` bytes, a stream
//! every [`STREAM_SPLIT_BYTES`] decompressed bytes.
//!
//! Errors: damaged (a compressed frame that is broken or cut short; an input that ends within a record), limit (a line
//! that is too long), usage (standard input read twice). Everything about one record is a reject with its place.

use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use serde::de::IgnoredAny;
use tranship_collection::{BatchBuilder, CollectionSchema};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{
    Batches, Error, ErrorKind, OpenOptions, PrepareContext, Prepared, Reject, RejectSink, Result, RowLedger, Source,
    Split, Splits,
};
use tranship_storage::{Compression, InputFile, Limits, SourceIdentity, open_stream};

use crate::decode::{RecordDecoder, Refusal};
use crate::dialect::{Reading, Translated};
use crate::infer::{Inferred, SAMPLE_BYTES, infer};
use crate::line::{Line, LineReader, without_bom};
use crate::record::Keys;
use crate::split::{FileSplits, StreamSplits};

/// Records longer than this are not repeated in their reject, bytes.
const REPLAYABLE_BYTES: usize = 1 << 20;

/// A JSONL file or pipe.
pub struct JsonlSource {
    path: PathBuf,
    compression: Compression,
    keys: Keys,
    inferred: Inferred,
    limits: Limits,
    hash_source: bool,
    /// How records are found in an export of others; `None` for generic lines.
    reading: Option<Reading>,
    /// Standard input with the sample put back in front, until it is read.
    pipe: Mutex<Option<Box<dyn Read + Send>>>,
}

impl JsonlSource {
    /// Opens `path` (`-` is standard input) and infers the schema from its first records.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let is_pipe = path == Path::new("-");
        let name = collection_name(path);
        if let Some(asked) = options.collection.as_ref().filter(|asked| **asked != name) {
            return Err(Error::usage(format!("there is no collection `{asked}` in {}", path.display()))
                .hint(format!("leave out --collection: the file holds one, `{name}`")));
        }
        let compression = if is_pipe { Compression::None } else { Compression::of_file(path)? };
        let keys = keys(options);
        let mut stream = open_stream(path)?;
        let limits = &options.limits;
        let mut sample = read_sample(&mut stream, limits.max_line_bytes).map_err(|e| input_error(path, 0, e))?;
        complete_page(&mut stream, &mut sample, limits.max_page_bytes).map_err(|e| input_error(path, 0, e))?;
        let reading = Reading::find(&sample, options).map_err(|e| e.with("file", path.display()))?;
        let keys = if reading.is_some() { Keys::default() } else { keys };
        let translated = match &reading {
            None => None,
            Some(reading) => Some(sample_lines(&sample, reading, limits).map_err(|e| input_error(path, 0, e))?),
        };
        let lines = without_bom(translated.as_ref().unwrap_or(&sample)).split(|byte| *byte == b'\n');
        let inferred = infer(&name, lines, &keys, limits.max_dim);
        let pipe: Option<Box<dyn Read + Send>> =
            if is_pipe { Some(Box::new(Cursor::new(sample).chain(stream))) } else { None };
        Ok(JsonlSource {
            path: path.to_owned(),
            compression,
            keys,
            inferred,
            limits: options.limits.clone(),
            hash_source: options.hash_source,
            reading,
            pipe: Mutex::new(pipe),
        })
    }

    fn is_pipe(&self) -> bool {
        self.path == Path::new("-")
    }

    fn is_sequential(&self) -> bool {
        self.is_pipe() || self.compression != Compression::None || self.reading.is_some()
    }

    fn stream(&self) -> Result<Box<dyn Read + Send>> {
        let raw = self.raw_stream()?;
        Ok(match &self.reading {
            None => raw,
            Some(reading) => Box::new(Translated::new(raw, reading.clone(), &self.limits)),
        })
    }

    fn raw_stream(&self) -> Result<Box<dyn Read + Send>> {
        if !self.is_pipe() {
            return Ok(open_stream(&self.path)?);
        }
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(|| {
            Error::usage("standard input can be read only once").hint("put it into a file and read that instead")
        })
    }
}

impl Source for JsonlSource {
    fn schema(&self) -> &CollectionSchema {
        &self.inferred.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        if self.is_pipe() {
            return Ok(SourceIdentity::default());
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(SourceIdentity::of(&[(self.path.clone(), name)], self.hash_source)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        let file = if self.is_sequential() { None } else { Some(InputFile::open(&self.path)?) };
        Ok(Box::new(JsonlPrepared { source: self, file, split_bytes: context.split_bytes.max(1) }))
    }
}

struct JsonlPrepared<'a> {
    source: &'a JsonlSource,
    /// The file, if it can be read by ranges.
    file: Option<InputFile>,
    split_bytes: u64,
}

impl Prepared for JsonlPrepared<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.source.inferred.schema
    }

    fn ledger(&self) -> RowLedger {
        RowLedger::default()
    }

    fn notes(&self) -> Vec<String> {
        let inferred = &self.source.inferred;
        let mut notes = self.source.reading.as_ref().map_or_else(Vec::new, |reading| reading.notes.clone());
        notes.push(format!("schema inferred from the first {} records", inferred.records));
        if inferred.ordinal_ids {
            notes.push("the records have no ids: their row numbers from 0 stand in".to_owned());
        }
        notes
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let max_line_bytes = self.source.limits.max_line_bytes;
        match &self.file {
            // Row numbers need the lines before a split counted.
            Some(file) => {
                Ok(Box::new(FileSplits::new(file, self.split_bytes, max_line_bytes, self.source.inferred.ordinal_ids)))
            }
            None => Ok(Box::new(StreamSplits::new(self.source.stream()?, &self.source.path, max_line_bytes))),
        }
    }

    fn open<'a>(&'a self, mut split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let (input, known): (Box<dyn Read + 'a>, bool) = match (split.data.take(), &self.file) {
            (Some(data), _) => (Box::new(Cursor::new(data)), true),
            (None, Some(file)) => {
                let known = split.start == 0 || self.source.inferred.ordinal_ids;
                (Box::new(file.range(split.start, split.end)), known)
            }
            (None, None) => return Err(Error::bug("a split of a stream came without its bytes")),
        };
        let number = known.then_some(split.first_row + 1);
        let lines = LineReader::new(input, split.start, number, self.source.limits.max_line_bytes);
        let builder = BatchBuilder::new(Arc::new(self.schema().clone()))
            .map_err(|e| Error::bug("an inferred schema cannot be built").caused_by(e))?;
        let decoder = RecordDecoder::new(builder, self.source.keys.clone(), self.source.inferred.ordinal_ids);
        Ok(Box::new(JsonlBatches { path: &self.source.path, lines, decoder, rejects, ended: false }))
    }
}

/// Batches of one split.
struct JsonlBatches<'a> {
    path: &'a Path,
    lines: LineReader<Box<dyn Read + 'a>>,
    decoder: RecordDecoder,
    rejects: &'a mut dyn RejectSink,
    ended: bool,
}

impl JsonlBatches<'_> {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.decoder.batch_bytes() < BATCH_BYTES {
            let line = self.lines.next_line().map_err(|e| e.with("file", self.path.display()))?;
            let Some(line) = line else {
                self.ended = true;
                break;
            };
            self.decode(&line)?;
        }
        if self.decoder.rows() == 0 {
            return Ok(None);
        }
        self.decoder.take_batch().map(Some).map_err(|e| Error::bug("a batch cannot be built").caused_by(e))
    }

    fn decode(&mut self, line: &Line) -> Result<()> {
        let mut text = self.lines.bytes(line);
        if line.offset == 0 {
            text = without_bom(text);
        }
        if text.trim_ascii().is_empty() {
            return Ok(());
        }
        let Err(refusal) = self.decoder.decode(text, line.number.map(|number| number - 1)) else {
            return Ok(());
        };
        if !line.terminated && is_cut_short(text) {
            return Err(self.cut_short(line));
        }
        self.rejects.reject(reject(self.path, line, text, refusal))
    }

    fn cut_short(&self, line: &Line) -> Error {
        let error = Error::damaged("the input ends in the middle of a record: it is truncated")
            .with("file", self.path.display());
        let error = match line.number {
            Some(number) => error.with("line", number),
            None => error,
        };
        error.with("byte", line.offset).hint("copy the file again, or remove its last line")
    }
}

impl Iterator for JsonlBatches<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let batch = self.next_batch();
        self.ended |= batch.is_err();
        batch.transpose()
    }
}

/// An error of the decompressed stream of `path` near byte `offset` of the decompressed data.
pub(crate) fn input_error(path: &Path, offset: u64, error: io::Error) -> Error {
    let damage = [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidData, io::ErrorKind::InvalidInput];
    let is_damage =
        damage.contains(&error.kind()) || (error.kind() == io::ErrorKind::Other && error.raw_os_error().is_none());
    let (kind, message) = match is_damage {
        true => (ErrorKind::Damaged, "the compressed data is damaged or cut short"),
        false => (ErrorKind::Io, "the input cannot be read"),
    };
    Error::new(kind, message)
        .with("file", path.display())
        .with("decompressed byte", offset)
        .hint("compare the file with the original, for example by `zstd -t` or `gzip -t`")
        .caused_by(error)
}

/// True if `text` is the beginning of a record and nothing more.
fn is_cut_short(text: &[u8]) -> bool {
    match str::from_utf8(text) {
        Ok(text) => serde_json::from_str::<IgnoredAny>(text).is_err_and(|e| e.is_eof()),
        Err(e) => e.error_len().is_none(),
    }
}

fn reject(path: &Path, line: &Line, text: &[u8], refusal: Refusal) -> Reject {
    let place = match line.number {
        Some(number) => format!("{} line {number} (byte {})", path.display(), line.offset),
        None => format!("{} byte {}", path.display(), line.offset),
    };
    let record = str::from_utf8(text).ok().filter(|text| text.len() <= REPLAYABLE_BYTES).map(str::to_owned);
    Reject { place, id: refusal.id, reason: refusal.reason, record }
}

fn keys(options: &OpenOptions) -> Keys {
    let defaults = Keys::default();
    Keys {
        id: options.id_column.clone().unwrap_or(defaults.id),
        vector: options.vector_column.clone().unwrap_or(defaults.vector),
        document: options.document_column.clone().unwrap_or(defaults.document),
    }
}

fn collection_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.split('.').next() {
        Some("-") | Some("") | None => "collection".to_owned(),
        Some(stem) => stem.to_owned(),
    }
}

/// Reads on until the first JSON value is whole, if it is one of many lines.
fn complete_page(stream: &mut impl Read, sample: &mut Vec<u8>, max_page_bytes: usize) -> io::Result<()> {
    let first_line = without_bom(sample).split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    let is_whole = |text: &[u8]| !serde_json::from_slice::<IgnoredAny>(text).is_err_and(|e| e.is_eof());
    if first_line.is_none_or(is_whole) {
        return Ok(());
    }
    // Each round doubles what is there, so that looking at it again costs no more than reading it.
    while !begins_with_whole_value(sample) && sample.len() <= max_page_bytes {
        let wanted = sample.len().max(SAMPLE_BYTES);
        if stream.by_ref().take(wanted as u64).read_to_end(sample)? == 0 {
            break;
        }
    }
    Ok(())
}

fn begins_with_whole_value(text: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(without_bom(text)).into_iter::<IgnoredAny>();
    !values.next().is_some_and(|value| value.is_err_and(|e| e.is_eof()))
}

/// The generic lines of the records that the sample holds whole.
fn sample_lines(sample: &[u8], reading: &Reading, limits: &Limits) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    let input = Box::new(Cursor::new(without_bom(sample).to_vec()));
    Translated::new(input, reading.clone(), limits).read_to_end(&mut lines)?;
    Ok(lines)
}

/// The beginning of the input: [`SAMPLE_BYTES`], or as much as the first line needs.
fn read_sample(stream: &mut impl Read, max_line_bytes: usize) -> io::Result<Vec<u8>> {
    let mut sample = Vec::new();
    loop {
        let before = sample.len();
        stream.by_ref().take(SAMPLE_BYTES as u64).read_to_end(&mut sample)?;
        let whole_line = sample[before..].contains(&b'\n');
        if whole_line || sample.len() < before + SAMPLE_BYTES || sample.len() > max_line_bytes {
            return Ok(sample);
        }
    }
}
