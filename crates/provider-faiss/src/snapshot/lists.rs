//! Inverted lists: vectors by their nearest centroid, each list with its ids.
//!
//! ```text
//! IwFl IBwF   header | u64 nlist | u64 nprobe | quantizer index | direct map | inverted lists
//! IwSq        .. | direct map | scalar quantiser | u64 code_size | u8 by_residual (IwSQ: not stored, 1) | inverted lists
//! IwPQ IwQR   .. | direct map | u8 by_residual | u64 code_size | product quantiser | inverted lists
//!             [IwQR: product quantiser | vec<u8> | f32]
//! IwPf        .. | direct map | u8 | u64 code_size | i32 bbs | u64 M2 | i32 | u64 | product quantiser | inverted lists
//! IvFL IvSQ   header | u64 nlist | u64 nprobe | quantizer index | vec<i64> ids of each list | direct map
//!             | [IvSQ: scalar quantiser | u64 code_size] | vec<u8> codes of each list    (IvFl: vec<f32>)
//! direct map  u8 type (0 none, 1 array, 2 hash table) | vec<i64> | if type is 2: vec<(i64, i64)>
//!
//! inverted lists
//! "ilar"      u64 nlist | u64 code_size | "full" vec<u64> sizes  or  "sprs" vec<u64> pairs of list and size
//!             | for each list that is not empty: codes, size * code_size bytes | ids, i64[size]
//! "ilbl"      u64 nlist | u64 code_size | u64 | u64 | for each list vec<i64> ids | vec<u8> codes in blocks
//! "il00"      nothing: the lists are kept elsewhere
//! "ilod"      the lists are in another file
//! ```
//!
//! Ids stand in the lists; lists are not in the order in which vectors were added. Invariant: the sizes of the lists
//! add up to the number of vectors in the header. Memory: 32 bytes for each list that is not empty, of which the file
//! holds at least 16.

use tranship_connector::{Error, Result};

use super::codes::product_quantiser;
use super::cursor::{Cursor, Span};
use super::grammar::{Body, Codec, Grammar, Header, Index};
use crate::dialect::Fourcc;

/// All lists of an index.
#[derive(Debug)]
pub struct Lists {
    /// The index of the centroids.
    pub quantizer: Box<Index>,
    /// Number of lists, empty ones included.
    pub nlist: u64,
    /// Lists searched for a query.
    pub nprobe: u64,
    /// How vectors are stored; `None` if they cannot be told.
    pub codec: Option<Codec>,
    /// True if what is stored is the difference to the centroid of the list.
    pub by_residual: bool,
    /// The lists that are not empty.
    pub lists: Vec<List>,
}

/// One list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    /// Number of its centroid.
    pub number: u64,
    /// Its vectors.
    pub rows: u64,
    /// Offset of its codes.
    pub codes_at: u64,
    /// Offset of its ids.
    pub ids_at: u64,
}

/// What follows the header of an index of inverted lists.
pub fn read(grammar: &mut Grammar<'_>, fourcc: Fourcc, header: &Header) -> Result<Body> {
    let nlist = grammar.cursor.u64("the number of lists")?;
    let nprobe = grammar.cursor.u64("nprobe")?;
    let quantizer = grammar.index()?;
    grammar.same_family(fourcc, &quantizer)?;
    grammar.same(quantizer.header.dim, header.dim, "dimensions in the centroids")?;
    let old = matches!(&fourcc.0, b"IvFL" | b"IvFl" | b"IvSQ");
    let ids = if old { old_ids(&mut grammar.cursor, nlist)? } else { Vec::new() };
    direct_map(&mut grammar.cursor)?;
    let (codec, by_residual) = quantiser(grammar, fourcc, header)?;
    let row_bytes = codec.map(|codec| codec.row_bytes(header.dim));
    let lists = match (old, row_bytes) {
        (true, Some(row_bytes)) => {
            let unit = if &fourcc.0 == b"IvFl" { 4 } else { 1 };
            old_lists(&mut grammar.cursor, &ids, row_bytes, unit)?
        }
        _ => inverted_lists(&mut grammar.cursor, header, nlist, row_bytes)?,
    };
    if &fourcc.0 == b"IwQR" {
        product_quantiser(&mut grammar.cursor)?;
        grammar.cursor.vector(1, "the refining codes")?;
        grammar.cursor.f32("the refinement factor")?;
    }
    if row_bytes.is_some() {
        let found = lists.iter().fold(0u64, |sum, list| sum.saturating_add(list.rows));
        grammar.same(found, header.rows, "vectors in the lists")?;
    }
    Ok(Body::Lists(Lists { quantizer: Box::new(quantizer), nlist, nprobe, codec, by_residual, lists }))
}

/// How the vectors are stored, and whether as differences.
fn quantiser(grammar: &mut Grammar<'_>, fourcc: Fourcc, header: &Header) -> Result<(Option<Codec>, bool)> {
    match &fourcc.0 {
        b"IwFl" | b"IvFL" | b"IvFl" => Ok((Some(Codec::F32), false)),
        b"IBwF" => Ok((Some(Codec::Bits), false)),
        b"IwSq" | b"IwSQ" | b"IvSQ" => {
            let codec = grammar.scalar_quantiser(header.dim)?;
            let code_size = grammar.cursor.u64("the code size")?;
            grammar.same(code_size, codec.row_bytes(header.dim), "bytes of code")?;
            let by_residual = if &fourcc.0 == b"IwSq" { grammar.cursor.flag("by_residual")? } else { true };
            Ok((Some(codec), by_residual))
        }
        b"IwPQ" | b"IwQR" | b"IwPf" => {
            grammar.cursor.flag("by_residual")?;
            grammar.cursor.u64("the code size")?;
            if &fourcc.0 == b"IwPf" {
                grammar.cursor.block(1, 4 + 8 + 4 + 8, "the settings of the codes")?;
            }
            product_quantiser(&mut grammar.cursor)?;
            Ok((None, false))
        }
        _ => Err(Error::bug(format!("{fourcc} is no index of inverted lists"))),
    }
}

fn direct_map(cursor: &mut Cursor<'_>) -> Result<()> {
    let kind = cursor.u8("the type of the direct map")?;
    cursor.vector(8, "the direct map")?;
    match kind {
        0 | 1 => Ok(()),
        2 => cursor.vector(16, "the direct map").map(drop),
        _ => Err(cursor.bad(format_args!("a direct map of type {kind}"))),
    }
}

/// The lists, whose codes have `row_bytes` each, or cannot be told.
fn inverted_lists(cursor: &mut Cursor<'_>, header: &Header, nlist: u64, row_bytes: Option<u64>) -> Result<Vec<List>> {
    let at = cursor.at();
    let kind = Fourcc(cursor.code("the type of the inverted lists")?);
    match &kind.0 {
        b"ilar" => array_lists(cursor, nlist, row_bytes),
        b"ilbl" if row_bytes.is_none() => block_lists(cursor, nlist).map(|()| Vec::new()),
        b"il00" if header.rows == 0 || row_bytes.is_none() => Ok(Vec::new()),
        _ => Err(refusal(cursor, kind)?.with("file", cursor.label()).with("offset", at)),
    }
}

fn array_lists(cursor: &mut Cursor<'_>, nlist: u64, row_bytes: Option<u64>) -> Result<Vec<List>> {
    let own_nlist = cursor.u64("the number of lists")?;
    let code_size = cursor.u64("the code size of the lists")?;
    if own_nlist != nlist || row_bytes.is_some_and(|row_bytes| row_bytes != code_size) {
        return Err(
            cursor.bad(format_args!("{own_nlist} lists of codes of {code_size} bytes in an index of {nlist} lists"))
        );
    }
    let mut lists = Vec::new();
    let kind = Fourcc(cursor.code("the sizes of the lists")?);
    let sizes = cursor.vector(8, "the sizes of the lists")?;
    let mut numbers = cursor.fork(sizes.at);
    match &kind.0 {
        b"full" if sizes.count == nlist => {
            for number in 0..nlist {
                let rows = numbers.u64("the size of a list")?;
                add_list(cursor, number, rows, code_size, &mut lists)?;
            }
        }
        b"sprs" if sizes.count % 2 == 0 => {
            for (number, rows) in sparse_sizes(cursor, &mut numbers, nlist, sizes)? {
                add_list(cursor, number, rows, code_size, &mut lists)?;
            }
        }
        _ => return Err(cursor.bad(format_args!("{} sizes of kind `{kind}` for {nlist} lists", sizes.count))),
    }
    Ok(lists)
}

/// Pairs of list and size, in the order of the lists, which is that of the data.
fn sparse_sizes(cursor: &Cursor<'_>, numbers: &mut Cursor<'_>, nlist: u64, sizes: Span) -> Result<Vec<(u64, u64)>> {
    let mut pairs = Vec::new();
    for _ in 0..sizes.count / 2 {
        pairs.push((numbers.u64("the number of a list")?, numbers.u64("the size of a list")?));
    }
    pairs.sort_unstable();
    if let Some(twice) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(cursor.bad(format_args!("the size of list {} stands twice", twice[0].0)));
    }
    match pairs.last() {
        Some((last, _)) if *last >= nlist => Err(cursor.bad(format_args!("list {last} of {nlist}"))),
        _ => Ok(pairs),
    }
}

fn add_list(cursor: &mut Cursor<'_>, number: u64, rows: u64, code_size: u64, lists: &mut Vec<List>) -> Result<()> {
    if rows > 0 {
        let codes = cursor.block(rows, code_size, "the codes of a list")?;
        let ids = cursor.block(rows, 8, "the ids of a list")?;
        lists.push(List { number, rows, codes_at: codes.at, ids_at: ids.at });
    }
    Ok(())
}

fn block_lists(cursor: &mut Cursor<'_>, nlist: u64) -> Result<()> {
    let own_nlist = cursor.u64("the number of lists")?;
    if own_nlist != nlist {
        return Err(cursor.bad(format_args!("{own_nlist} lists in an index of {nlist} lists")));
    }
    cursor.block(3, 8, "the sizes of blocks")?;
    for _ in 0..nlist {
        cursor.vector(8, "the ids of a list")?;
        cursor.vector(1, "the codes of a list")?;
    }
    Ok(())
}

fn old_ids(cursor: &mut Cursor<'_>, nlist: u64) -> Result<Vec<Span>> {
    let mut ids = Vec::new();
    for _ in 0..nlist {
        ids.push(cursor.vector(8, "the ids of a list")?);
    }
    Ok(ids)
}

/// Lists whose ids stood before: their codes in items of `unit` bytes.
fn old_lists(cursor: &mut Cursor<'_>, ids: &[Span], row_bytes: u64, unit: u64) -> Result<Vec<List>> {
    let mut lists = Vec::new();
    for (number, ids) in (0u64..).zip(ids) {
        let codes = cursor.vector(unit, "the codes of a list")?;
        if ids.count.checked_mul(row_bytes) != Some(codes.count * unit) {
            let bytes = codes.count * unit;
            return Err(cursor.bad(format_args!("list {number} has {} ids and {bytes} bytes of codes", ids.count)));
        }
        if ids.count > 0 {
            lists.push(List { number, rows: ids.count, codes_at: codes.at, ids_at: ids.at });
        }
    }
    Ok(lists)
}

/// Why lists of this kind are not read, after what stands behind their type.
fn refusal(cursor: &mut Cursor<'_>, kind: Fourcc) -> Result<Error> {
    Ok(match &kind.0 {
        b"il00" => Error::not_recognised("the inverted lists are not in this file: it was written without them")
            .hint("write the index again with its lists, or read the file that was made with faiss.write_index before"),
        b"ilod" => {
            let file = on_disk_file(cursor)?;
            Error::not_recognised(format!("the inverted lists are in another file, `{file}`")).hint(
                "put all into one file with FAISS: lists = faiss.ArrayInvertedLists(index.nlist, index.code_size); \
                 lists.merge_from(index.invlists, 0); index.replace_invlists(lists); faiss.write_index(index, ..)",
            )
        }
        b"ilpn" | b"ilp2" => Error::not_recognised(format!("inverted lists of type {kind} (Panorama) are not read")),
        _ => Error::not_recognised(format!("inverted lists of type `{kind}` are not read"))
            .hint("write the vectors into an IndexFlat with the FAISS that wrote this file, and read that"),
    })
}

/// The name of the file of lists on disk.
fn on_disk_file(cursor: &mut Cursor<'_>) -> Result<String> {
    cursor.block(2, 8, "the sizes of lists on disk")?;
    cursor.vector(24, "the places of lists on disk")?;
    cursor.vector(16, "the free places on disk")?;
    let name = cursor.vector(1, "the name of the file of lists")?;
    let mut letters = cursor.fork(name.at);
    let bytes = (0..name.count.min(4096)).map(|_| letters.u8("the name of the file of lists"));
    Ok(String::from_utf8_lossy(&bytes.collect::<Result<Vec<u8>>>()?).into_owned())
}
