//! The array files that are written, each of one number type.
//!
//! ```text
//! npy                          header of numpy, then all rows (f4, f2, i1, u1)
//! fvecs bvecs                  rows: i32 dims | dims numbers (f4, u1)
//! fbin hbin i8bin u8bin        u32 rows | u32 dims | all rows (f4, f2, i1, u1)
//! ```
//! All little-endian. Invariant: what is written is what `npy` and `raw` of this crate read.

use std::io::{self, Write};

use tranship_bundle::aligned::{Layout, MatrixFile, Rows, Shape, npy_header, npy_layout};
use tranship_collection::Element;
use tranship_connector::{Error, Mapping, Result};

/// One file form and number type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrayFile {
    kind: Kind,
    element: Element,
    /// Extension, and the name in the mapping but for `.npy` of several types.
    extension: &'static str,
    name: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Npy,
    Vecs,
    Bin,
}

const fn file(kind: Kind, element: Element, extension: &'static str, name: &'static str) -> ArrayFile {
    ArrayFile { kind, element, extension, name }
}

static NPY: [ArrayFile; 4] = [
    file(Kind::Npy, Element::F32, "npy", "npy-f4"),
    file(Kind::Npy, Element::F16, "npy", "npy-f2"),
    file(Kind::Npy, Element::I8, "npy", "npy-i1"),
    file(Kind::Npy, Element::U8, "npy", "npy-u1"),
];
static FVECS: [ArrayFile; 1] = [file(Kind::Vecs, Element::F32, "fvecs", "fvecs")];
static BVECS: [ArrayFile; 1] = [file(Kind::Vecs, Element::U8, "bvecs", "bvecs")];
static FBIN: [ArrayFile; 1] = [file(Kind::Bin, Element::F32, "fbin", "fbin")];
static HBIN: [ArrayFile; 1] = [file(Kind::Bin, Element::F16, "hbin", "hbin")];
static I8BIN: [ArrayFile; 1] = [file(Kind::Bin, Element::I8, "i8bin", "i8bin")];
static U8BIN: [ArrayFile; 1] = [file(Kind::Bin, Element::U8, "u8bin", "u8bin")];
/// By the names that `--target-option form=` takes.
static FAMILIES: [(&str, &[ArrayFile]); 7] = [
    ("npy", &NPY),
    ("fvecs", &FVECS),
    ("bvecs", &BVECS),
    ("fbin", &FBIN),
    ("hbin", &HBIN),
    ("i8bin", &I8BIN),
    ("u8bin", &U8BIN),
];

impl ArrayFile {
    /// The forms that a name stands for.
    pub fn family(name: &str) -> Result<&'static [ArrayFile]> {
        let names: Vec<&str> = FAMILIES.iter().map(|(name, _)| *name).collect();
        let found = FAMILIES.iter().find(|(known, _)| *known == name);
        found.map(|(_, family)| *family).ok_or_else(|| {
            Error::usage(format!("`--target-option form={name}` is unknown"))
                .hint(format!("known are {}", names.join(", ")))
        })
    }

    /// The form of a family for numbers of this type: their own, else f32 for what widens to it.
    pub fn choose(family: Option<&'static [ArrayFile]>, element: Element) -> Result<&'static ArrayFile> {
        let family = family.unwrap_or(&NPY);
        let of = |wanted: Element| family.iter().find(|file| file.element == wanted);
        of(element).or_else(|| of(Element::F32)).ok_or_else(|| {
            let name = family.first().map_or("", |file| file.extension);
            Error::usage(format!("{name} cannot hold the vector: its numbers are {}", number(element)))
                .hint("choose another form with --target-option form=npy, or fvecs or fbin, which take all as f32")
        })
    }

    /// The form that a mapping settled on.
    pub fn of(mapping: &Mapping) -> &'static ArrayFile {
        let name = mapping.form.get("file").and_then(serde_json::Value::as_str).unwrap_or_default();
        let all = || FAMILIES.iter().flat_map(|(_, family)| *family);
        all().find(|file| file.name == name).unwrap_or(&NPY[0])
    }

    /// The name in the mapping.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How the files are joined without our script.
    pub fn joining(&self) -> &'static str {
        match self.kind {
            Kind::Npy => {
                "One array: `np.concatenate([np.load(p) for p in sorted(glob.glob(\"data/vectors-*.npy\"))])`.\n"
            }
            Kind::Vecs => {
                "One file: `cat data/vectors-* > vectors` (with the extension of the parts), rows state their dims.\n"
            }
            Kind::Bin => "The parts have a header each (rows, dims); `load.py` joins them.\n",
        }
    }

    fn descr(&self) -> &'static str {
        match self.element {
            Element::F32 | Element::BF16 => "<f4",
            Element::F16 => "<f2",
            Element::I8 => "|i1",
            Element::U8 => "|u1",
        }
    }

    fn bin_header(shape: Shape) -> io::Result<[u8; 8]> {
        let mut header = [0; 8];
        let rows = u32::try_from(shape.rows).map_err(io::Error::other)?;
        let dim = u32::try_from(shape.dim).map_err(io::Error::other)?;
        header[..4].copy_from_slice(&rows.to_le_bytes());
        header[4..].copy_from_slice(&dim.to_le_bytes());
        Ok(header)
    }
}

impl MatrixFile for ArrayFile {
    fn stem(&self) -> &'static str {
        "vectors"
    }

    fn extension(&self) -> &'static str {
        self.extension
    }

    fn element(&self) -> Element {
        self.element
    }

    fn write(&self, rows: &Rows<'_>, out: &mut dyn Write) -> io::Result<()> {
        match self.kind {
            Kind::Npy => out.write_all(&npy_header(self.descr(), rows.shape))?,
            Kind::Bin => out.write_all(&Self::bin_header(rows.shape)?)?,
            Kind::Vecs => return rows.write_values(&(rows.shape.dim as u32).to_le_bytes(), out),
        }
        rows.write_values(&[], out)
    }

    fn layout(&self, bytes: &[u8], shape: Shape) -> std::result::Result<Layout, String> {
        let row = shape.dim * self.element.bytes();
        let other = || format!("it is no {} of {} rows of {}", self.extension, shape.rows, shape.dim);
        match self.kind {
            Kind::Npy => npy_layout(self.descr(), self.element.bytes(), bytes, shape),
            Kind::Bin => {
                let header = Self::bin_header(shape).map_err(|e| e.to_string())?;
                bytes.starts_with(&header).then_some(Layout { start: 8, stride: row }).ok_or_else(other)
            }
            Kind::Vecs => {
                let fits = bytes.len() == shape.rows * (4 + row)
                    && bytes.chunks_exact(4 + row).all(|row| row.starts_with(&(shape.dim as u32).to_le_bytes()));
                fits.then_some(Layout { start: 4, stride: 4 + row }).ok_or_else(other)
            }
        }
    }
}

fn number(element: Element) -> &'static str {
    match element {
        Element::F32 => "f32",
        Element::F16 => "f16",
        Element::BF16 => "bf16",
        Element::I8 => "i8",
        Element::U8 => "u8",
    }
}
