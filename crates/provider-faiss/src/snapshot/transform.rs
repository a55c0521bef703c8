//! What was done to vectors before they were stored.
//!
//! ```text
//! transform   fourcc | what the type adds | i32 d_in | i32 d_out | u8 is_trained
//! VNrm        f32 norm
//! VCnt        vec<f32> mean
//! RmDT        vec<i32> map
//! HRot        u32 seed
//! rrot LTra   linear
//! PCAm        f32 eigen_power | u8 random_rotation | vec<f32> mean, eigenvalues, matrix | linear
//! PcAm        f32 eigen_power | u8 | i32 balanced_bins | ..  Pcam has an f32 epsilon after eigen_power
//! Viqm        i32 max_iter | i32 seed | linear
//! Viqt        vec<f32> mean | u8 do_pca | transform | transform
//! linear      u8 have_bias | vec<f32> A | vec<f32> b
//! ```

use tranship_connector::{Error, Result};

use super::cursor::Cursor;
use crate::dialect::Fourcc;

/// One transform.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transform {
    /// Its type.
    pub fourcc: Fourcc,
    /// Elements before.
    pub dim_in: u64,
    /// Elements after.
    pub dim_out: u64,
    /// For `VNrm`, the norm that vectors are brought to the length 1 of.
    pub norm: Option<f32>,
}

impl Transform {
    /// True if vectors are only brought to length 1.
    pub fn normalises(&self) -> bool {
        self.norm == Some(2.0)
    }

    /// What it does, in a few words.
    pub fn meaning(&self) -> &'static str {
        match &self.fourcc.0 {
            b"VNrm" => "normalised",
            b"VCnt" => "centred",
            b"RmDT" => "reordered or padded",
            b"HRot" => "rotated (Hadamard)",
            b"rrot" => "rotated",
            b"LTra" => "transformed linearly (OPQ)",
            b"PCAm" | b"PcAm" | b"Pcam" => "reduced by PCA",
            _ => "transformed by ITQ",
        }
    }
}

/// The transform at the cursor.
pub fn read(cursor: &mut Cursor<'_>) -> Result<Transform> {
    read_within(cursor, 0)
}

fn read_within(cursor: &mut Cursor<'_>, depth: usize) -> Result<Transform> {
    let at = cursor.at();
    let fourcc = Fourcc(cursor.code("the type of a transform")?);
    let mut norm = None;
    match &fourcc.0 {
        b"VNrm" => norm = Some(cursor.f32("the norm")?),
        b"VCnt" => drop(cursor.vector(4, "the mean")?),
        b"RmDT" => drop(cursor.vector(4, "the map of dimensions")?),
        b"HRot" => drop(cursor.block(1, 4, "the seed")?),
        b"rrot" | b"LTra" => linear(cursor)?,
        b"PCAm" => pca(cursor, 5)?,
        b"PcAm" => pca(cursor, 9)?,
        b"Pcam" => pca(cursor, 13)?,
        b"Viqm" => {
            cursor.block(2, 4, "the settings of ITQ")?;
            linear(cursor)?;
        }
        // The two within are linear: one level is all there is.
        b"Viqt" if depth == 0 => {
            cursor.vector(4, "the mean")?;
            cursor.flag("do_pca")?;
            read_within(cursor, 1)?;
            read_within(cursor, 1)?;
        }
        _ => {
            return Err(Error::not_recognised(format!("`{fourcc}` is no transform of FAISS up to 1.15"))
                .with("file", cursor.label())
                .with("offset", at)
                .hint("write the vectors into an IndexFlat with the FAISS that wrote this file, and read that"));
        }
    }
    let mut dim = |field| {
        let dim = cursor.i32(field)?;
        u64::try_from(dim).map_err(|_| cursor.bad(format_args!("{field} is {dim}")))
    };
    let (dim_in, dim_out) = (dim("d_in")?, dim("d_out")?);
    cursor.flag("is_trained")?;
    Ok(Transform { fourcc, dim_in, dim_out, norm })
}

fn linear(cursor: &mut Cursor<'_>) -> Result<()> {
    cursor.flag("have_bias")?;
    cursor.vector(4, "the matrix")?;
    cursor.vector(4, "the bias").map(drop)
}

fn pca(cursor: &mut Cursor<'_>, settings_bytes: u64) -> Result<()> {
    cursor.block(1, settings_bytes, "the settings of PCA")?;
    cursor.vector(4, "the mean")?;
    cursor.vector(4, "the eigenvalues")?;
    cursor.vector(4, "the PCA matrix")?;
    linear(cursor)
}
