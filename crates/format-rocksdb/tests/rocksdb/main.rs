//! RocksDB directories against the real engine, against stored dumps, and damaged.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod damage;
mod engine;
mod stored;

use std::collections::BTreeMap;
use std::path::Path;

use tranship_connector::Result;
use tranship_format_rocksdb::Database;
use tranship_storage::{Limits, Tree};

/// Keys and values by column family.
type Content = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

fn open(dir: &Path) -> Result<Database> {
    Database::open(&Tree::of_dir(dir)?, &Limits::default())
}

/// Everything in the database, by scan.
fn content(database: &Database) -> Result<Content> {
    let mut content = Content::new();
    for family in database.column_families() {
        let pairs: Vec<_> = database.scan(family)?.expect("the family is there").collect::<Result<_>>()?;
        assert!(pairs.is_sorted_by(|a, b| a.0 < b.0), "keys of {family} ascend");
        assert!(pairs.len() as u64 <= database.entries(family));
        content.insert(family.to_owned(), pairs.into_iter().collect());
    }
    Ok(content)
}

/// Every key by get, and one before, one after it.
fn check_gets(database: &Database, content: &Content) {
    for (family, pairs) in content {
        for (key, value) in pairs {
            assert_eq!(database.get(family, key).unwrap().as_ref(), Some(value), "{family} {key:?}");
            let after = [key.as_slice(), &[0]].concat();
            assert_eq!(database.get(family, &after).unwrap().as_ref(), pairs.get(&after));
            let before = &key[..key.len() - 1];
            assert_eq!(database.get(family, before).unwrap().as_ref(), pairs.get(before));
        }
    }
    assert_eq!(database.get("no such family", b"a").unwrap(), None);
}
