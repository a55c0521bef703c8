//! Tars of the system's `tar`, and hand-made hostile ones.
#![allow(clippy::disallowed_methods)]

use std::path::Path;
use std::process::Command;

use tranship_storage::{Blob, Tree};

use super::{is_tar, read, read_without_end};

/// A header with a right checksum.
fn header(name: &str, size: u64, kind: u8) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar  \0");
    sealed(block)
}

fn sealed(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn padded(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    data.resize(data.len().next_multiple_of(512), 0);
    data
}

fn member(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    [header(name, data.len() as u64, kind).to_vec(), padded(data)].concat()
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let len = (1..).map(|digits| rest + digits).find(|len| len.to_string().len() + rest == *len).unwrap();
        data.extend_from_slice(format!("{len} {key}={value}\n").as_bytes());
    }
    member("pax", b'x', &data)
}

const END: [u8; 1024] = [0; 1024];

fn tree_of(parts: &[&[u8]]) -> tranship_connector::Result<(tempfile::TempDir, Tree)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.tar");
    std::fs::write(&path, parts.concat()).unwrap();
    let tree = read(&Blob::of_path(&path).unwrap())?;
    Ok((dir, tree))
}

/// The message of what must fail.
fn error(parts: &[&[u8]]) -> String {
    let error = tree_of(parts).map(drop).expect_err("this is no good tar").to_string();
    assert!(error.contains("t.tar"), "{error}");
    error
}

fn bytes(tree: &Tree, name: &str) -> Vec<u8> {
    tree.get(name).unwrap_or_else(|| panic!("no {name}")).read_all(1 << 30).unwrap()
}

fn names(tree: &Tree) -> Vec<&str> {
    tree.iter().map(|(name, _)| name).collect()
}

#[test]
fn tars_of_the_system_are_read_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let deep = format!("{}/{}", "directory-".repeat(9), "file-".repeat(30));
    for name in ["a", "b/c", deep.as_str()] {
        std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        std::fs::write(root.join(name), name.repeat(200)).unwrap();
    }
    holey(&root.join("holes"), 40);
    for format in ["gnu", "pax", "posix", "ustar", "v7"] {
        let tar = dir.path().join(format!("{format}.tar"));
        let mut command = Command::new("tar");
        command.arg("cf").arg(&tar).arg(format!("--format={format}")).arg("-C").arg(&root);
        // The old formats have no long names.
        let limited = matches!(format, "ustar" | "v7");
        let made = command.args(if limited { &["a", "b", "holes"][..] } else { &["."][..] }).status();
        assert!(made.unwrap().success());
        let blob = Blob::of_path(&tar).unwrap();
        assert!(is_tar(&blob));
        compare(&read(&blob).unwrap(), &root, if limited { 3 } else { 4 });
    }
}

#[test]
fn sparse_members_of_every_format_read_as_the_files_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    holey(&root.join("few"), 2);
    // More pieces than one extension header holds.
    holey(&root.join("many"), 60);
    std::fs::write(root.join("empty"), "").unwrap();
    std::fs::File::create(root.join("all")).unwrap().set_len(1 << 20).unwrap();
    for arguments in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let tar = dir.path().join("t.tar");
        let made = Command::new("tar").arg("cSf").arg(&tar).args(arguments).arg("-C").arg(&root).arg(".").status();
        assert!(made.unwrap().success());
        let tar = Blob::of_path(&tar).unwrap();
        assert!(tar.len() < 3 << 20, "the holes were stored: {}", tar.len());
        compare(&read(&tar).unwrap(), &root, 4);
    }
}

fn holey(path: &Path, pieces: u64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::create(path).unwrap();
    for piece in 0..pieces {
        file.write_all_at(format!("piece {piece}").as_bytes(), piece * (256 << 10) + 5000).unwrap();
    }
    file.set_len(pieces * (256 << 10) + 7).unwrap();
}

fn compare(tree: &Tree, root: &Path, files: usize) {
    assert_eq!(tree.iter().count(), files);
    for (name, blob) in tree.iter() {
        assert!(blob.read_all(1 << 30).unwrap() == std::fs::read(root.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn members_have_plain_names_and_directories_are_none() {
    let old_directory = header("./d/", 0, b'0');
    let base256 = {
        let mut block = header("n", 0, 0);
        block[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
        sealed(block)
    };
    let parts = [
        &header("./", 0, b'5')[..],
        &old_directory,
        &member("././x", 0, b"x"),
        &member("d/y", b'7', b"yy"),
        &base256,
        &padded(b"zzz"),
        &member("g", b'g', b"17 comment=abcde\n"),
        &END,
        b"whatever",
    ];
    let (_dir, tree) = tree_of(&parts).unwrap();
    assert_eq!(names(&tree), ["d/y", "n", "x"]);
    assert_eq!((bytes(&tree, "d/y"), bytes(&tree, "n")), (b"yy".to_vec(), b"zzz".to_vec()));
}

#[test]
fn names_and_kinds_that_could_do_harm_are_refused() {
    for (name, kind, said) in [
        ("/etc/x", b'0', "absolute"),
        ("a/../../x", b'0', "leaves"),
        ("..", b'5', "leaves"),
        ("l", b'1', "hard link"),
        ("l", b'2', "symbolic link"),
        ("l", b'3', "device"),
        ("l", b'6', "pipe"),
        ("l", b'Z', "unknown type"),
    ] {
        let message = error(&[&member(name, kind, b""), &END]);
        assert!(message.contains(said) && message.contains(&format!("entry {name}")), "{message}");
        assert!(message.contains("byte 0"), "{message}");
    }
    let message = error(&[&member("a", 0, b"1"), &member("./a", 0, b"2"), &END]);
    assert!(message.contains("twice") && message.contains("byte 1024"), "{message}");
    let not_utf8 = {
        let mut block = header("a", 0, 0);
        block[0] = 0xff;
        sealed(block)
    };
    assert!(error(&[&not_utf8, &END]).contains("UTF-8"));
    assert!(error(&[&pax(&[("path", "../x")]), &member("x", 0, b""), &END]).contains("leaves"));
    assert!(error(&[&member("g", b'g', b"9 path=x\n"), &member("x", 0, b""), &END]).contains("global"));
}

#[test]
fn sizes_that_cannot_be_are_refused_before_anything_is_allocated() {
    let huge = {
        let mut block = header("huge", 0, 0);
        block[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
        sealed(block)
    };
    assert!(error(&[&huge, &END]).contains("entry huge"));
    let negative = {
        let mut block = header("neg", 0, 0);
        block[124..136].fill(0xff);
        sealed(block)
    };
    assert!(error(&[&negative, &END]).contains("no number"));
    assert!(error(&[&header("long", 1 << 30, b'L'), &END]).contains("extended header"));
    assert!(error(&[&header("x", 700, 0), &END[..512]]).contains("700 bytes"));
    let conflict = error(&[&pax(&[("size", "5")]), &member("x", 0, b"abc"), &END]);
    assert!(conflict.contains("says 3 bytes, its PAX records 5"), "{conflict}");
    assert!(error(&[&member("pax", b'x', b"99 path=x\n"), &member("x", 0, b""), &END]).contains("do not add up"));
    assert!(error(&[&pax(&[("size", "-1")]), &member("x", 0, b""), &END]).contains("no number"));
}

#[test]
fn sparse_maps_that_cannot_be_are_refused() {
    let sparse = |records: &[(&str, &str)], data: &[u8]| error(&[&pax(records), &member("s", 0, data), &END]);
    let size = ("GNU.sparse.size", "9223372036854775807");
    assert!(sparse(&[size, ("GNU.sparse.map", "0,9223372036854775807")], b"abc").contains("covers"));
    assert!(sparse(&[("GNU.sparse.size", "10"), ("GNU.sparse.map", "5,2,0,1")], b"abc").contains("do not fit"));
    assert!(sparse(&[("GNU.sparse.size", "2"), ("GNU.sparse.map", "0,3")], b"abc").contains("do not fit"));
    assert!(sparse(&[("GNU.sparse.size", "10"), ("GNU.sparse.map", "5")], b"abc").contains("no list"));
    assert!(sparse(&[("GNU.sparse.map", "0,3")], b"abc").contains("without its size"));
    let format_1 = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "10")];
    assert!(sparse(&format_1, b"99999999999\n").contains("pieces"));
    assert!(sparse(&format_1, b"2\n0\n").contains("no list"));
    assert!(sparse(&[("GNU.sparse.major", "7"), ("GNU.sparse.minor", "0")], b"").contains("unknown"));
    // A hole of eight EiB costs nothing.
    let whole = [pax(&[("GNU.sparse.size", "9223372036854775807"), ("GNU.sparse.map", "7,3")]), member("s", 0, b"abc")];
    let (_dir, tree) = tree_of(&[&whole.concat(), &END]).unwrap();
    let member = tree.get("s").unwrap();
    assert_eq!(member.len(), i64::MAX as u64);
    assert_eq!(member.open().unwrap().range_to_vec(6, 11, 5).unwrap(), b"\0abc\0");
}

#[test]
fn a_tar_that_is_cut_anywhere_before_its_end_mark_is_an_error() {
    let parts = [pax(&[("path", "long")]), member("x", 0, b"abc"), member("y", b'0', &[7; 700])].concat();
    for end in 0..parts.len() {
        error(&[&parts[..end]]);
    }
    assert!(error(&[&parts]).contains("without its end mark"));
    assert!(error(&[&parts, &END[..512], &parts]).contains("block of zeros"));
    assert!(tree_of(&[&parts, &END]).is_ok());
    assert!(error(&[&pax(&[("path", "x")]), &END]).contains("after an extended header"));
}

#[test]
fn a_tar_that_is_known_to_be_whole_may_lack_its_end_mark_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.tar");
    let whole = [member("x", 0, b"abc"), member("y", 0, b"def")].concat();
    for end in 0..=whole.len() {
        std::fs::write(&path, &whole[..end]).unwrap();
        let found = read_without_end(&Blob::of_path(&path).unwrap());
        assert_eq!(found.is_ok(), end.is_multiple_of(1024), "{end}");
    }
    std::fs::write(&path, [&whole[..], &END].concat()).unwrap();
    assert_eq!(names(&read_without_end(&Blob::of_path(&path).unwrap()).unwrap()), ["x", "y"]);
}

#[test]
fn a_flipped_bit_of_a_header_is_noticed() {
    let whole = [&member("x", 0, b"abc")[..], &END].concat();
    for bit in 0..512 * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // Some bits of the checksum's own field mean nothing.
        if !(148..156).contains(&(bit / 8)) {
            assert!(error(&[&flipped]).contains("checksum"), "bit {bit}");
        }
    }
}
