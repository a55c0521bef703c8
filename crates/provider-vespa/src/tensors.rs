//! Vectors as tensors in document JSON.
//!
//! ```text
//! dense    {"values":[..]}
//! sparse   {"cells":{"7":0.5,..}}              or a list of {"address":{"t":"7"},"value":0.5}
//! multi    {"blocks":{"0":[..],"1":[..]}}      or a list of {"address":{"p":"0"},"values":[..]}
//! ```
//!
//! The second forms are what a server may answer with. Invariant: floats are the f32 nearest to their text; rows of
//! multivectors are in the order of their labels.

use tranship_bundle::json::{display, push_dense, text};
use tranship_bundle::rows::{Fitted, append_floats};
use tranship_collection::json::{Entries, Items};
use tranship_collection::{BatchBuilder, VectorKind, VectorValue};
use tranship_kernels::{print_f32, scan_f32_array};

/// Appends a vector; `false` for a kind that has no such form.
pub fn append(value: &VectorValue<'_>, dim: usize, out: &mut Vec<u8>) -> bool {
    match value {
        VectorValue::Dense(_) | VectorValue::Widened(_) => {
            out.extend_from_slice(b"{\"values\":");
            tranship_bundle::json::append_dense(value, dim, out);
        }
        VectorValue::Sparse(indices, values) => {
            out.extend_from_slice(b"{\"cells\":{");
            for (position, (index, value)) in indices.iter().zip(*values).enumerate() {
                let comma = if position == 0 { "" } else { "," };
                out.extend_from_slice(format!("{comma}\"{index}\":").as_bytes());
                print_f32(*value, out);
            }
            out.push(b'}');
        }
        VectorValue::Multi(rows) => {
            out.extend_from_slice(b"{\"blocks\":{");
            for (label, row) in rows.chunks(dim.max(1)).enumerate() {
                let comma = if label == 0 { "" } else { "," };
                out.extend_from_slice(format!("{comma}\"{label}\":").as_bytes());
                append_floats(row, out);
            }
            out.push(b'}');
        }
        VectorValue::Bits(_) => return false,
    }
    out.push(b'}');
    true
}

/// Takes a vector into a column. An empty sparse one is left to the list of what is empty.
pub fn push(builder: &mut BatchBuilder, column: usize, value: &str) -> Fitted<()> {
    let kind = builder.schema().stored_vectors().nth(column).map(|spec| spec.kind);
    if value.starts_with('[') {
        return push_dense(builder, column, value);
    }
    let entries = Entries::parse(value).map_err(display)?.0;
    let under = |key: &str| entries.iter().find(|(own, _)| own == key).map(|(_, value)| value.get());
    match kind {
        Some(VectorKind::Dense) => push_dense(builder, column, under("values").ok_or("a tensor without values")?),
        Some(VectorKind::Sparse) => push_cells(builder, column, under("cells").ok_or("a tensor without cells")?),
        Some(VectorKind::Multi) => push_blocks(builder, column, under("blocks").ok_or("a tensor without blocks")?),
        _ => Err("a vector of a kind that Vespa has not".to_owned()),
    }
}

fn push_cells(builder: &mut BatchBuilder, column: usize, cells: &str) -> Fitted<()> {
    let mut pairs: Vec<(u32, f32)> = Vec::new();
    for (label, value) in labelled(cells, "t", "value")? {
        let mut scanned = Vec::new();
        scan_f32_array(format!("[{value}]").as_bytes(), 0, &mut scanned).map_err(|e| format!("cell: {e}"))?;
        pairs.push((label, scanned[0]));
    }
    if pairs.is_empty() {
        return Ok(());
    }
    pairs.sort_by_key(|(label, _)| *label);
    let (indices, values): (Vec<u32>, Vec<f32>) = pairs.into_iter().unzip();
    builder.push_sparse(column, &indices, &values).map_err(display)
}

fn push_blocks(builder: &mut BatchBuilder, column: usize, blocks: &str) -> Fitted<()> {
    let mut blocks = labelled(blocks, "p", "values")?;
    blocks.sort_by_key(|(label, _)| *label);
    let mut rows = Vec::new();
    for (_, values) in blocks {
        scan_f32_array(values.as_bytes(), 0, &mut rows).map_err(|e| format!("block: {e}"))?;
    }
    builder.push_multi(column, &rows);
    Ok(())
}

/// Labels and what stands under them, in either form.
fn labelled<'a>(value: &'a str, dimension: &str, key: &str) -> Fitted<Vec<(u32, &'a str)>> {
    let number = |label: &str| label.parse::<u32>().map_err(|_| format!("the label {label} is no number"));
    if value.starts_with('{') {
        let entries = Entries::parse(value).map_err(display)?.0;
        return entries.into_iter().map(|(label, value)| Ok((number(&label)?, value.get()))).collect();
    }
    let Items(items) = serde_json::from_str(value).map_err(|e| e.to_string())?;
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        let entries = Entries::parse(item.get()).map_err(display)?.0;
        let under = |key: &str| entries.iter().find(|(own, _)| own == key).map(|(_, value)| value.get());
        let address = Entries::parse(under("address").ok_or("a cell without address")?).map_err(display)?.0;
        let label = address.iter().find(|(own, _)| own == dimension).ok_or("an address without label")?;
        found.push((number(&text(label.1.get())?)?, under(key).ok_or("a cell without value")?));
    }
    Ok(found)
}
