//! Quantisers whose codes are stepped over: they stand before what can be read.
//!
//! ```text
//! product quantiser  u64 d | u64 M | u64 nbits | vec<f32> centroids
//! IxPQ               product quantiser | vec<u8>
//! IxPo IxPq          product quantiser | vec<u8> | i32 | u8 | i32
//! IPfs               product quantiser | i32 | i32 | i32 | u64 | u64 | vec<u8>
//! Imiq               product quantiser
//! ```

use tranship_connector::Result;

use super::cursor::Cursor;
use crate::dialect::Fourcc;

/// Steps over what follows the header of a product-quantised index.
pub fn step_over(cursor: &mut Cursor<'_>, fourcc: Fourcc) -> Result<()> {
    product_quantiser(cursor)?;
    match &fourcc.0 {
        b"Imiq" => return Ok(()),
        b"IPfs" => drop(cursor.block(1, 28, "the settings of the codes")?),
        _ => {}
    }
    cursor.vector(1, "the codes")?;
    if matches!(&fourcc.0, b"IxPo" | b"IxPq") {
        cursor.block(1, 9, "the settings of the search")?;
    }
    Ok(())
}

/// Steps over a product quantiser.
pub fn product_quantiser(cursor: &mut Cursor<'_>) -> Result<()> {
    cursor.block(3, 8, "the product quantiser")?;
    cursor.vector(4, "the centroids of the product quantiser").map(drop)
}
