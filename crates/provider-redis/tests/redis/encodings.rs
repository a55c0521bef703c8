//! Files of every version, with every encoding of hashes and values of every kind between them.

use tranship_collection::Element;
use tranship_connector::ErrorKind;

use crate::build::{Rdb, floats, hash, listpack, lzf, number, packed_text, text, zip_text, ziplist};
use crate::reading::{metadata, read_bytes, refuse};

const VECTOR: [f32; 3] = [0.5, -1.0, 2.25];

fn vector() -> Vec<u8> {
    floats(&VECTOR)
}

/// Reads the one hash `k` and gives its metadata, having checked its vector.
fn one(bytes: &[u8]) -> String {
    let outcome = read_bytes(bytes, &[]);
    assert_eq!(outcome.records.len(), 1, "{:?}", outcome.rejects);
    assert_eq!(outcome.records[0].dense(""), Some(&VECTOR[..]));
    metadata(&outcome)["k"].to_owned()
}

#[test]
fn all_versions_of_both_magics_are_read() {
    for magic in (1..=15).map(|version| format!("REDIS{version:04}")).chain(["VALKEY080".to_owned()]) {
        let file = Rdb::new(&magic).raw(&[254, 0]).hash("k", &vector(), &[("a", "1")]);
        let bytes = if magic.as_str() < "REDIS0005" { file.raw(&[255]).0 } else { file.end() };
        assert_eq!(one(&bytes), r#"{"a":"1"}"#, "{magic}");
    }
    let newer = Rdb::new("REDIS0016").hash("k", &vector(), &[]).end();
    assert!(read_bytes(&newer, &[]).notes[0].contains("newer than what tranship was tested with"));
}

#[test]
fn strings_are_read_in_all_encodings() {
    let long = "0123456789".repeat(2000);
    let fields = [
        (text(b"i8"), vec![0xc0, 0x80]),
        (text(b"i16"), vec![0xc1, 0x00, 0x80]),
        (text(b"i32"), vec![0xc2, 0, 0, 0, 0x80]),
        (text(b"lzf"), lzf(b"compressed text")),
        (lzf(b"name"), text(long.as_bytes())),
        (text(b"v"), lzf(&vector())),
        (text(b"wide"), [&[0x81, 0, 0, 0, 0, 0, 0, 0, 2][..], b"ok"].concat()),
        (vec![0xc0, 7], text(&[0xff, 0])),
    ];
    let body: Vec<u8> = fields.iter().flat_map(|(name, value)| [name.clone(), value.clone()].concat()).collect();
    let file = Rdb::new("REDIS0009").key(4, "k", &[number(8), body].concat()).end();
    let expected = format!(
        r#"{{"i8":"-128","i16":"-32768","i32":"-2147483648","lzf":"compressed text","name":"{long}","wide":"ok","7":{{"$bytes":"/wA="}}}}"#
    );
    assert_eq!(one(&file), expected);
}

#[test]
fn listpacks_are_read_in_all_encodings() {
    let long = "x".repeat(5000);
    let numbers: [(&[u8], &str); 12] = [
        (&[127], "127"),
        (&[0xc0 | 0x0f, 0xff], "4095"),
        (&[0xdf, 0xff], "-1"),
        (&[0xd0, 0x00], "-4096"),
        (&[0xf1, 0xff, 0x7f], "32767"),
        (&[0xf1, 0x00, 0x80], "-32768"),
        (&[0xf2, 0xff, 0xff, 0x7f], "8388607"),
        (&[0xf2, 0x00, 0x00, 0x80], "-8388608"),
        (&[0xf3, 0, 0, 0, 0x80], "-2147483648"),
        (&[0xf4, 0, 0, 0, 0, 0, 0, 0, 0x80], "-9223372036854775808"),
        (&[0x84, b't', b'e', b'x', b't'], "text"),
        (&[0x80], ""),
    ];
    let mut items = vec![packed_text(b"v"), packed_text(&vector()), packed_text(b"long"), packed_text(long.as_bytes())];
    let mut expected = vec![format!(r#""long":"{long}""#)];
    for (position, (encoded, shown)) in numbers.iter().enumerate() {
        // The names are numbers, which is how a listpack keeps them.
        items.push(vec![position as u8]);
        items.push(encoded.to_vec());
        expected.push(format!(r#""{position}":"{shown}""#));
    }
    items.push(packed_text(b"middle"));
    items.push(packed_text(&[b'y'; 100]));
    expected.push(format!(r#""middle":"{}""#, "y".repeat(100)));
    let packed = listpack(&items);
    let expected = format!("{{{}}}", expected.join(","));
    assert_eq!(one(&Rdb::new("REDIS0010").key(16, "k", &text(&packed)).end()), expected);
    assert_eq!(one(&Rdb::new("REDIS0010").key(16, "k", &lzf(&packed)).end()), expected);
}

#[test]
fn ziplists_are_read_in_all_encodings() {
    let long = "x".repeat(20_000);
    let numbers: [(&[u8], &str); 9] = [
        (&[0xf1], "0"),
        (&[0xfd], "12"),
        (&[0xfe, 0x80], "-128"),
        (&[0xc0, 0xff, 0x7f], "32767"),
        (&[0xf0, 0x00, 0x00, 0x80], "-8388608"),
        (&[0xd0, 0, 0, 0, 0x80], "-2147483648"),
        (&[0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], "9223372036854775807"),
        (&[0x02, b'o', b'k'], "ok"),
        (&[0x00], ""),
    ];
    let mut items = vec![zip_text(b"v"), zip_text(&vector()), zip_text(b"long"), zip_text(long.as_bytes())];
    items.extend([zip_text(b"middle"), zip_text(&[b'y'; 300])]);
    let mut expected = vec![format!(r#""long":"{long}""#), format!(r#""middle":"{}""#, "y".repeat(300))];
    for (position, (encoded, shown)) in numbers.iter().enumerate() {
        let name = format!("n{position}");
        items.extend([zip_text(name.as_bytes()), encoded.to_vec()]);
        expected.push(format!(r#""{name}":"{shown}""#));
    }
    let file = Rdb::new("REDIS0006").key(13, "k", &text(&ziplist(&items))).end();
    assert_eq!(one(&file), format!("{{{}}}", expected.join(",")));
}

#[test]
fn zipmaps_are_read_with_their_unused_bytes() {
    let long = "x".repeat(300);
    let mut map = vec![3, 1, b'v', 12, 2];
    map.extend(vector());
    map.extend([9, 9]);
    map.extend([1, b'a', 0, 0]);
    map.extend([&[4][..], b"long", &[254], &300u32.to_le_bytes(), &[0], long.as_bytes(), &[255]].concat());
    let file = Rdb::new("REDIS0003").key(9, "k", &text(&map)).raw(&[255]).0;
    assert_eq!(one(&file), format!(r#"{{"a":"","long":"{long}"}}"#));
}

#[test]
fn hashes_with_expiring_fields_are_read_in_all_forms() {
    let ttl = 1_700_000_000_000u64;
    let pair = |name: &[u8], value: &[u8]| [text(name), text(value)].concat();
    let with_ttl = |a: u64| [number(2), number(0), pair(b"v", &vector()), number(a), pair(b"a", b"1")].concat();
    let packed = listpack(&[
        packed_text(b"v"),
        packed_text(&vector()),
        vec![0],
        packed_text(b"a"),
        packed_text(b"1"),
        [&[0xf4][..], &ttl.to_le_bytes()].concat(),
    ]);
    let redis: [(u8, Vec<u8>); 4] = [
        (22, with_ttl(ttl)),
        (23, text(&packed)),
        (24, [ttl.to_le_bytes().to_vec(), with_ttl(1)].concat()),
        (25, [ttl.to_le_bytes().to_vec(), text(&packed)].concat()),
    ];
    let valkey = [
        number(2),
        pair(b"v", &vector()),
        (-1i64).to_le_bytes().to_vec(),
        pair(b"a", b"1"),
        ttl.to_le_bytes().to_vec(),
    ]
    .concat();
    let files = redis.into_iter().map(|(kind, value)| ("REDIS0012", kind, value)).chain([("VALKEY080", 22, valkey)]);
    for (magic, kind, value) in files {
        let bytes = Rdb::new(magic).key(kind, "k", &value).key(0, "after", &text(b"x")).end();
        assert_eq!(one(&bytes), r#"{"a":"1"}"#, "{magic} kind {kind}");
        let outcome = read_bytes(&bytes, &[]);
        let notes = outcome.notes.join("\n");
        assert!(notes.contains("0 records and 1 fields have an expiry time"), "{kind}: {notes}");
        assert_eq!(outcome.schema.vendor["redis"]["expiring_fields"], 1);
        // Passing over it comes to the same place.
        let outcome = read_bytes(&bytes.clone(), &[("prefix", "k")]);
        assert_eq!(outcome.records.len(), 1);
        let skipped = Rdb::new(magic).key(kind, "x", &value).hash("k", &vector(), &[]).end();
        assert_eq!(read_bytes(&skipped, &[("prefix", "k")]).records.len(), 1, "{magic} kind {kind}");
    }
}

#[test]
fn hashes_that_share_a_template_are_read() {
    let template = [vec![242], number(5), number(2), text(b"v"), text(b"name")].concat();
    let packed = listpack(&[vec![5], packed_text(&vector()), packed_text(b"x")]);
    let file = Rdb::new("REDIS0015")
        .raw(&template)
        .database(0)
        .key(30, "k", &text(&packed))
        .key(32, "m", &[number(5), text(&vector()), text(b"y")].concat())
        .end();
    let outcome = read_bytes(&file, &[]);
    let found = metadata(&outcome);
    assert_eq!((found["k"], found["m"]), (r#"{"name":"x"}"#, r#"{"name":"y"}"#));
    assert_eq!(read_bytes(&file, &[("prefix", "m")]).records.len(), 1);
    let unknown = Rdb::new("REDIS0015").raw(&template).key(32, "m", &number(6)).end();
    assert!(refuse(&unknown, &[]).to_string().contains("its template is not defined"));
    let short = listpack(&[vec![5], packed_text(&vector())]);
    let short = Rdb::new("REDIS0015").raw(&template).key(30, "k", &text(&short)).end();
    assert!(refuse(&short, &[]).to_string().contains("fewer values than its template"));
}

fn stream(kind: u8) -> Vec<u8> {
    let id = [0u8; 16];
    let mut out = [number(1), text(&id), text(&listpack(&[vec![1]]))].concat();
    out.extend((0..if kind >= 19 { 8 } else { 3 }).flat_map(|n| number(n * 100)));
    out.extend([number(1), text(b"group"), number(70_000), number(1)].concat());
    if kind >= 19 {
        out.extend(number(9));
    }
    out.extend([number(1), id.to_vec(), vec![7; 8], number(300)].concat());
    out.extend(
        [number(1), text(b"consumer"), vec![7; if kind >= 21 { 16 } else { 8 }], number(1), id.to_vec()].concat(),
    );
    if kind >= 27 {
        out.extend([number(1), id.to_vec()].concat());
    }
    if kind >= 26 {
        out.extend([number(60), number(100), number(1), text(b"producer"), number(1), text(b"iid")].concat());
        out.extend([number(1 << 40), number(0), number(5), number(1)].concat());
    }
    out
}

fn module(parts: &[u8]) -> Vec<u8> {
    // ReJSON-RL, version 3.
    let id = [0x81, 0x44, 0x57, 0x89, 0x4a, 0x28, 0xfe, 0x44, 0x03];
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let number = b"ReJSON-RL"
        .iter()
        .fold(0u64, |id, letter| id << 6 | letters.iter().position(|known| known == letter).unwrap() as u64);
    let id = [&id[..1], &(number << 10 | 3).to_be_bytes()].concat();
    [&id[..], parts].concat()
}

#[test]
fn values_of_every_other_kind_are_passed_over_and_counted() {
    let parts = [&[2, 5, 1, 0x41, 0x00, 3, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 5][..], &text(b"{}"), &[0]].concat();
    let string = text(b"x");
    let others: Vec<(u8, Vec<u8>)> = vec![
        (0, string.clone()),
        (1, [number(2), string.clone(), string.clone()].concat()),
        (2, [number(1), string.clone()].concat()),
        (
            3,
            [
                number(4),
                string.clone(),
                vec![253],
                string.clone(),
                vec![254],
                string.clone(),
                vec![255],
                string.clone(),
                vec![3],
                b"1.5".to_vec(),
            ]
            .concat(),
        ),
        (5, [number(1), string.clone(), vec![0; 8]].concat()),
        (7, module(&parts)),
        (10, text(&ziplist(&[zip_text(b"x")]))),
        (11, text(&[2, 0, 0, 0, 1, 0, 0, 0, 5, 0])),
        (12, text(&ziplist(&[zip_text(b"x"), zip_text(b"1")]))),
        (14, [number(2), text(b"zip"), lzf(b"list")].concat()),
        (15, stream(15)),
        (17, text(&listpack(&[]))),
        (18, [number(2), number(1), text(b"plain"), number(2), text(b"packed")].concat()),
        (19, stream(19)),
        (20, text(&listpack(&[]))),
        (21, stream(21)),
        (26, stream(26)),
        (27, stream(27)),
        (
            28,
            [
                number(3),
                number(1),
                number(2),
                number(0),
                number(0),
                string.clone(),
                number(1),
                number(1),
                vec![0; 8],
                number(2),
                number(3),
                string,
            ]
            .concat(),
        ),
    ];
    let mut file = Rdb::new("REDIS0014")
        .raw(&[250])
        .raw(&text(b"redis-ver"))
        .raw(&text(b"8.8.1"))
        .raw(&[247])
        .raw(&module(&[2, 1, 5, 1, b'x', 0]))
        .raw(&[245])
        .raw(&text(b"#!lua name=lib"))
        .database(0)
        .raw(&[251, 20, 2])
        .raw(&[244, 1, 2, 3]);
    for (kind, value) in &others {
        file = file.raw(&[252, 0, 0, 0, 0, 0, 0, 0, 0, 248, 5, 249, 7]).key(*kind, "other", value);
    }
    // Key metadata, then an expiry, then the key.
    let bytes = file
        .raw(&[243, 1, 1, 2, 3, 4, 5])
        .raw(&text(b"meta"))
        .raw(&[0])
        .raw(&[253, 0, 0, 0, 0])
        .hash("k", &vector(), &[("a", "1")])
        .raw(&[247])
        .raw(&module(&[2, 2, 0]))
        .end();
    assert_eq!(one(&bytes), r#"{"a":"1"}"#);
    let notes = read_bytes(&bytes, &[]).notes.join("\n");
    assert!(
        notes.contains("1 arrays, 4 lists, 3 sets, 4 sorted sets, 5 streams, 1 strings, which are not read"),
        "{notes}"
    );
    assert!(notes.contains("1 values of `ReJSON-RL` are not read: RedisJSON documents"), "{notes}");
    assert!(notes.contains("data of the modules `ReJSON-RL` are not read"), "{notes}");
    assert!(notes.contains("1 records and 0 fields have an expiry time"), "{notes}");
}

#[test]
fn a_slot_that_valkey_imports_is_passed_over() {
    let file = Rdb::new("VALKEY080").raw(&[243]).raw(&text(b"job")).raw(&[1, 0, 0x40, 0x64]);
    assert_eq!(one(&file.hash("k", &vector(), &[]).end()), "");
}

#[test]
fn elements_of_every_type_are_read() {
    let doubles: Vec<u8> = [0.5f64, -1.0, 2.25].iter().flat_map(|v| v.to_le_bytes()).collect();
    let cases: [(&str, Vec<u8>, Element, [f32; 3]); 5] = [
        ("f16", vec![0x00, 0x38, 0x00, 0xbc, 0x80, 0x40], Element::F16, VECTOR),
        ("bf16", vec![0x00, 0x3f, 0x80, 0xbf, 0x10, 0x40], Element::BF16, VECTOR),
        ("i8", vec![1, 0x80, 0x7f], Element::I8, [1.0, -128.0, 127.0]),
        ("u8", vec![1, 0x80, 0xff], Element::U8, [1.0, 128.0, 255.0]),
        ("f64", doubles, Element::F32, VECTOR),
    ];
    for (name, bytes, element, wanted) in cases {
        let outcome = read_bytes(&Rdb::new("REDIS0010").hash("k", &bytes, &[]).end(), &[("element", name)]);
        assert_eq!(outcome.records[0].dense(""), Some(&wanted[..]), "{name}");
        assert_eq!(outcome.schema.vectors[0].element, element);
    }
}

#[test]
fn doubles_that_no_float_holds_need_leave() {
    let doubles: Vec<u8> = [0.1f64, 1.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let file = Rdb::new("REDIS0010").hash("k", &doubles, &[]).end();
    let error = refuse(&file, &[("element", "f64")]);
    assert_eq!(error.kind(), ErrorKind::LossDenied);
    assert!(error.to_string().contains("`v` of `k`"), "{error}");
    let outcome = read_bytes(&file, &[("element", "f64"), ("lossy", "")]);
    assert_eq!(outcome.records[0].dense(""), Some(&[0.1f32, 1.0][..]));
}

#[test]
fn hashes_that_contradict_themselves_are_rejects_with_their_place() {
    let nan = floats(&[f32::NAN, 0.0, 0.0]);
    let twice = hash(&[(b"v", &vector()), (b"a", b"1"), (b"a", b"2")]);
    let file = Rdb::new("REDIS0010")
        .hash("good", &vector(), &[])
        .hash("good2", &vector(), &[])
        .hash("long", &floats(&[1.0; 4]), &[])
        .hash("nan", &nan, &[])
        .hash("empty", &[], &[])
        .key(4, "twice", &twice)
        .raw(&[4])
        .raw(&text(&[0xff]))
        .raw(&hash(&[(b"v", &vector())]))
        .key(4, "name", &hash(&[(b"v", &vector()), (&[0xff], b"1")]))
        .end();
    let outcome = read_bytes(&file, &[("vector", "v")]);
    assert_eq!(outcome.records.len(), 2);
    let reasons: Vec<(Option<&str>, &str)> =
        outcome.rejects.iter().map(|reject| (reject.id.as_deref(), reject.reason.as_str())).collect();
    assert_eq!(
        reasons,
        [
            (Some("long"), "`v` has 16 bytes, 3 elements of f32 have 12"),
            (Some("nan"), "vector: NaN or infinity"),
            (Some("empty"), "`v` has 0 bytes, 3 elements of f32 have 12"),
            (Some("twice"), "the field `a` comes twice"),
            (None, "the key is not valid UTF-8"),
            (Some("name"), "the name of the field `\u{fffd}` is not valid UTF-8"),
        ]
    );
    assert!(outcome.rejects[0].place.ends_with("hand.rdb byte 54"), "{}", outcome.rejects[0].place);
    assert_eq!(outcome.ledger.raw, Some(8));
}
