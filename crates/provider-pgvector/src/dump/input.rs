//! The bytes of a dump, decompressed, from any place on.
//!
//! Invariant: offsets are of the decompressed bytes. A plain file is read from where it is asked for; a compressed one is
//! decompressed from its beginning and what comes before is passed over. A compressed stream that ends early is an error, never an early end.
//!
//! Errors: damaged for broken or cut streams, with the file and the offset.

use std::io::{self, BufReader, Read};
use std::path::Path;

use tranship_connector::{Error, ErrorKind, Result};
use tranship_storage::{Blob, BlobReader};

/// Read ahead, bytes.
const BUFFER_BYTES: usize = 256 << 10;
/// The window that `zstd --long` writes by default; more would let a frame demand gigabytes.
const ZSTD_WINDOW_LOG: u32 = 27;

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    None,
    /// gzip, one or more members.
    Gzip,
    /// A zlib stream.
    Zlib,
    /// LZ4 frames.
    Lz4,
    /// zstd frames.
    Zstd,
}

impl Codec {
    /// Recognises a compressed file by its first bytes.
    pub fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Codec::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Codec::Zstd,
            [0x04, 0x22, 0x4d, 0x18, ..] => Codec::Lz4,
            _ => Codec::None,
        }
    }

    /// The extension of a file compressed so.
    pub fn extension(self) -> &'static str {
        match self {
            Codec::None => "",
            Codec::Gzip | Codec::Zlib => ".gz",
            Codec::Lz4 => ".lz4",
            Codec::Zstd => ".zst",
        }
    }

    /// The decompressed bytes of `raw`.
    pub fn decode(self, raw: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
        let raw = BufReader::with_capacity(BUFFER_BYTES, raw);
        Ok(match self {
            Codec::None => Box::new(raw),
            Codec::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
            Codec::Zlib => Box::new(Whole { decoder: flate2::bufread::ZlibDecoder::new(raw), done: false }),
            Codec::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(raw)),
            Codec::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(raw)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
        })
    }
}

/// A zlib stream with nothing behind it.
struct Whole<R> {
    decoder: flate2::bufread::ZlibDecoder<R>,
    done: bool,
}

impl<R: io::BufRead> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.done || buffer.is_empty() {
            return Ok(0);
        }
        let count = self.decoder.read(buffer)?;
        if count == 0 {
            self.done = true;
            // What is left must be the end of the input, and reaching it is what proves that it is there.
            if self.decoder.get_mut().read(&mut [0])? != 0 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "data behind the end of the zlib stream"));
            }
        }
        Ok(count)
    }
}

/// A file, or a member of a container, that may be compressed as a whole.
#[derive(Debug, Clone)]
pub struct Input {
    /// The stored bytes.
    pub blob: Blob,
    /// Their compression.
    pub codec: Codec,
}

impl Input {
    /// The file at `path`, its compression told by its first bytes.
    pub fn of_path(path: &Path) -> Result<Self> {
        Input::of_blob(Blob::of_path(path)?)
    }

    /// The same for any run of bytes.
    pub fn of_blob(blob: Blob) -> Result<Self> {
        let mut head = [0; 4];
        let count = blob.open()?.read_at(0, &mut head)?;
        let codec = Codec::of(head.get(..count).unwrap_or_default());
        Ok(Input { blob, codec })
    }

    /// Where it is, for messages.
    pub fn label(&self) -> &str {
        self.blob.label()
    }

    /// Bytes, if that can be told without decompressing.
    pub fn len(&self) -> Option<u64> {
        (self.codec == Codec::None).then(|| self.blob.len())
    }

    /// The bytes from `offset` on.
    pub fn cursor(&self, offset: u64) -> Result<Cursor> {
        let reader = self.blob.open()?;
        let mut cursor = match self.codec {
            Codec::None => Cursor { kind: CursorKind::Blob(Ahead::new(reader)), position: 0 },
            codec => {
                let raw = Box::new(reader.range(0, reader.len()));
                let stream = codec.decode(raw).map_err(|error| read_error(self.label(), 0, error))?;
                Cursor { kind: CursorKind::Stream(stream), position: 0 }
            }
        };
        cursor.skip(offset).map_err(|error| read_error(self.label(), offset, error))?;
        Ok(cursor)
    }
}

/// Reads on, or passes over bytes.
pub struct Cursor {
    kind: CursorKind,
    position: u64,
}

enum CursorKind {
    Blob(Ahead),
    Stream(Box<dyn Read + Send>),
}

/// A blob with a buffer in front.
struct Ahead {
    reader: BlobReader,
    buffer: Vec<u8>,
    /// Where the buffer begins in the blob.
    start: u64,
}

impl Ahead {
    fn new(reader: BlobReader) -> Self {
        Ahead { reader, buffer: Vec::new(), start: 0 }
    }

    fn read(&mut self, position: u64, out: &mut [u8]) -> io::Result<usize> {
        let inside = position.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        let mut ready = inside.and_then(|at| self.buffer.get(at..)).unwrap_or_default();
        if ready.is_empty() {
            if out.len() >= BUFFER_BYTES {
                return self.read_at(position, out);
            }
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(BUFFER_BYTES, 0);
            let count = self.read_at(position, &mut buffer)?;
            buffer.truncate(count);
            (self.buffer, self.start) = (buffer, position);
            ready = &self.buffer;
        }
        let count = ready.len().min(out.len());
        if let (Some(from), Some(to)) = (ready.get(..count), out.get_mut(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn read_at(&self, position: u64, out: &mut [u8]) -> io::Result<usize> {
        self.reader.read_at(position, out).map_err(|error| io::Error::new(error.source.kind(), error))
    }
}

impl Cursor {
    /// Offset of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Passes over `count` bytes, which must be there.
    pub fn skip(&mut self, count: u64) -> io::Result<()> {
        let short = || io::Error::new(io::ErrorKind::UnexpectedEof, "the data ends before");
        match &mut self.kind {
            CursorKind::Blob(ahead) => {
                let end = self.position.checked_add(count).filter(|end| *end <= ahead.reader.len()).ok_or_else(short)?;
                self.position = end;
            }
            CursorKind::Stream(stream) => {
                let passed = io::copy(&mut stream.by_ref().take(count), &mut io::sink())?;
                self.position += passed;
                if passed < count {
                    return Err(short());
                }
            }
        }
        Ok(())
    }
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.kind {
            CursorKind::Blob(ahead) => ahead.read(self.position, buffer)?,
            CursorKind::Stream(stream) => stream.read(buffer)?,
        };
        self.position += count as u64;
        Ok(count)
    }
}

/// The error of reading `label` near byte `offset` of its decompressed data.
pub fn read_error(label: &str, offset: u64, error: io::Error) -> Error {
    let system = error.raw_os_error().is_some()
        || error.get_ref().is_some_and(|inner| inner.is::<tranship_storage::StorageError>());
    if system && error.kind() != io::ErrorKind::UnexpectedEof {
        return Error::from(error).with("file", label);
    }
    let message = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the data is cut short",
        _ => "the data is damaged",
    };
    Error::new(ErrorKind::Damaged, message)
        .with("file", label)
        .with("byte", offset)
        .hint("copy the dump again and compare sizes, or make a new one")
        .caused_by(error)
}
