//! Damaged and hostile files: each ends in an error with file and offset, or in the same records.

use tranship_connector::ErrorKind;
use tranship_testkit::damage::{Damage, cuts, flips, survey};
use tranship_testkit::fixtures;

use crate::build::{Rdb, floats, listpack, lzf, number, packed_text, text, zip_text, ziplist};
use crate::reading::{read_bytes, refuse, save, try_read};

const WANTED: &[(&str, &str)] = &[("vector", "v")];

fn vector() -> Vec<u8> {
    floats(&[0.5, -1.0])
}

/// A small file with every encoding of hashes.
fn small() -> Vec<u8> {
    let pair = [text(b"v"), text(&vector())].concat();
    let items = [packed_text(b"v"), packed_text(&vector()), packed_text(b"n"), vec![5]];
    let with_expiry = [packed_text(b"v"), packed_text(&vector()), vec![0]];
    Rdb::new("REDIS0012")
        .raw(&[250])
        .raw(&text(b"redis-ver"))
        .raw(&text(b"7.4.0"))
        .database(0)
        .raw(&[251, 6, 0])
        .hash("1", &vector(), &[("a", "text")])
        .key(4, "2", &[number(1), text(b"v"), lzf(&vector())].concat())
        .key(16, "3", &text(&listpack(&items)))
        .key(13, "4", &text(&ziplist(&[zip_text(b"v"), zip_text(&vector())])))
        .key(24, "5", &[vec![0; 8], number(1), number(0), pair].concat())
        .key(25, "6", &[vec![0; 8], text(&listpack(&with_expiry))].concat())
        .key(14, "7", &[number(1), text(b"list")].concat())
        .end()
}

#[test]
fn every_cut_of_a_small_file_is_an_error() {
    let saved = save(&small());
    assert_eq!(try_read(&saved.path, WANTED).unwrap().records.len(), 6);
    let damages = cuts(small().len() as u64, &[], 1);
    let found = survey(&saved.path, "hand.rdb", &damages, || try_read(&saved.path, WANTED));
    assert_eq!((found.errors, found.unnoticed), (damages.len(), 0));
}

#[test]
fn every_flipped_bit_is_noticed_by_the_checksum() {
    let bytes = small();
    let saved = save(&bytes);
    let all: Vec<Damage> =
        (0..bytes.len() as u64).flat_map(|at| (0..8).map(move |bit| Damage::Flip(at, bit))).collect();
    let found = survey(&saved.path, "hand.rdb", &all, || try_read(&saved.path, WANTED));
    // A version of four digits may become another one; the checksum tells all the same.
    assert_eq!((found.errors, found.unnoticed), (all.len(), 0));
}

#[test]
fn flipped_bits_without_checksum_never_end_in_a_panic() {
    let mut bytes = small();
    let end = bytes.len() - 8;
    bytes[end..].fill(0);
    let saved = save(&bytes);
    let all: Vec<Damage> =
        (0..bytes.len() as u64).flat_map(|at| (0..8).map(move |bit| Damage::Flip(at, bit))).collect();
    let found = survey(&saved.path, "hand.rdb", &all, || try_read(&saved.path, WANTED));
    assert_eq!(found.unnoticed, 0, "a file without checksum always says so");
    assert!(found.errors > all.len() / 3, "{found:?}");
}

#[test]
fn the_stored_dump_survives_cuts_and_flips() {
    let dir = tempfile::tempdir().unwrap();
    fixtures::unpack("redis-7-rdb", dir.path());
    let path = dir.path().join("redis/dump.rdb");
    let len = std::fs::metadata(&path).unwrap().len();
    let some: Vec<Damage> = cuts(len, &[], 7).into_iter().step_by(4).chain(flips(len, 100, 8)).collect();
    let found = survey(&path, "dump.rdb", &some, || try_read(&path, &[("vector", "embedding")]));
    assert_eq!((found.errors, found.unnoticed), (some.len(), 0));
}

#[test]
fn hostile_sizes_are_errors_before_anything_is_allocated() {
    let huge = |value: u64| [&[0x81][..], &value.to_be_bytes()].concat();
    let sizes = [1 << 63, u64::MAX, 1 << 40, 1 << 31];
    for size in sizes {
        let cases: [Vec<u8>; 9] = [
            Rdb::new("REDIS0011").raw(&[4]).raw(&huge(size)).0,
            Rdb::new("REDIS0011").key(4, "k", &huge(size)).0,
            Rdb::new("REDIS0011").key(4, "k", &[number(1), text(b"v"), huge(size)].concat()).0,
            Rdb::new("REDIS0011")
                .key(4, "k", &[number(1), text(b"v"), vec![0xc3, 4], huge(size), vec![0; 4]].concat())
                .0,
            Rdb::new("REDIS0011").key(4, "k", &[number(1), text(b"v"), vec![0xc3], huge(size), vec![5]].concat()).0,
            Rdb::new("REDIS0011").key(16, "k", &huge(size)).0,
            Rdb::new("REDIS0011").key(1, "k", &huge(size)).0,
            Rdb::new("REDIS0011").key(15, "k", &huge(size)).0,
            Rdb::new("REDIS0015").raw(&[242, 1]).raw(&huge(size)).0,
        ];
        for bytes in cases {
            let error = refuse(&bytes, WANTED);
            assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
            assert!(error.context().iter().any(|(key, _)| *key == "byte"), "{error}");
        }
    }
}

#[test]
fn a_compression_bomb_is_not_unpacked() {
    // 1 literal and copies of 264 bytes each: as much as LZF can do.
    let packed: Vec<u8> = [&[0, b'x'][..], &[0xe0, 0xff, 0].repeat(400_000)].concat();
    let value = [vec![0xc3], number(packed.len() as u64), number(1 + 264 * 400_000), packed].concat();
    let file = Rdb::new("REDIS0011").key(4, "k", &[number(1), text(b"v"), value].concat()).end();
    let error = refuse(&file, WANTED);
    assert!(error.to_string().contains("compressed bytes stand for 105600001"), "{error}");
}

#[test]
fn a_big_hash_outside_the_collection_does_no_harm_and_one_inside_is_named() {
    let big = vec![b'x'; 1 << 20];
    let many = |first: &[u8]| {
        let fields: Vec<Vec<u8>> = (0..70).map(|n| [text(format!("f{n}").as_bytes()), text(&big)].concat()).collect();
        [number(71), text(first), text(&vector()), fields.concat()].concat()
    };
    let file = Rdb::new("REDIS0011").hash("k", &vector(), &[]).key(4, "big", &many(b"w")).end();
    let outcome = read_bytes(&file, WANTED);
    assert_eq!(outcome.records.len(), 1);
    assert!(outcome.notes[0].starts_with("1 hashes without `v`"));
    let file = Rdb::new("REDIS0011").hash("k", &vector(), &[]).key(4, "big", &many(b"v")).end();
    let error = refuse(&file, WANTED);
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("the hash `big`"), "{error}");
}

#[test]
fn what_is_not_known_is_never_guessed() {
    let cases: [(Vec<u8>, &str); 8] = [
        (Rdb::new("REDIS0011").raw(&[200]).end(), "opcode 200"),
        (Rdb::new("REDIS0016").raw(&[241]).end(), "opcode 241"),
        (Rdb::new("VALKEY080").raw(&[242]).end(), "opcode 242"),
        (Rdb::new("REDIS0010").raw(&[246]).end(), "functions of a release candidate"),
        (Rdb::new("REDIS0011").key(6, "k", &[]).end(), "kind 6"),
        (Rdb::new("REDIS0015").key(29, "k", &[]).end(), "kind 29"),
        (Rdb::new("REDIS0015").key(33, "k", &[]).end(), "kind 33"),
        (Rdb::new("VALKEY080").key(24, "k", &[]).end(), "kind 24"),
    ];
    for (bytes, what) in cases {
        let error = refuse(&bytes, &[("prefix", "other")]);
        assert_eq!(error.kind(), ErrorKind::NotRecognised, "{error}");
        assert!(error.to_string().contains(what) && error.to_string().contains("byte"), "{error}");
        assert!(error.next_step().is_some());
    }
    for (bytes, what) in [
        (Rdb::new("REDIS0011").raw(&[254, 0xc0, 1]).0, "where a number should be"),
        (Rdb::new("REDIS0011").raw(&[254, 0x82]).0, "a length of unknown form 0x82"),
        (Rdb::new("REDIS0011").key(0, "k", &[0xc4]).0, "unknown encoding 4"),
        (Rdb::new("REDIS0011").key(18, "k", &[1, 3, 0]).0, "a list node of unknown form 3"),
        (Rdb::new("REDIS0011").key(7, "k", &[1, 9]).0, "a part of unknown type 9"),
        (Rdb::new("REDIS0011").key(16, "k", &text(b"xx")).0, "it is cut off"),
        (Rdb::new("REDIS0011").key(16, "k", &text(&[8, 0, 0, 0, 1, 0, 255, 0])).0, "bytes follow its end"),
        (Rdb::new("REDIS0011").key(16, "k", &text(&[7, 0, 0, 0, 2, 0, 255])).0, "another number of elements"),
        (Rdb::new("REDIS0011").key(16, "k", &text(&[9, 0, 0, 0, 1, 0, 1, 1, 255])).0, "a field is incomplete"),
        (Rdb::new("REDIS0011").key(16, "k", &text(&[9, 0, 0, 0, 1, 0, 0xf5, 1, 255])).0, "unknown encoding"),
    ] {
        let error = refuse(&bytes, &[]);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn what_follows_the_end_and_wrong_checksums_need_leave() {
    let mut tail = small();
    tail.extend_from_slice(b"*3\r\n$4\r\nHSET\r\n");
    let error = refuse(&tail, WANTED);
    assert!(error.to_string().contains("14 bytes follow the end of the dump"), "{error}");
    let outcome = read_bytes(&tail, &[("vector", "v"), ("inconsistent", "")]);
    assert_eq!(outcome.records.len(), 6);
    assert!(outcome.notes.iter().any(|note| note.contains("14 bytes follow")));
    let mut wrong = small();
    let at = wrong.len() - 1;
    wrong[at] ^= 1;
    assert!(refuse(&wrong, WANTED).to_string().contains("its checksum is"));
    assert_eq!(read_bytes(&wrong, &[("vector", "v"), ("inconsistent", "")]).records.len(), 6);
}
