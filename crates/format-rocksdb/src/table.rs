//! A table file: sorted, immutable, in blocks.
//!
//! ```text
//! data blocks .. | [filters] | index | properties | metaindex: name -> handle | footer
//! block = bytes | u8 compression | u32 checksum of both        0 none, 1 Snappy, 4/5 LZ4, 7 ZSTD
//! compressed bytes (LZ4, ZSTD) = varint plain size | data
//! ```
//! Every block is checked before it is decoded. The file stays open while its [`Table`] lives, unless the database has
//! so many tables that they would use up the descriptors of the process.

use std::sync::Arc;

use tranship_connector::{Error, Result};
use tranship_storage::{Blob, BlobReader, Limits};

use crate::batch::unsupported;
use crate::block::{BadEntry, Block, Rows, sequence_and_type, user_key};
use crate::cache::{Cache, Cached};
use crate::checksum::{Checksum, context_modifier};
use crate::coding::Bytes;
use crate::footer::{Footer, Handle, TRAILER_BYTES};
use crate::index::{Index, IndexForm};
use crate::manifest::TableFile;
use crate::{damaged, refused};

/// A table whose footer, metaindex and properties have been read.
#[derive(Debug)]
pub struct Table {
    pub number: u64,
    /// Entries, deletes and older versions included.
    pub entries: u64,
    blob: Blob,
    /// `None` to open the file anew for every read.
    kept_open: Option<BlobReader>,
    footer: Footer,
    index: Handle,
    form: IndexForm,
    smallest: Vec<u8>,
    largest: Vec<u8>,
    max_block_bytes: usize,
}

/// A key's newest entry in a table.
#[derive(Debug)]
pub struct Found {
    pub sequence: u64,
    /// `None` if the key was deleted.
    pub value: Option<Vec<u8>>,
}

/// What the properties block says that matters.
#[derive(Debug, Default)]
struct Properties {
    entries: u64,
    form: IndexForm,
}

impl Table {
    /// Opens the table that the MANIFEST describes as `described`.
    pub fn open(blob: &Blob, number: u64, described: &TableFile, keep_open: bool, limits: &Limits) -> Result<Self> {
        if blob.len() != described.bytes {
            let what = format_args!("{} bytes long, its MANIFEST says {}", blob.len(), described.bytes).to_string();
            return Err(damaged(blob.label(), blob.len().min(described.bytes), what));
        }
        let file = blob.open()?;
        let footer = Footer::read(&file)?;
        let mut table = Table {
            number,
            entries: 0,
            blob: blob.clone(),
            kept_open: keep_open.then_some(file),
            index: footer.index.unwrap_or(footer.metaindex),
            footer,
            form: IndexForm::default(),
            smallest: described.smallest.clone(),
            largest: described.largest.clone(),
            max_block_bytes: limits.max_page_bytes,
        };
        table.read_metaindex()?;
        Ok(table)
    }

    /// True if the table may hold `key`.
    pub fn spans(&self, key: &[u8]) -> bool {
        self.smallest.as_slice() <= key && key <= self.largest.as_slice()
    }

    /// The newest entry of `key`.
    pub fn find(&self, key: &[u8], cache: &Cache) -> Result<Option<Found>> {
        let mut blocks = self.data_blocks(key, cache)?;
        while let Some(handle) = blocks.next_handle(self, cache)? {
            let block = self.cached_block(handle, cache)?;
            let mut rows = Rows::before(block, key).map_err(|_| self.bad_entry(handle))?;
            while rows.advance().map_err(|_| self.bad_entry(handle))? {
                let (user, sequence, kind) = parts(rows.key()).map_err(|_| self.bad_entry(handle))?;
                if user < key {
                    continue;
                }
                if user > key {
                    return Ok(None);
                }
                let value = self.is_put(kind, handle)?.then(|| rows.value().to_vec());
                return Ok(Some(Found { sequence, value }));
            }
        }
        Ok(None)
    }

    /// The data blocks from the first that may hold `key`.
    pub fn data_blocks(&self, key: &[u8], cache: &Cache) -> Result<DataBlocks> {
        let root = self.index(self.index, cache)?;
        let first = root.lower_bound(key);
        if !self.form.partitioned {
            return Ok(DataBlocks { root: None, next_root: 0, leaf: root, next: first });
        }
        let Some(handle) = root.handle(first) else {
            return Ok(DataBlocks { root: None, next_root: 0, leaf: Arc::default(), next: 0 });
        };
        let leaf = self.index(handle, cache)?;
        let next = leaf.lower_bound(key);
        Ok(DataBlocks { root: Some(root), next_root: first + 1, leaf, next })
    }

    /// Reads and decodes a data block.
    pub fn block(&self, handle: Handle) -> Result<Arc<Block>> {
        let block = Block::new(self.plain_bytes(handle)?);
        block.map(Arc::new).ok_or_else(|| self.damaged(handle, "a block's restarts do not fit"))
    }

    /// True if the entry stores a value, false if it deletes its key.
    pub fn is_put(&self, kind: u8, handle: Handle) -> Result<bool> {
        match (kind, unsupported(kind)) {
            (1, _) => Ok(true),
            (0 | 7, _) => Ok(false),
            (_, Some(what)) => Err(refused(self.blob.label(), what)),
            _ => Err(self.damaged(handle, format_args!("an entry of the unknown type {kind}"))),
        }
    }

    pub fn bad_entry(&self, handle: Handle) -> Error {
        self.damaged(handle, "an entry of a block does not fit")
    }

    fn cached_block(&self, handle: Handle, cache: &Cache) -> Result<Arc<Block>> {
        let place = (self.number, handle.offset);
        if let Some(Cached::Rows(block)) = cache.get(place) {
            return Ok(block);
        }
        let block = self.block(handle)?;
        cache.put(place, Cached::Rows(block.clone()));
        Ok(block)
    }

    fn index(&self, handle: Handle, cache: &Cache) -> Result<Arc<Index>> {
        let place = (self.number, handle.offset);
        if let Some(Cached::Index(index)) = cache.get(place) {
            return Ok(index);
        }
        let index = Index::new(&*self.block(handle)?, self.form);
        let index = Arc::new(index.ok_or_else(|| self.damaged(handle, "an entry of the index does not fit"))?);
        cache.put(place, Cached::Index(index.clone()));
        Ok(index)
    }

    fn read_metaindex(&mut self) -> Result<()> {
        let metaindex = self.footer.metaindex;
        let mut rows = Rows::new(self.block(metaindex)?);
        let mut properties = None;
        let mut index = self.footer.index;
        while rows.advance().map_err(|_| self.bad_entry(metaindex))? {
            let mut value = Bytes::new(rows.value());
            let handle = value.varint64().zip(value.varint64()).map(|(offset, size)| Handle { offset, size });
            let handle = handle.ok_or_else(|| self.bad_entry(metaindex))?;
            match rows.key() {
                b"rocksdb.properties" => properties = Some(handle),
                b"rocksdb.index" => index = Some(handle),
                b"rocksdb.range_del" => return Err(refused(self.blob.label(), "deletes of ranges of keys")),
                b"rocksdb.compression_dict" if handle.size > 0 => {
                    return Err(refused(self.blob.label(), "a compression dictionary"));
                }
                _ => {}
            }
        }
        let (Some(properties), Some(index)) = (properties, index) else {
            return Err(self.damaged(metaindex, "a table without index or properties"));
        };
        let properties = self.read_properties(properties)?;
        (self.index, self.entries, self.form) = (index, properties.entries, properties.form);
        Ok(())
    }

    fn read_properties(&self, handle: Handle) -> Result<Properties> {
        let mut rows = Rows::new(self.block(handle)?);
        let mut found = Properties::default();
        while rows.advance().map_err(|_| self.bad_entry(handle))? {
            let value = rows.value();
            let number = || Bytes::new(value).varint64().ok_or_else(|| self.bad_entry(handle));
            match rows.key() {
                b"rocksdb.num.entries" => found.entries = number()?,
                b"rocksdb.index.value.is.delta.encoded" => found.form.delta = number()? != 0,
                b"rocksdb.index.key.is.user.key" => found.form.user_keys = number()? != 0,
                b"rocksdb.block.based.table.index.type" => match Bytes::new(value).u32() {
                    Some(0 | 1) => {}
                    Some(2) => found.form.partitioned = true,
                    Some(3) => found.form.first_keys = true,
                    other => return Err(refused(self.blob.label(), format_args!("an index of type {other:?}"))),
                },
                b"rocksdb.num.range-deletions" if number()? > 0 => {
                    return Err(refused(self.blob.label(), "deletes of ranges of keys"));
                }
                b"rocksdb.external_sst_file.version" => return Err(refused(self.blob.label(), "an ingested table")),
                b"rocksdb.comparator" if value != b"leveldb.BytewiseComparator" => {
                    return Err(refused(self.blob.label(), "keys in an order other than that of their bytes"));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// The bytes of a block, checked and decompressed.
    fn plain_bytes(&self, handle: Handle) -> Result<Vec<u8>> {
        let end = handle.offset.checked_add(handle.size).and_then(|end| end.checked_add(TRAILER_BYTES));
        let Some(end) = end.filter(|end| *end <= self.blob.len()) else {
            let what = format!("a block of {} bytes leaves the file", handle.size);
            return Err(self.damaged(handle, what));
        };
        if handle.size > self.max_block_bytes as u64 {
            return Err(self.too_large(handle.size, handle));
        }
        let mut bytes = match &self.kept_open {
            Some(file) => file.range_to_vec(handle.offset, end, u64::MAX),
            None => self.blob.open()?.range_to_vec(handle.offset, end, u64::MAX),
        }?;
        let stored = bytes.split_off(bytes.len().saturating_sub(4));
        let stored = Bytes::new(&stored).u32().unwrap_or_default();
        let Footer { checksum, context, .. } = self.footer;
        let computed = checksum.of(&bytes).wrapping_add(context_modifier(context, handle.offset));
        if checksum != Checksum::None && computed != stored {
            return Err(self.damaged(handle, "a block fails its checksum"));
        }
        let compression = bytes.pop().unwrap_or_default();
        self.decompress(compression, bytes, handle)
    }

    fn decompress(&self, compression: u8, bytes: Vec<u8>, handle: Handle) -> Result<Vec<u8>> {
        let (name, plain) = match compression {
            0 => return Ok(bytes),
            1 => {
                let size = snap::raw::decompress_len(&bytes).unwrap_or(0);
                self.check_size(size as u64, handle)?;
                ("Snappy", snap::raw::Decoder::new().decompress_vec(&bytes).ok())
            }
            4 | 5 => {
                let (size, data) = self.sized_data(&bytes, handle)?;
                let plain = lz4_flex::block::decompress(data, size).ok();
                ("LZ4", plain.filter(|plain| plain.len() == size))
            }
            7 => {
                let (size, data) = self.sized_data(&bytes, handle)?;
                ("ZSTD", zstd::bulk::decompress(data, size).ok().filter(|plain| plain.len() == size))
            }
            _ => {
                let name = match compression {
                    2 => "zlib",
                    3 => "bzip2",
                    6 => "Xpress",
                    _ => "an unknown method",
                };
                return Err(refused(self.blob.label(), format_args!("blocks compressed by {name} ({compression})")));
            }
        };
        plain.ok_or_else(|| self.damaged(handle, format_args!("a block cannot be decompressed by {name}")))
    }

    fn sized_data<'b>(&self, bytes: &'b [u8], handle: Handle) -> Result<(usize, &'b [u8])> {
        let mut data = Bytes::new(bytes);
        let size = data.varint32().ok_or_else(|| self.bad_entry(handle))?;
        self.check_size(u64::from(size), handle)?;
        Ok((size as usize, bytes.get(data.position()..).unwrap_or_default()))
    }

    fn check_size(&self, size: u64, handle: Handle) -> Result<()> {
        if size > self.max_block_bytes as u64 { Err(self.too_large(size, handle)) } else { Ok(()) }
    }

    fn too_large(&self, size: u64, handle: Handle) -> Error {
        Error::limit(format!("a RocksDB block of {size} bytes, the limit is {}", self.max_block_bytes))
            .with("file", self.blob.label())
            .with("byte", handle.offset)
            .hint("if values really are that large, raise the limit")
    }

    fn damaged(&self, handle: Handle, what: impl std::fmt::Display) -> Error {
        damaged(self.blob.label(), handle.offset, what)
    }
}

/// User key, sequence number and type of an internal key.
pub fn parts(internal: &[u8]) -> std::result::Result<(&[u8], u64, u8), BadEntry> {
    let (sequence, kind) = sequence_and_type(internal)?;
    Ok((user_key(internal)?, sequence, kind))
}

/// The data blocks of a table in order, through one level of index or two.
#[derive(Debug)]
pub struct DataBlocks {
    root: Option<Arc<Index>>,
    next_root: usize,
    leaf: Arc<Index>,
    next: usize,
}

impl DataBlocks {
    /// The next block.
    pub fn next_handle(&mut self, table: &Table, cache: &Cache) -> Result<Option<Handle>> {
        loop {
            if let Some(handle) = self.leaf.handle(self.next) {
                self.next += 1;
                return Ok(Some(handle));
            }
            let Some(handle) = self.root.as_ref().and_then(|root| root.handle(self.next_root)) else { return Ok(None) };
            self.next_root += 1;
            (self.leaf, self.next) = (table.index(handle, cache)?, 0);
        }
    }
}
