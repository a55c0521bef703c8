//! Sequential input and output: a file or standard input, decompressed by what its first bytes say.
//!
//! Invariant: the compression is recognised by magic, never by name; a damaged or truncated frame is an error of the
//! reader, never an early end. zstd and gzip inputs may consist of several frames or members; what [`Compressor`] makes
//! are whole frames and members, so that outputs can be put one after another.

use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use crate::error::StorageError;
use crate::input::open_regular;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Plain bytes.
    None,
    /// gzip (RFC 1952), one or more members.
    Gzip,
    /// Zstandard (RFC 8878), one or more frames.
    Zstd,
}

impl Compression {
    /// Recognises compression by the first four bytes.
    pub fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// The compression that the name of an output asks for.
    pub fn by_name(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Compression::Gzip,
            Some("zst") => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// The compression of a file; `None` for an empty or unreadable head.
    pub fn of_file(path: &Path) -> Result<Self, StorageError> {
        let mut head = Vec::with_capacity(4);
        let file = open_regular(path)?;
        file.take(4).read_to_end(&mut head).map_err(|e| StorageError::new("read", path, e))?;
        Ok(Compression::of(&head))
    }
}

/// Opens `path` (`-` is standard input) as a decompressed stream.
pub fn open_stream(path: &Path) -> Result<Box<dyn Read + Send>, StorageError> {
    let raw: Box<dyn Read + Send> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(open_regular(path)?) };
    let failed = |e| StorageError::new("read", path, e);
    // A pipe may deliver its first bytes one by one, so the magic is read apart and put back in front.
    let (mut raw, mut head) = (raw, Vec::with_capacity(4));
    raw.by_ref().take(4).read_to_end(&mut head).map_err(failed)?;
    let compression = Compression::of(&head);
    let raw = BufReader::with_capacity(256 << 10, io::Cursor::new(head).chain(raw));
    Ok(match compression {
        Compression::None => Box::new(raw),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(raw).map_err(failed)?;
            // 27 is what `zstd --long` writes by default; more would let a frame demand gigabytes.
            decoder.window_log_max(27).map_err(failed)?;
            Box::new(decoder)
        }
    })
}

/// Compresses into memory: one zstd frame with checksum, one gzip member without time or name, or the bytes as they are.
pub enum Compressor {
    /// Plain bytes.
    Plain(Vec<u8>),
    /// A gzip member.
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    /// A zstd frame.
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

impl Compressor {
    /// A compressor of this kind. The same bytes in the same writes give the same bytes out.
    pub fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Compressor::Plain(Vec::new()),
            Compression::Gzip => {
                Compressor::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default()))
            }
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 3)?;
                encoder.include_checksum(true)?;
                Compressor::Zstd(encoder)
            }
        })
    }

    /// Completes the frame or member.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Compressor::Plain(bytes) => Ok(bytes),
            Compressor::Gzip(encoder) => encoder.finish(),
            Compressor::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Write for Compressor {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Compressor::Plain(bytes) => bytes.write(buffer),
            Compressor::Gzip(encoder) => encoder.write(buffer),
            Compressor::Zstd(encoder) => encoder.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
