//! Names of log files.
//!
//! ```text
//! insert_log/<collection>/<partition>/[<group>/]<segment>/<field>/<log>        the group only in backups
//! delta_log/<collection>/<partition or -1>/[<group>/]<segment>/<log>
//! insert_log/<collection>/<partition>/<segment>/_metadata/manifest-1.avro      storage v3
//! ```
//!
//! Invariant: every part is a decimal number; whatever is not named so is no log. Errors: not recognised for storage
//! v3 and for the files that MinIO itself keeps on its disks.

use tranship_connector::{Error, Result};
use tranship_storage::Blob;

/// Directory of rows.
pub const INSERT_LOG: &str = "insert_log";
/// Directory of deletes.
pub const DELTA_LOG: &str = "delta_log";

/// What the name of a log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogName {
    /// [`INSERT_LOG`] or [`DELTA_LOG`].
    pub kind: &'static str,
    /// Id of the collection.
    pub collection: i64,
    /// Id of the partition; -1 for all.
    pub partition: i64,
    /// Id of the segment.
    pub segment: i64,
    /// Id of the field or column group; -1 in a delta log.
    pub field: i64,
    /// Id of the log.
    pub log: i64,
}

impl LogName {
    /// The log that `path` names, relative to the directory that holds `insert_log`.
    pub fn parse(path: &str) -> Option<Self> {
        let (kind, rest) = path.split_once('/')?;
        let parts: Vec<i64> = rest.split('/').map(str::parse).collect::<std::result::Result<_, _>>().ok()?;
        match (kind, parts.as_slice()) {
            (INSERT_LOG, [collection, partition, segment, field, log])
            | (INSERT_LOG, [collection, partition, _, segment, field, log]) => Some(LogName {
                kind: INSERT_LOG,
                collection: *collection,
                partition: *partition,
                segment: *segment,
                field: *field,
                log: *log,
            }),
            (DELTA_LOG, [collection, partition, segment, log])
            | (DELTA_LOG, [collection, partition, _, segment, log]) => Some(LogName {
                kind: DELTA_LOG,
                collection: *collection,
                partition: *partition,
                segment: *segment,
                field: -1,
                log: *log,
            }),
            _ => None,
        }
    }

    /// The same without its partition: ids of segments are unique without it.
    pub fn without_partition(self) -> Self {
        LogName { partition: 0, ..self }
    }
}

/// Fails for names of layouts that are known and not read.
pub fn check_name(name: &str, blob: &Blob) -> Result<()> {
    if name.ends_with("/xl.meta") {
        return Err(Error::not_recognised("these are files as MinIO keeps them on its disks, not the objects in it")
            .with("file", blob.label())
            .hint("copy the bucket out of MinIO first, as in `mc mirror minio/a-bucket/files DIR`"));
    }
    if name.contains("/_metadata/manifest-") || name.contains("/_data/") {
        return Err(Error::not_recognised("the segment is of Milvus storage v3, which is not read")
            .with("file", blob.label())
            .hint("storage versions 1 and 2 are; make a backup from a Milvus before 2.7"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_logs_are_numbers_with_and_without_a_group() {
        let name = LogName { kind: INSERT_LOG, collection: 1, partition: 2, segment: 3, field: 100, log: 4 };
        assert_eq!(LogName::parse("insert_log/1/2/3/100/4"), Some(name));
        assert_eq!(LogName::parse("insert_log/1/2/9/3/100/4"), Some(name));
        let delta = LogName { kind: DELTA_LOG, partition: -1, field: -1, ..name };
        assert_eq!(LogName::parse("delta_log/1/-1/3/4"), Some(delta));
        assert_eq!(LogName::parse("delta_log/1/-1/9/3/4"), Some(delta));
        for other in ["insert_log/1/2/3/100", "insert_log/1/2/3/100/x", "stats_log/1/2/3/100/4", "insert_log", ""] {
            assert_eq!(LogName::parse(other), None);
        }
    }
}
