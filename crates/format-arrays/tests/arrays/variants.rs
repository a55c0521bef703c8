//! Shapes, types and side files that no stored file has, and what is refused.

use std::path::Path;

use tranship_collection::schema::IdKinds;
use tranship_collection::{Element, VectorKind};
use tranship_connector::{ErrorKind, Locator, OpenOptions};
use tranship_format_arrays::CONNECTOR;

use crate::cases::{open, read};
use crate::{floats, npy, stored, write};

fn refusal(path: &Path, options: &[(&str, &str)]) -> (ErrorKind, String) {
    let error = read(&CONNECTOR, path, options).err().unwrap_or_else(|| panic!("{} is read", path.display()));
    (error.kind(), format!("{error} -> {}", error.next_step().unwrap_or_default()))
}

#[test]
fn arrays_that_are_no_matrix_of_numbers_are_refused_by_name() {
    let (dir, home) = stored();
    let path = home.join("x_obj.npy");
    let (kind, text) = refusal(&path, &[]);
    assert!(
        kind == ErrorKind::NotRecognised && text.contains("Python objects") && text.contains("x_obj.npy"),
        "{text}"
    );
    let cases = [
        (npy("'<f4'", false, "(2,)", &[0; 8]), "1 dimensions"),
        (npy("'<f4'", false, "(1, 1, 2)", &[0; 8]), "several vectors per row"),
        (npy("'<f4'", false, "()", &[0; 4]), "0 dimensions"),
        (npy("'<f4'", false, "(3, 0)", &[]), "without any dimension"),
        (npy("'<U2'", false, "(1, 1)", &[0; 8]), "holds U2"),
        (npy("'|b1'", false, "(2, 2)", &[0; 4]), "np.packbits"),
        (npy("'<c8'", false, "(1, 1)", &[0; 8]), "holds <c8"),
        (npy("[('a', '<f4')]", false, "(2,)", &[0; 8]), "holds [('a', '<f4')]"),
    ];
    for (bytes, wanted) in cases {
        let path = write(dir.path(), "a.npy", bytes);
        let (kind, text) = refusal(&path, &[]);
        assert!(
            kind == ErrorKind::NotRecognised && text.contains(wanted) && text.contains("a.npy"),
            "{wanted}: {text}"
        );
    }
    let wide = write(dir.path(), "wide.npy", npy("'|i1'", false, "(1, 100000)", &[0; 100_000]));
    assert_eq!(refusal(&wide, &[]).0, ErrorKind::Limit);
}

#[test]
fn numbers_that_no_f32_equals_need_consent() {
    let dir = tempfile::tempdir().unwrap();
    let doubles: Vec<u8> = [1.0, 0.5, 2.0, 1e300].iter().flat_map(|value: &f64| value.to_le_bytes()).collect();
    let path = write(dir.path(), "d.npy", npy("'<f8'", false, "(2, 2)", &doubles));
    let (kind, text) = refusal(&path, &[]);
    assert_eq!(kind, ErrorKind::LossDenied);
    assert!(text.contains("row 1, dimension 1") && text.contains("--allow-lossy"), "{text}");
    let outcome = read(&CONNECTOR, &path, &[("allow_lossy", "yes")]).unwrap();
    assert_eq!(outcome.rejects.len(), 1, "beyond f32 there is only infinity");
    assert!(outcome.rejects[0].place.ends_with("d.npy row 1"), "{:?}", outcome.rejects);
    let mut rows = Vec::new();
    [1u32, 16_777_217].iter().for_each(|value| rows.extend([1u32.to_le_bytes(), value.to_le_bytes()].concat()));
    let path = write(dir.path(), "v.ivecs", rows);
    assert!(refusal(&path, &[]).1.contains("no f32 equals 16777217 (i4)"));
    assert_eq!(
        read(&CONNECTOR, &path, &[("allow_lossy", "yes")]).unwrap().records[1].dense(""),
        Some(&[16_777_216.0][..])
    );
}

#[test]
fn rows_without_magic_must_fit_their_sizes() {
    let dir = tempfile::tempdir().unwrap();
    let head = |rows: u32, dims: u32| [rows.to_le_bytes(), dims.to_le_bytes()].concat();
    let bin = |rows, dims, data: &[u8]| [head(rows, dims), data.to_vec()].concat();
    for (name, bytes, wanted) in [
        ("a.fbin", bin(3, 2, &[0; 16]), "states 3 rows of 2 dimensions, the file has 2"),
        ("a.fbin", bin(2, 2, &[0; 17]), "1 bytes"),
        ("a.hbin", bin(u32::MAX, 65_000, &[0; 16]), "states 4294967295 rows"),
        ("a.u8bin", bin(1, 0, &[]), "0 dimensions"),
        ("a.i8bin", vec![1, 2, 3], "too short"),
        ("a.fvecs", vec![], "too short"),
        ("a.fvecs", bin(1, 0, &[0]), "1 bytes are left over"),
        ("a.fvecs", bin(1, 0, &[2, 0, 0, 0, 0, 0, 0, 0]), "the last row states 2"),
    ] {
        let path = write(dir.path(), name, bytes);
        let (kind, text) = refusal(&path, &[]);
        assert!(kind == ErrorKind::Damaged && text.contains(wanted) && text.contains(name), "{text}");
        assert_eq!((CONNECTOR.probe)(&path), Some(30), "the name alone looks right");
    }
    let middle: Vec<u8> = [1u32, 7, 2, 7, 1, 7].iter().flat_map(|n| n.to_le_bytes()).collect();
    let path = write(dir.path(), "m.ivecs", middle);
    assert!(refusal(&path, &[]).1.contains("a row of 2 dimensions, the first has 1"));
    let (kind, text) = refusal(&write(dir.path(), "truth.ibin", bin(1, 1, &[0; 8])), &[]);
    assert!(kind == ErrorKind::NotRecognised && text.contains("table of neighbours"), "{text}");
    let (_, text) = refusal(&write(dir.path(), "vectors.dat", bin(1, 1, &[0; 4])), &[]);
    assert!(text.contains("-o format="), "{text}");
    let outcome = read(&CONNECTOR, &dir.path().join("vectors.dat"), &[("format", "fbin")]).unwrap();
    assert_eq!(outcome.records.len(), 1);
    let signed = write(dir.path(), "s.i8bin", bin(1, 2, &[0x80, 5]));
    let outcome = read(&CONNECTOR, &signed, &[]).unwrap();
    assert_eq!(outcome.schema.vectors[0].element, Element::I8);
    assert_eq!(outcome.records[0].dense(""), Some(&[-128.0, 5.0][..]));
    let half = read(&CONNECTOR, &write(dir.path(), "h.hbin", bin(1, 1, &[0, 0xc0])), &[]).unwrap();
    assert_eq!(half.records[0].dense(""), Some(&[-2.0][..]));
}

#[test]
fn bytes_are_bits_only_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "b.npy", npy("'|u1'", true, "(2, 2)", &[1, 2, 3, 4]));
    let spec = |outcome: &tranship_testkit::reading::Outcome| {
        let spec = &outcome.schema.vectors[0];
        (spec.kind, spec.dim)
    };
    assert_eq!(spec(&read(&CONNECTOR, &path, &[]).unwrap()), (VectorKind::Dense, Some(2)));
    assert_eq!(spec(&read(&CONNECTOR, &path, &[("bits", "yes")]).unwrap()), (VectorKind::Bits, Some(16)));
    let path = write(dir.path(), "f.npy", npy("'<f4'", false, "(1, 1)", &[0; 4]));
    assert!(refusal(&path, &[("bits", "yes")]).1.contains("packed bits in u1"));
    assert!(refusal(&path, &[("bits", "maybe")]).1.contains("unknown"));
}

#[test]
fn ids_and_metadata_must_be_as_many_as_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "v.npy", npy("'<f4'", false, "(2, 1)", &floats(&[1.0, 2.0])));
    let ids = |name: &str, bytes: &[u8]| write(dir.path(), name, bytes).to_str().unwrap().to_owned();
    for (name, bytes, wanted) in [
        ("a.txt", b"x\n".to_vec(), "1 ids for 2 vectors"),
        ("a.txt", b"x\ny\nz".to_vec(), "3 ids for 2 vectors"),
        ("a.txt", b"x\n\xff\n".to_vec(), "no UTF-8"),
        ("a.jsonl", b"{\"id\":1}\n{\"x\":1}\n".to_vec(), "a line without an id"),
        ("a.npy", npy("'<i8'", false, "(1,)", &[0; 8]), "1 ids for 2 vectors"),
        ("a.npy", npy("'<f8'", false, "(2,)", &[0; 16]), "not f8 of shape [2]"),
        ("a.npy", npy("'|O'", false, "(2,)", &[0; 16]), "not Python objects"),
        ("a.npy", npy("'|S2'", false, "(2,)", b"a\0\0\0"), "an id that is empty"),
    ] {
        let ids = ids(name, &bytes);
        let text = refusal(&path, &[("ids", &ids)]).1;
        assert!(text.contains(wanted) && (text.contains(name) || wanted.contains("line")), "{wanted}: {text}");
    }
    let two = ids("m.jsonl", b"{\"a\":1}\n");
    assert!(refusal(&path, &[("metadata", &two)]).1.contains("1 lines for 2 vectors"));
    assert_eq!(refusal(&path, &[("ids", "/nowhere/ids.npy")]).0, ErrorKind::Io);
    let some = ids("m.jsonl", b"{\"id\":\"a\"}\n{\"document\":\"x\"}\n");
    assert!(refusal(&path, &[("metadata", &some)]).1.contains("a row without an id"));
    let (other, given) = (ids("m.jsonl", b"{\"id\":\"a\"}\n{\"id\":\"c\"}\n"), ids("g.txt", b"a\nb\n"));
    assert!(
        refusal(&path, &[("metadata", &other), ("ids", &given)])
            .1
            .contains("the ids say \"b\", the metadata says \"c\"")
    );
}

#[test]
fn kinds_of_ids_follow_what_the_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "v.npy", npy("'<f4'", false, "(2, 1)", &floats(&[1.0, 2.0])));
    for (name, bytes, kinds) in [
        ("a.txt", "7\n-3\n", IdKinds::Integer),
        ("a.txt", "7\n007\n", IdKinds::Text),
        ("a.jsonl", "{\"id\":7}\n{\"id\":\"7\"}\n", IdKinds::Mixed),
        ("a.jsonl", "\"a\"\n\"b\"\n", IdKinds::Text),
        ("a.ndjson", "1\n2\n", IdKinds::Integer),
    ] {
        let ids = write(dir.path(), name, bytes);
        let outcome = read(&CONNECTOR, &path, &[("ids", ids.to_str().unwrap())]).unwrap();
        assert_eq!((outcome.schema.ids, outcome.records.len()), (kinds, 2), "{name}: {bytes}");
    }
}

#[test]
fn a_bad_line_of_metadata_is_a_reject_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "v.npy", npy("'<f4'", false, "(4, 1)", &floats(&[1.0, 2.0, 3.0, f32::NAN])));
    let lines = "{\"a\":1}\n\n{\"a\":1,\"a\":2}\nnot JSON\n{}\n";
    let metadata = write(dir.path(), "m.jsonl", lines);
    let outcome = read(&CONNECTOR, &path, &[("metadata", metadata.to_str().unwrap())]).unwrap();
    let places: Vec<&str> = outcome.rejects.iter().map(|reject| reject.place.rsplit('/').next().unwrap()).collect();
    assert_eq!(places, ["m.jsonl line 3", "m.jsonl line 4", "v.npy row 3"]);
    assert_eq!(outcome.rejects[1].id.as_deref(), Some("2"));
    assert_eq!(outcome.records[0].metadata.as_deref(), Some("{\"a\":1}"));
    assert!(outcome.notes.iter().any(|note| note.contains("metadata as a whole")), "{:?}", outcome.notes);
}

#[test]
fn the_arrays_of_a_directory_must_be_alike() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "part_10.npy", npy("'<f4'", false, "(1, 1)", &floats(&[10.0])));
    write(dir.path(), "part_9.npy", npy("'>f4'", true, "(1, 1)", &9f32.to_be_bytes()));
    let ids =
        write(dir.path(), "ids.npy", npy("'<i8'", false, "(2,)", &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]));
    assert!(refusal(dir.path(), &[]).1.contains("ids.npy"));
    let outcome = read(&CONNECTOR, dir.path(), &[("ids", ids.to_str().unwrap())]).unwrap();
    let rows: Vec<_> = outcome.records.iter().map(|r| (r.id.as_str(), r.dense("").unwrap()[0])).collect();
    assert_eq!(rows, [("1", 9.0), ("2", 10.0)]);
    std::fs::remove_file(ids).unwrap();
    assert_eq!((CONNECTOR.probe)(dir.path()), Some(40));
    write(dir.path(), "part_11.npy", npy("'<f4'", false, "(1, 2)", &floats(&[1.0, 2.0])));
    assert!(refusal(dir.path(), &[]).1.contains("part_11.npy has 2 dimensions of f4, part_9.npy has 1"));
}

#[test]
fn one_of_several_matrices_is_chosen_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let member = |values: &[f32]| npy("'<f4'", false, &format!("(1, {})", values.len()), &floats(values));
    let members = [("a.npy", member(&[1.0])), ("b.npy", member(&[1.0, 2.0])), ("notes.txt", b"x".to_vec())];
    let path = write(dir.path(), "two.npz", crate::damage::stored_zip(&members));
    let text = refusal(&path, &[]).1;
    assert!(text.contains("several matrices") && text.contains("a, b"), "{text}");
    assert_eq!(read(&CONNECTOR, &path, &[("collection", "b")]).unwrap().records[0].dense(""), Some(&[1.0, 2.0][..]));
    assert!(refusal(&path, &[("collection", "c")]).1.contains("no array `c`"));
    let locator = Locator { provider: None, path };
    let names: Vec<String> =
        CONNECTOR.list.unwrap()(&locator, &OpenOptions::default()).unwrap().into_iter().map(|info| info.name).collect();
    assert_eq!(names, ["a", "b"]);
    let one =
        write(dir.path(), "one.npz", crate::damage::stored_zip(&[("v.npy", npy("'<f4'", false, "(2,)", &[0; 8]))]));
    assert!(refusal(&one, &[]).1.contains("1 dimensions"));
    assert!(open(&CONNECTOR, &one, &[("nonsense", "1")]).is_err());
}

#[cfg(not(feature = "hdf5"))]
#[test]
fn hdf5_is_recognised_by_a_build_that_does_not_read_it() {
    let (_dir, home) = stored();
    let (kind, text) = refusal(&home.join("x-angular.hdf5"), &[]);
    assert!(kind == ErrorKind::NotRecognised && text.contains("feature `hdf5`"), "{text}");
}

#[cfg(feature = "hdf5")]
#[test]
fn other_datasets_are_read_by_name() {
    let (_dir, home) = stored();
    let path = home.join("x-angular.hdf5");
    assert!(refusal(&path, &[("dataset", "nothing")]).1.contains("there are"));
    assert!(read(&CONNECTOR, &path, &[("dataset", "test")]).unwrap().records.len() < 3000);
    assert!(refusal(&path, &[("collection", "train")]).1.contains("x-angular"));
}
