//! What the names of snapshot files tell.
//!
//! ```text
//! <collection>-<peer id>-<YYYY-MM-DD-HH-MM-SS>.snapshot
//! <collection>-shard-<shard>-<YYYY-MM-DD-HH-MM-SS>.snapshot
//! ```
//!
//! A file of any other name is called by its stem.

/// A parsed name.
#[derive(Debug, PartialEq, Eq)]
pub struct SnapshotName {
    /// The collection.
    pub collection: String,
    /// The node that took it.
    pub peer: Option<u64>,
    /// The shard that it holds.
    pub shard: Option<u32>,
    /// The name is one that the server gave.
    pub is_stamped: bool,
}

impl SnapshotName {
    /// Parses a file name.
    pub fn parse(file: &str) -> Self {
        let stem = file.strip_suffix(".snapshot").or_else(|| file.strip_suffix(".tar")).unwrap_or(file);
        stamped(stem).unwrap_or_else(|| SnapshotName {
            collection: stem.to_owned(),
            peer: None,
            shard: None,
            is_stamped: false,
        })
    }
}

fn stamped(stem: &str) -> Option<SnapshotName> {
    let (rest, time) = stem.split_at_checked(stem.len().checked_sub("-YYYY-MM-DD-HH-MM-SS".len())?)?;
    let is_time = time.bytes().enumerate().all(|(at, byte)| match at {
        0 | 5 | 8 | 11 | 14 | 17 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    if !is_time {
        return None;
    }
    let (collection, number) = rest.rsplit_once('-')?;
    if let Some(collection) = collection.strip_suffix("-shard") {
        let (collection, shard) = (collection.to_owned(), Some(number.parse().ok()?));
        return Some(SnapshotName { collection, peer: None, shard, is_stamped: true });
    }
    let (collection, peer) = (collection.to_owned(), Some(number.parse().ok()?));
    Some(SnapshotName { collection, peer, shard: None, is_stamped: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_server_tell_collection_and_node_and_all_others_themselves() {
        let parse = |file: &str| {
            let name = SnapshotName::parse(file);
            (name.collection, name.peer, name.shard, name.is_stamped)
        };
        let collection = parse("my-docs-3576325280392575-2026-11-20-12-15-38.snapshot");
        assert_eq!(collection, ("my-docs".to_owned(), Some(3_576_325_280_392_575), None, true));
        assert_eq!(parse("d-shard-7-2026-11-20-12-15-38.snapshot"), ("d".to_owned(), None, Some(7), true));
        for (file, name) in [("x.snapshot", "x"), ("a-1-2026.tar", "a-1-2026"), ("dir", "dir"), ("", "")] {
            assert_eq!(parse(file), (name.to_owned(), None, None, false));
        }
    }
}
