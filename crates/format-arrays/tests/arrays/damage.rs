//! Cuts, flips and hostile numbers: an error with its file, or records; never a panic, never an allocation by a claim.

use std::path::Path;

use flate2::Crc;
use tranship_connector::ErrorKind;
use tranship_format_arrays::CONNECTOR;
use tranship_testkit::damage::{Damage, Survey, cuts, flips, survey};

use crate::cases::read;
use crate::{floats, npy, stored, write};

/// A ZIP archive of members as they are.
pub fn stored_zip(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    zip(&members.iter().map(|(name, bytes)| Entry::stored(name, bytes)).collect::<Vec<_>>())
}

/// A member as its headers state it.
#[derive(Clone)]
struct Entry {
    name: String,
    flags: u16,
    method: u16,
    crc: u32,
    size: u64,
    data: Vec<u8>,
    zip64: bool,
}

impl Entry {
    fn stored(name: &str, bytes: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(bytes);
        let (size, data) = (bytes.len() as u64, bytes.to_vec());
        Entry { name: name.to_owned(), flags: 0, method: 0, crc: crc.sum(), size, data, zip64: false }
    }

    fn deflated(name: &str, bytes: &[u8]) -> Self {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        Entry { method: 8, data: encoder.finish().unwrap(), ..Entry::stored(name, bytes) }
    }

    /// Version to size, as both headers have them.
    fn common(&self) -> Vec<u8> {
        let mut out = Vec::new();
        [45, self.flags, self.method, 0, 0].iter().for_each(|number: &u16| out.extend(number.to_le_bytes()));
        out.extend(self.crc.to_le_bytes());
        let sizes = if self.zip64 { [u64::from(u32::MAX); 2] } else { [self.data.len() as u64, self.size] };
        sizes.iter().for_each(|size| out.extend((*size as u32).to_le_bytes()));
        out
    }

    fn extra(&self) -> Vec<u8> {
        let numbers =
            [self.size, self.data.len() as u64].iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        if self.zip64 { [&[1, 0, 16, 0][..], &numbers].concat() } else { Vec::new() }
    }
}

fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let at = out.len() as u32;
        let lengths = [entry.name.len() as u16, entry.extra().len() as u16].map(u16::to_le_bytes).concat();
        out.extend(
            [&b"PK\x03\x04"[..], &entry.common(), &lengths, entry.name.as_bytes(), &entry.extra(), &entry.data]
                .concat(),
        );
        directory.extend([&b"PK\x01\x02\x2d\x03"[..], &entry.common(), &lengths, &[0; 10], &at.to_le_bytes()].concat());
        directory.extend([entry.name.as_bytes(), &entry.extra()].concat());
    }
    let (start, count) = (out.len() as u32, (entries.len() as u16).to_le_bytes());
    out.extend(&directory);
    out.extend(
        [
            &b"PK\x05\x06\0\0\0\0"[..],
            &count,
            &count,
            &(directory.len() as u32).to_le_bytes(),
            &start.to_le_bytes(),
            &[0, 0],
        ]
        .concat(),
    );
    out
}

fn damaged(path: &Path, damages: &[Damage]) -> Survey {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    survey(path, &name, damages, || read(&CONNECTOR, path, &[]))
}

fn error(path: &Path) -> String {
    let error = read(&CONNECTOR, path, &[]).err().unwrap_or_else(|| panic!("{} is read", path.display()));
    assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NotRecognised | ErrorKind::Limit), "{error}");
    error.to_string()
}

#[test]
fn every_cut_of_a_file_is_noticed() {
    let (_dir, home) = stored();
    let small = npy("'<f4'", false, "(3, 2)", &floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    let archive = zip(&[Entry::stored("v.npy", &small), Entry::deflated("w.npy", &small[..40])]);
    for (name, bytes) in [("s.npy", small.clone()), ("s.npz", archive)] {
        let path = write(&home, name, bytes);
        let len = std::fs::metadata(&path).unwrap().len();
        assert_eq!(damaged(&path, &cuts(len, &[], 1)).errors as u64, len, "{name}");
    }
    for (name, boundaries) in
        [("x.npz", vec![288_128, 312_256]), ("xc.npz", vec![266_827]), ("x_be.npy", vec![128]), ("x.fbin", vec![8])]
    {
        let path = home.join(name);
        let len = std::fs::metadata(&path).unwrap().len();
        let boundaries: Vec<Damage> = boundaries.iter().flat_map(|at| [at - 1, *at, at + 1]).map(Damage::Cut).collect();
        let some = cuts(len, &[], 2).into_iter().step_by(5);
        let found = damaged(&path, &some.chain(boundaries).collect::<Vec<_>>());
        assert_eq!((found.told, found.unnoticed), (0, 0), "{name}");
    }
    // A cut between two rows leaves a whole file.
    let path = home.join("x.fvecs");
    let whole_rows = |cut: &&Damage| !matches!(cut, Damage::Cut(len) if len % 100 == 0 && *len > 0);
    let between: Vec<Damage> =
        cuts(300_000, &[100, 200, 150_000], 3).iter().filter(whole_rows).step_by(5).cloned().collect();
    assert_eq!(damaged(&path, &between).errors, between.len());
}

#[test]
fn flips_are_survived_and_those_of_an_archive_are_noticed() {
    let (_dir, home) = stored();
    for name in ["x_f16.npy", "x.fvecs", "x.fbin", "x.ivecs"] {
        let path = home.join(name);
        let len = std::fs::metadata(&path).unwrap().len();
        damaged(&path, &[flips(len, 30, 4), flips(128, 60, 5)].concat());
    }
    for name in ["x.npz", "xc.npz"] {
        let path = home.join(name);
        // The first member is the matrix; its headers and data are covered by its checksum.
        let found = damaged(&path, &flips(266_000, 25, 6));
        assert!(found.unnoticed <= 2, "{name}: {found:?}");
        let len = std::fs::metadata(&path).unwrap().len();
        let in_directory: Vec<Damage> = flips(250, 80, 7)
            .into_iter()
            .map(|flip| if let Damage::Flip(at, bit) = flip { Damage::Flip(len - 1 - at, bit) } else { flip })
            .collect();
        damaged(&path, &in_directory);
    }
}

#[test]
fn claims_of_an_archive_are_checked_before_they_are_believed() {
    let dir = tempfile::tempdir().unwrap();
    let small = npy("'<f4'", false, "(1, 1)", &[0; 4]);
    let good = Entry::deflated("v.npy", &small);
    let write_zip = |entry: Entry| write(dir.path(), "z.npz", zip(&[entry]));
    let wide = Entry { zip64: true, ..good.clone() };
    assert_eq!(read(&CONNECTOR, &write_zip(wide), &[]).unwrap().records.len(), 1);
    for (entry, wanted) in [
        (Entry { flags: 1, ..good.clone() }, "encrypted"),
        (Entry { method: 12, ..good.clone() }, "packed by method 12"),
        (Entry { crc: 1, ..good.clone() }, "the checksum is wrong"),
        (Entry { size: good.size + 1, ..good.clone() }, "fewer bytes come out"),
        (Entry { size: good.size - 1, ..good.clone() }, "more bytes come out"),
        (Entry { size: 1 << 63, zip64: true, ..good.clone() }, "of the member"),
        (Entry { size: u64::MAX, method: 0, zip64: true, ..good.clone() }, "of the member"),
        (Entry { data: vec![7; 9], ..good.clone() }, "not deflate data"),
        (Entry::deflated("v.npy", &npy("'<f4'", false, "(9223372036854775808, 8)", &[0; 4])), "more than 2^64"),
        (Entry::deflated("v.npy", b"no array"), "no .npy file begins like this"),
    ] {
        let text = error(&write_zip(entry));
        assert!(text.contains(wanted) && text.contains("z.npz"), "{wanted}: {text}");
    }
    assert!(error(&write(dir.path(), "z.npz", zip(&[good.clone(), good.clone()]))).contains("comes twice"));
    // A bomb: 100 MB of zeros in 100 kB, of which the header states 4 bytes.
    let mut bomb = small.clone();
    bomb.resize(100_000_000, 0);
    assert!(error(&write_zip(Entry::deflated("v.npy", &bomb))).contains("the header states"));
}

#[test]
fn hostile_numbers_in_headers_are_errors() {
    let (_dir, home) = stored();
    let path = home.join("x.npz");
    let len = std::fs::metadata(&path).unwrap().len();
    // The end record: entries, bytes and offset of the directory, comment.
    for (at, bytes) in [(12, 2), (10, 4), (6, 4), (2, 2)] {
        let found =
            damaged(&path, &[Damage::Patch(len - at, vec![0xff; bytes]), Damage::Patch(len - at, vec![0x7f; bytes])]);
        assert_eq!(found.errors, 2, "at {at}");
    }
    let path = home.join("x_f16.npy");
    let patches = [(6, vec![9]), (8, vec![0xff, 0xff]), (0, b"NUMPY".to_vec()), (60, b"'shape': (-1, 24)".to_vec())];
    let patches: Vec<Damage> = patches.into_iter().map(|(at, bytes)| Damage::Patch(at, bytes)).collect();
    assert_eq!(damaged(&path, &patches).errors, patches.len());
}

#[cfg(feature = "hdf5")]
#[test]
fn damaged_hdf5_ends_in_errors_or_records() {
    let (_dir, home) = stored();
    let path = home.join("x-angular.hdf5");
    let len = std::fs::metadata(&path).unwrap().len();
    let some: Vec<Damage> = cuts(len, &[], 8).into_iter().step_by(8).collect();
    damaged(&path, &some);
    damaged(&path, &[flips(len, 40, 9), flips(4096, 250, 10)].concat());
}
