//! Real pickles of CPython 3.13, hostile ones, and every truncation.

use super::*;

const ROOMY: Bounds = Bounds { max_items: 1_000_000, max_memory_bytes: 16 << 20 };

/// `{'a': 1, 'b': [1, 2.5, None, True, 'xxx', b'yz', (1,), (1, 2, 3, 4), {3}, 2**40, .., -5, -2**40]}`, protocols 1, 2, 4.
const MIXED: [&str; 3] = [
    "7d71002858010000006171014b0158010000006271025d7103284b014740040000000000004e4930310a58030000007878787104635f636f646563730a656e636f64650a7105285802000000797a710658060000006c6174696e317107747108527109284b0174710a284b014b024b034b0474710b635f5f6275696c74696e5f5f0a7365740a710c285d710d4b036174710e52710f4c313039393531313632373737364c0a4afbffffff4c2d313039393531313632373737364c0a65752e",
    "80027d71002858010000006171014b0158010000006271025d7103284b014740040000000000004e8858030000007878787104635f636f646563730a656e636f64650a71055802000000797a710658060000006c6174696e3171078671085271094b0185710a284b014b024b034b0474710b635f5f6275696c74696e5f5f0a7365740a710c5d710d4b036185710e52710f8a060000000000018a090000000000000000404afbffffff8a060000000000ff65752e",
    "80049560000000000000007d94288c0161944b018c0162945d94284b014740040000000000004e888c03787878944302797a944b018594284b014b024b034b0474948f94284b03908a060000000000018a090000000000000000404afbffffff8a060000000000ff65752e",
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn shown(node: Node<'_>) -> String {
    let list = |values: Values<'_>| values.iter().map(shown).collect::<Vec<_>>().join(",");
    match node {
        Node::None => "None".into(),
        Node::Bool(flag) => flag.to_string(),
        Node::Int(number) => number.to_string(),
        Node::Long(bytes) => format!("long{bytes:?}"),
        Node::Float(number) => format!("{number:?}"),
        Node::Text(text) => format!("'{text}'"),
        Node::Bytes(bytes) => format!("b{bytes:?}"),
        Node::List(values) => format!("[{}]", list(values)),
        Node::Tuple(values) => format!("({})", list(values)),
        Node::Set(values) => format!("{{{}}}", list(values)),
        Node::Dict(dict) => {
            let entries: Vec<_> = dict.iter().map(|(k, v)| format!("{}:{}", shown(k), shown(v))).collect();
            format!("{{{}}}", entries.join(","))
        }
        Node::Class(name) => format!("<{name}>"),
        Node::Object(object) => format!("{}{}{}", object.class(), shown(object.arguments()), shown(object.state())),
    }
}

fn text_of(pickle: &[u8], classes: &[&str]) -> String {
    shown(decode_slice(pickle, classes, ROOMY).unwrap().root())
}

fn failure(pickle: &[u8]) -> String {
    decode_slice(pickle, &[], ROOMY).unwrap_err().to_string()
}

#[test]
fn mixed_values_of_old_and_new_protocols_are_decoded() {
    let classes = ["_codecs.encode", "__builtin__.set"];
    assert_eq!(
        text_of(&bytes(MIXED[0]), &classes),
        "{'a':1,'b':[1,2.5,None,true,'xxx',_codecs.encode('yz','latin1')None,(1),(1,2,3,4),__builtin__.set([3])None,\
         1099511627776,-5,-1099511627776]}"
    );
    assert_eq!(
        text_of(&bytes(MIXED[1]), &classes),
        "{'a':1,'b':[1,2.5,None,true,'xxx',_codecs.encode('yz','latin1')None,(1),(1,2,3,4),__builtin__.set([3])None,\
         1099511627776,long[0, 0, 0, 0, 0, 0, 0, 0, 64],-5,-1099511627776]}"
    );
    assert_eq!(
        text_of(&bytes(MIXED[2]), &[]),
        "{'a':1,'b':[1,2.5,None,true,'xxx',b[121, 122],(1),(1,2,3,4),{3},1099511627776,\
         long[0, 0, 0, 0, 0, 0, 0, 0, 64],-5,-1099511627776]}"
    );
}

#[test]
fn protocol_0_literals_are_decoded() {
    assert_eq!(
        text_of(b"(I1\nI01\nL5L\nF2.5\nV\\u00e4x\nS'a\\x41\\n'\nt.", &[]),
        "(1,true,5,2.5,'\u{e4}x',b[97, 65, 10])"
    );
    assert_eq!(text_of(b"(dp0\nVa\np1\nI2\ns.", &[]), "{'a':2}");
}

#[test]
fn an_instance_is_inert_data() {
    let counter =
        bytes("80049528000000000000008c0b636f6c6c656374696f6e73948c07436f756e7465729493947d948c0161944b0273859452942e");
    assert_eq!(text_of(&counter, &["collections.Counter"]), "collections.Counter({'a':2})None");
    assert_eq!(text_of(b"cmod\nThing\n)\x81}(Vx\nI1\nub.", &["mod.Thing"]), "mod.Thing(){'x':1}");
    assert_eq!(text_of(b"(imod\nThing\n}b.", &["mod.Thing"]), "mod.Thing(){}");
}

#[test]
fn entries_of_an_instance_of_a_dict_class_are_its_items() {
    let pickle = decode_slice(b"ccollections\nOrderedDict\n)R(Va\nI1\nuVb\nI2\ns.", &[ANY_CLASS], ROOMY).unwrap();
    let Node::Object(object) = pickle.root() else { panic!("no object") };
    assert_eq!(shown(Node::Dict(object.items().unwrap())), "{'a':1,'b':2}");
}

#[test]
fn a_foreign_class_is_named_with_its_place_and_never_called() {
    for pickle in [
        "63706f7369780a73797374656d0a70300a28566563686f2070776e65640a70310a7470320a5270330a2e",
        "800263706f7369780a73797374656d0a7100580a0000006563686f2070776e656471018571025271032e",
        "80049525000000000000008c05706f736978948c0673797374656d9493948c0a6563686f2070776e656494859452942e",
    ] {
        let error = decode_slice(&bytes(pickle), &["collections.Counter"], ROOMY).unwrap_err();
        assert!(error.to_string().starts_with("the pickle names the class `posix.system` (byte "), "{error}");
        assert!(error.next_step().unwrap().contains("nothing of it was executed"));
    }
}

#[test]
fn any_class_may_be_let_in_and_stays_data() {
    let call = bytes("80049525000000000000008c05706f736978948c0673797374656d9493948c0a6563686f2070776e656494859452942e");
    assert_eq!(text_of(&call, &[ANY_CLASS]), "posix.system('echo pwned')None");
    let mut many = b"(".to_vec();
    (0..2000).for_each(|number| many.extend(format!("cm\nC{number}\n").bytes()));
    many.extend(b"t.");
    let error = decode_slice(&many, &[ANY_CLASS], ROOMY).unwrap_err();
    assert_eq!(error.kind(), tranship_connector::ErrorKind::Limit, "{error}");
}

#[test]
fn whatever_reaches_outside_the_file_is_refused() {
    for pickle in [&b"Pid\n."[..], b"Nq\x00Q.", b"\x82\x01.", b"\x97."] {
        assert!(failure(pickle).contains("reaches outside the file"), "{}", failure(pickle));
    }
}

#[test]
fn every_truncation_is_a_located_error() {
    for pickle in MIXED.map(bytes) {
        for length in 0..pickle.len() {
            let error = decode_slice(&pickle[..length], &["_codecs.encode", "__builtin__.set"], ROOMY).unwrap_err();
            assert_eq!(error.context().first().map(|(key, _)| *key), Some("byte"), "{error}");
        }
    }
}

#[test]
fn every_flipped_bit_ends_in_a_value_or_an_error() {
    for pickle in MIXED.map(bytes) {
        for bit in 0..pickle.len() * 8 {
            let mut flipped = pickle.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _either = decode_slice(&flipped, &["_codecs.encode"], ROOMY).map(|p| p.bytes_read());
        }
    }
}

#[test]
fn lengths_are_checked_before_anything_is_allocated() {
    assert_eq!(
        failure(b"X\xff\xff\xff\x7fabc"),
        "the pickle is damaged: a text of 2147483647 bytes, but only 3 bytes follow (byte 5)"
    );
    assert_eq!(
        failure(b"\x8b\x00\x00\x00\x80"),
        "the pickle holds an integer of 2147483648 bytes, more than the limit of 1024 (byte 0)"
    );
    assert!(failure(&[0x8e, 255, 255, 255, 255, 255, 255, 255, 255]).contains("byte string of 18446744073709551615"));
    assert!(failure(&[0x95, 255, 255, 255, 255, 255, 255, 255, 255]).contains("a frame of"));
}

#[test]
fn bombs_end_in_a_named_limit() {
    let bounds = Bounds { max_items: 100_000, max_memory_bytes: 1 << 20 };
    let mut memo = b"N".to_vec();
    (0..200_000u32).for_each(|n| memo.extend([b'r'].into_iter().chain((u32::MAX - n).to_le_bytes())));
    let nested = vec![b'('; 500_000];
    let pushes = [&b"]q\x00"[..], &b"h\x00".repeat(200_000)].concat();
    let doubled = [&b")"[..], &b"2\x86".repeat(60_000)].concat();
    for bomb in [memo, nested, pushes, doubled] {
        let error = decode_slice(&bomb, &[], bounds).unwrap_err();
        assert_eq!(error.kind(), tranship_connector::ErrorKind::Limit, "{error}");
    }
}

#[test]
fn stack_underflow_and_wrong_targets_are_errors() {
    for pickle in [
        &b"."[..],
        b"0.",
        b"a.",
        b"Na.",
        b"NNa.",
        b"NNNs.",
        b"(NNu.",
        b"}(Nu.",
        b"t.",
        b"1.",
        b"Nb.",
        b"NNR.",
        b"h\x05.",
        b"\x93.",
        b"NN\x93.",
        b"(0(NNNe.",
        b"\x80\x09.",
        b"\xff.",
        b"In\n.",
        b"Sx\n.",
        b"X\x01\x00\x00\x00\xff.",
        b"}(d",
        b"N(Nd.",
        b"(o.",
        b"(No.",
    ] {
        assert!(failure(pickle).starts_with("the pickle is damaged: "), "{pickle:?}");
    }
}

#[test]
fn entries_that_the_visitor_takes_cost_nothing() {
    let mut pickle = b"}(X\x03\x00\x00\x00ids}".to_vec();
    for _batch in 0..100 {
        pickle.push(b'(');
        for id in 0..1000u32 {
            pickle.extend([b'X', 8, 0, 0, 0]);
            pickle.extend(format!("{id:08}").bytes());
            pickle.push(b'J');
            pickle.extend(id.to_le_bytes());
        }
        pickle.push(b'u');
    }
    pickle.extend(b"X\x03\x00\x00\x00sumK\x07u.");
    let tight = Bounds { max_items: 1_000_000, max_memory_bytes: 256 << 10 };
    let mut seen = 0i64;
    let decoded =
        decode(&pickle[..], pickle.len() as u64, &[], tight, &mut |name, key, value| match (name, key, value) {
            ("ids", Node::Text(id), Node::Int(label)) => {
                assert_eq!(id.parse(), Ok(label));
                seen += label;
                Ok(Keep::No)
            }
            _ => Ok(Keep::Yes),
        });
    let decoded = decoded.unwrap();
    assert_eq!(seen, 100 * 499_500);
    assert_eq!(shown(decoded.root()), "{'ids':{},'sum':7}");
    assert_eq!(decoded.bytes_read(), pickle.len() as u64);
    assert_eq!(decode_slice(&pickle, &[], tight).unwrap_err().kind(), tranship_connector::ErrorKind::Limit);
}
