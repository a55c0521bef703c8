//! A file that COPY wrote by itself: text, CSV or BINARY, without the statement that names its columns.
//!
//! Names come from `-o columns=..` or from the file's first line; types from `-o columns=..`, or from the values themselves
//! (not for BINARY). Errors: usage where names or types are missing, damaged for a broken header.

use std::io::Read;

use tranship_connector::{Error, OpenOptions, Result};

use super::input::{Codec, Input, read_error};
use crate::bytes::{position, without_return};
use crate::dialect::Type;
use crate::options::{self, CopyFormat, NamedColumns};
use crate::rows::binary::SIGNATURE;
use crate::rows::{Form, Row, copy_text, csv};
use crate::section::{Bytes, Data, Ending, Section, text_range};
use crate::values::binary::is_known;

/// Signature, flags, length of the extension.
const BINARY_HEADER_BYTES: usize = 19;
/// Extensions are for later versions of the format; none has one.
const MAX_EXTENSION_BYTES: u32 = 1 << 20;
const HAS_OIDS: u32 = 1 << 16;
const CRITICAL_FLAGS: u32 = 0xffff_0000;
/// Enough for the first row, usually.
const HEAD_BYTES: u64 = 1 << 20;

/// A COPY file.
#[derive(Debug, Clone)]
pub struct BareFile {
    /// Its columns.
    pub columns: Vec<(String, Option<Type>)>,
    /// Its rows.
    pub section: Section,
}

/// True if the file begins as COPY BINARY does.
pub fn is_binary(head: &[u8]) -> bool {
    head.starts_with(SIGNATURE)
}

impl BareFile {
    /// Looks at the beginning of `input`.
    pub fn open(input: Input, options: &OpenOptions) -> Result<Self> {
        let mut head = Vec::new();
        let cursor = input.cursor(0)?;
        cursor.take(HEAD_BYTES).read_to_end(&mut head).map_err(|error| read_error(input.label(), 0, error))?;
        if head.is_empty() {
            return Err(Error::damaged("the file is empty")
                .with("file", input.label())
                .hint("copy it again; an empty table needs no file"));
        }
        let named = NamedColumns::of(options)?;
        match format_of(&input, &head, options)? {
            CopyFormat::Binary => binary_file(input, &head, named),
            CopyFormat::Text => {
                let form = Form::Text(options::text_style(options)?);
                lines_file(input, &head, named, form, options::header(options)?)
            }
            CopyFormat::Csv => {
                let form = Form::Csv(options::csv_style(options)?);
                lines_file(input, &head, named, form, options::header(options)?)
            }
        }
    }
}

fn format_of(input: &Input, head: &[u8], options: &OpenOptions) -> Result<CopyFormat> {
    let asked = options::format(options)?;
    if is_binary(head) {
        return Ok(asked.unwrap_or(CopyFormat::Binary));
    }
    if asked == Some(CopyFormat::Binary) {
        return Err(Error::not_recognised("the file does not begin as COPY BINARY does")
            .with("file", input.label())
            .hint("was it written with FORMAT binary? Text and CSV are -o format=text and -o format=csv"));
    }
    let name = input.label().to_lowercase();
    let is_csv = [".csv", ".csv.gz", ".csv.zst", ".csv.lz4"].iter().any(|extension| name.ends_with(extension));
    Ok(asked.unwrap_or(if is_csv { CopyFormat::Csv } else { CopyFormat::Text }))
}

fn binary_file(input: Input, head: &[u8], named: NamedColumns) -> Result<BareFile> {
    let damaged =
        |what: &str| Error::damaged(what).with("file", input.label()).hint("copy the file again, or make a new one");
    let word = |at: usize| head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let (Some(flags), Some(extension)) = (word(SIGNATURE.len()), word(SIGNATURE.len() + 4)) else {
        return Err(damaged("the header of COPY BINARY is cut short"));
    };
    if flags & HAS_OIDS != 0 {
        return Err(Error::not_recognised("the COPY BINARY file was written WITH OIDS")
            .with("file", input.label())
            .hint("write it again without oids; PostgreSQL 12 and later have none"));
    }
    if flags & CRITICAL_FLAGS != 0 || extension > MAX_EXTENSION_BYTES {
        return Err(damaged(
            "the header of COPY BINARY has flags or an extension that no version of PostgreSQL writes",
        ));
    }
    let start = BINARY_HEADER_BYTES as u64 + u64::from(extension);
    let example = "-o columns=\"id:int8,embedding:vector,title:text\"";
    if named.is_empty() {
        let count = head
            .get(start as usize..start as usize + 2)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i16::from_be_bytes);
        let count = count.filter(|count| *count >= 0).map_or(String::new(), |count| format!(" of {count} columns"));
        return Err(Error::usage(format!("COPY BINARY holds rows{count} without their names and types"))
            .with("file", input.label())
            .hint(format!("name them in order, as in {example}")));
    }
    for (name, kind) in &named.0 {
        match kind {
            None => {
                return Err(Error::usage(format!("column {name:?} of a COPY BINARY file needs a type"))
                    .hint(format!("give every column its type, as in {example}")));
            }
            Some(kind) if !is_known(kind) => {
                return Err(Error::usage(format!("column {name:?}: the binary form of {kind} is not known")).hint(
                    "enums are `text` there; write other columns as text (COPY .. (FORMAT csv)) or leave them out",
                ));
            }
            Some(_) => {}
        }
    }
    let columns = named.0;
    let section = Section {
        label: input.label().to_owned(),
        columns: columns.iter().map(|(name, _)| name.clone()).collect(),
        form: Form::Binary,
        rows: None,
        data: Data::Stream { bytes: Bytes::Window { input, start, len: None }, ending: Ending::Exact },
    };
    Ok(BareFile { columns, section })
}

fn lines_file(input: Input, head: &[u8], named: NamedColumns, form: Form, header: Option<bool>) -> Result<BareFile> {
    let (first, first_end) = first_row(head, &form).map_err(|reason| {
        Error::not_recognised(format!("the first line is no row of COPY: {reason}"))
            .with("file", input.label())
            .hint("say how it is written with -o format=text|csv, -o delimiter=.., -o quote=..")
    })?;
    let names: Option<Vec<String>> =
        (0..first.len()).map(|at| String::from_utf8(first.get(at)?.to_vec()).ok()).collect();
    // In whatever order they are asked for: the line says where each one is.
    let same =
        |names: &Vec<String>| names.len() == named.0.len() && named.0.iter().all(|(name, _)| names.contains(name));
    let looks_like_names = |names: &Vec<String>| match named.is_empty() {
        true => matches!(form, Form::Csv(_)) && names.iter().all(|name| looks_like_a_name(name)),
        false => same(names),
    };
    let has_header = header.unwrap_or_else(|| names.as_ref().is_some_and(looks_like_names));
    let columns = match (has_header, names) {
        (true, Some(names)) => {
            if let Some((missing, _)) = named.0.iter().find(|(name, _)| !names.contains(name)) {
                return Err(Error::usage(format!("the first line names no column {missing:?}"))
                    .with("file", input.label())
                    .hint(format!("it names {}", names.join(", "))));
            }
            names.into_iter().map(|name| (name.clone(), named.kind(&name).cloned())).collect()
        }
        (true, None) => return Err(Error::usage("the first line holds no column names").with("file", input.label())),
        (false, _) if named.is_empty() => {
            return Err(Error::usage(format!("a COPY file of {} columns that does not name them", first.len()))
                .with("file", input.label())
                .hint(
                    "name them in order, as in -o columns=\"id:int8,embedding:vector,title\"; types may be left out",
                ));
        }
        (false, _) => named.0.clone(),
    };
    let found = first.len();
    if found != columns.len() && head != b"\\.\n" {
        return Err(Error::usage(format!("the first row has {found} fields, `columns` names {}", columns.len()))
            .with("file", input.label())
            .hint("name all columns in order, and check -o format=text|csv and -o delimiter=.."));
    }
    let start = if has_header { first_end as u64 } else { 0 };
    let label = input.label().to_owned();
    let data = match (&form, input.codec) {
        (Form::Text(_), Codec::None) => text_range(input.blob, start, Ending::Either)?,
        _ => Data::Stream { bytes: Bytes::Window { input, start, len: None }, ending: Ending::Either },
    };
    let names = columns.iter().map(|(name, _)| name.clone()).collect();
    Ok(BareFile { columns, section: Section { label, columns: names, form, rows: None, data } })
}

/// The fields of the first line, and the offset behind it.
fn first_row(head: &[u8], form: &Form) -> std::result::Result<(Row, usize), String> {
    let mut row = Row::default();
    let end = match form {
        Form::Csv(style) => csv::record_end(head, style.quote),
        _ => position(b'\n', head).map(|at| at + 1),
    };
    let end = match end {
        Some(end) => end,
        None => return Err(format!("it does not end within {} bytes", head.len())),
    };
    let line = without_return(head.get(..end - 1).unwrap_or_default());
    match form {
        Form::Csv(style) => csv::fields(line, style, &mut row)?,
        Form::Text(style) => copy_text::fields(line, style, &mut row)?,
        Form::Binary | Form::Inserts(_) => {}
    }
    Ok((row, end))
}

/// Not a number, a vector, an object or nothing.
fn looks_like_a_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
