//! Records as elements of vector sets.
//!
//! ```text
//! VADD key FP32 vector element NOQUANT EF n [SETATTR metadata] M n
//! ```
//! Without NOQUANT the first command of a key would quantise all of them to bytes.
//! Source: Redis documentation, VADD (8.0). Not run: no engine with vector sets was at hand.

use tranship_collection::batch::RowText;
use tranship_collection::json::check_object;
use tranship_collection::{BatchBuilder, BatchView, Element, IdKind};
use tranship_connector::{Error, Result};

use super::layout::Layout;
use super::{commands, hash, index};

/// Appends the command for row `row` of `view`.
pub fn append_command(layout: &Layout, view: &BatchView<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    let key = layout.namespace_prefix(view.namespace(row).unwrap_or(""));
    let missing = || Error::bug(format!("record `{}` has no vector for its set", view.id(row)));
    let vector = view.vector(0, row).ok_or_else(missing)?;
    let spec = view.vector_specs().next().ok_or_else(missing)?;
    let (m, ef) = index::set_settings(spec.index.as_ref());
    let (m, ef, raw) = (m.to_string(), ef.to_string(), hash::raw(&vector, Element::F32));
    let mut arguments: Vec<&[u8]> =
        vec![b"VADD", key.as_bytes(), b"FP32", &raw, view.id(row).as_bytes(), b"NOQUANT", b"EF", ef.as_bytes()];
    if let Some(metadata) = view.metadata(row) {
        arguments.extend([&b"SETATTR"[..], metadata.as_bytes()]);
    }
    arguments.extend([&b"M"[..], m.as_bytes()]);
    commands::append(&arguments, out);
    Ok(())
}

/// Appends the record of a `VADD`.
pub fn append_arguments(
    layout: &Layout,
    arguments: &[&[u8]],
    builder: &mut BatchBuilder,
) -> std::result::Result<(), String> {
    let [b"VADD", key, b"FP32", vector, id, b"NOQUANT", b"EF", _, rest @ ..] = arguments else {
        return Err("the command is no VADD of tranship's".to_owned());
    };
    let metadata = match rest {
        [b"SETATTR", text, b"M", _] => Some(*text),
        [b"M", _] => None,
        _ => return Err("the command is no VADD of tranship's".to_owned()),
    };
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| "a text is not valid UTF-8".to_owned());
    let key = text(key)?.strip_prefix(layout.prefix().as_str()).ok_or("the key is of another collection")?;
    let namespace = if layout.namespaced { layout.namespace(key)? } else { None };
    let metadata = metadata.map(text).transpose()?;
    if let Some(metadata) = metadata {
        check_object(metadata, &mut Vec::new()).map_err(|fault| fault.to_string())?;
    }
    let (floats, odd) = vector.as_chunks::<4>();
    if !odd.is_empty() {
        return Err("the vector is cut within a float".to_owned());
    }
    builder.dense_values(0).extend(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)));
    let row =
        RowText { id: text(id)?, id_kind: IdKind::Text, namespace: namespace.as_deref(), document: None, metadata };
    builder.finish_row(row).map_err(|fault| fault.to_string())
}
