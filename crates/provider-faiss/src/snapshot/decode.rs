//! Brings codes into the vector column: as they are where the column has their element type, decoded otherwise.
//!
//! A scalar quantiser of n bits stores c for the element x = min + (c + 0.5) / (2^n - 1) * range, in f32; trained are
//! all minima, then all ranges. 4 bits: low half first. 6 bits: four elements in three bytes, lowest bits first. Where
//! lists hold differences, the centroid of the list is added in f32, which is what FAISS itself answers with.

use tranship_collection::{BatchBuilder, Element};
use tranship_connector::Result;
use tranship_storage::BlobReader;

use super::cursor::{Span, damaged};
use super::grammar::Codec;
use super::plan::Plan;
use crate::dialect::Scalars;

/// Decodes the codes of one index.
pub struct Decoder {
    codec: Codec,
    /// `None` where codes are taken as they are.
    trained: Vec<f32>,
    centroids: Option<Span>,
    centroid: Vec<f32>,
    entered: Option<u64>,
    dim: usize,
    values: Vec<f32>,
}

impl Decoder {
    /// For the codes of `plan`.
    pub fn new(file: &BlobReader, plan: &Plan) -> Result<Self> {
        let trained = match plan.codec {
            Codec::Scalar(Scalars::Steps { uniform, .. }, trained) if plan.rows > 0 => {
                let ranges = if uniform { 1 } else { plan.dim as u64 };
                if trained.count != 2 * ranges {
                    return Err(damaged(
                        file.label(),
                        trained.at,
                        "codes of a scalar quantiser that was never trained",
                    ));
                }
                floats(file, trained.at, trained.count)?
            }
            _ => Vec::new(),
        };
        Ok(Decoder {
            codec: plan.codec,
            trained,
            centroids: plan.centroids,
            centroid: Vec::new(),
            entered: None,
            dim: plan.dim,
            values: Vec::new(),
        })
    }

    /// Makes ready for `codes`, which are of list `list`.
    pub fn enter(&mut self, file: &BlobReader, list: u64, codes: &mut [u8]) -> Result<()> {
        if let Some(centroids) = self.centroids
            && self.entered != Some(list)
        {
            let dim = self.dim as u64;
            self.centroid = floats(file, centroids.at + 4 * dim * list, dim)?;
            self.entered = Some(list);
        }
        if self.codec_is_signed() {
            // x + 128 as an unsigned byte is x as a signed one with its highest bit turned over.
            codes.iter_mut().for_each(|byte| *byte ^= 0x80);
        }
        Ok(())
    }

    /// Appends one vector to the open record.
    pub fn push(&mut self, code: &[u8], builder: &mut BatchBuilder) {
        if self.centroids.is_none() && !matches!(self.codec, Codec::Scalar(Scalars::Steps { .. }, _)) {
            return builder.push_bytes(0, code);
        }
        self.decode(code);
        if self.centroids.is_some() {
            self.values.iter_mut().zip(&self.centroid).for_each(|(value, centroid)| *value += centroid);
        }
        builder.push_dense(0, &self.values);
    }

    fn codec_is_signed(&self) -> bool {
        matches!(self.codec, Codec::Scalar(Scalars::Signed, _))
    }

    /// Brings the elements of `code` into `values`.
    fn decode(&mut self, code: &[u8]) {
        self.values.clear();
        let Codec::Scalar(scalars, _) = self.codec else { return };
        match scalars {
            Scalars::Narrow(Element::F16) => {
                self.values.extend(code.as_chunks().0.iter().map(|bits| half::f16::from_le_bytes(*bits).to_f32()));
            }
            Scalars::Narrow(Element::BF16) => {
                self.values.extend(code.as_chunks().0.iter().map(|bits| half::bf16::from_le_bytes(*bits).to_f32()));
            }
            Scalars::Narrow(_) => self.values.extend(code.iter().map(|byte| f32::from(*byte))),
            Scalars::Signed => self.values.extend(code.iter().map(|byte| f32::from(*byte as i8))),
            Scalars::Steps { bits, uniform } => {
                let (minima, ranges) = self.trained.split_at(self.trained.len() / 2);
                let steps = f32::from((1u16 << bits) - 1);
                let of = |all: &[f32], element: usize| all.get(if uniform { 0 } else { element }).copied();
                self.values.extend((0..self.dim).map(|element| {
                    let share = (f32::from(step(code, bits, element)) + 0.5) / steps;
                    of(minima, element).unwrap_or(0.0) + share * of(ranges, element).unwrap_or(0.0)
                }));
            }
        }
    }
}

/// The number of `bits` bits at position `element` of a code.
fn step(code: &[u8], bits: u8, element: usize) -> u8 {
    let first_bit = element * usize::from(bits);
    let byte = |position: usize| u16::from(code.get(position).copied().unwrap_or(0));
    let pair = byte(first_bit / 8) | byte(first_bit / 8 + 1) << 8;
    (pair >> (first_bit % 8) & ((1 << bits) - 1)) as u8
}

fn floats(file: &BlobReader, at: u64, count: u64) -> Result<Vec<f32>> {
    let bytes = file.range_to_vec(at, at + 4 * count, 4 * count)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect())
}
