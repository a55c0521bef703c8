//! The names of rows: (namespace, id), kept in one text and ordered.
//!
//! Invariant: every key is unique, and the rank of a row is the place of its key in ascending order of id, then
//! namespace (the default namespace first). Ranks decide between equal distances, so that the order of rows never does.

use std::cmp::Ordering;
use std::collections::HashMap;

use tranship_connector::{Error, Result};

const DEFAULT_NAMESPACE: u32 = 0;

/// The keys of a set while it is filled.
#[derive(Debug, Default)]
pub(crate) struct KeysBuilder {
    text: String,
    ends: Vec<usize>,
    namespace_of: Vec<u32>,
    namespaces: Vec<String>,
    numbers: HashMap<String, u32>,
}

/// The keys of a set, by row.
#[derive(Debug)]
pub(crate) struct Keys {
    text: String,
    ends: Vec<usize>,
    /// 0 is the default namespace, n is `namespaces[n - 1]`.
    namespace_of: Vec<u32>,
    namespaces: Vec<String>,
    by_rank: Vec<u32>,
    rank_of: Vec<u32>,
}

impl KeysBuilder {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        KeysBuilder { ends: Vec::with_capacity(rows), namespace_of: Vec::with_capacity(rows), ..KeysBuilder::default() }
    }

    pub(crate) fn push(&mut self, namespace: Option<&str>, id: &str) {
        let number = namespace.map_or(DEFAULT_NAMESPACE, |name| self.number_of(name));
        self.text.push_str(id);
        self.ends.push(self.text.len());
        self.namespace_of.push(number);
    }

    fn number_of(&mut self, namespace: &str) -> u32 {
        if let Some(&number) = self.numbers.get(namespace) {
            return number;
        }
        self.namespaces.push(namespace.to_owned());
        let number = self.namespaces.len() as u32;
        self.numbers.insert(namespace.to_owned(), number);
        number
    }

    /// Orders the keys; an error if one occurs twice or there are more than 2^32 - 1.
    pub(crate) fn finish(self) -> Result<Keys> {
        let rows = u32::try_from(self.ends.len())
            .map_err(|_| Error::limit("more than 4,294,967,295 vectors in one comparison").hint("compare a sample"))?;
        let mut keys = Keys {
            text: self.text,
            ends: self.ends,
            namespace_of: self.namespace_of,
            namespaces: self.namespaces,
            by_rank: Vec::new(),
            rank_of: Vec::new(),
        };
        let mut by_rank: Vec<u32> = (0..rows).collect();
        by_rank.sort_unstable_by(|&a, &b| keys.key(a as usize).cmp(&keys.key(b as usize)));
        if let Some(pair) = by_rank.windows(2).find(|pair| keys.key(pair[0] as usize) == keys.key(pair[1] as usize)) {
            return Err(Error::damaged(format!("id {:?} occurs twice", keys.label(pair[0] as usize)))
                .hint("recall needs unique ids: remove duplicates first (`tranship verify` names them)"));
        }
        keys.rank_of = vec![0; by_rank.len()];
        for (rank, &row) in by_rank.iter().enumerate() {
            keys.rank_of[row as usize] = rank as u32;
        }
        keys.by_rank = by_rank;
        Ok(keys)
    }
}

impl Keys {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn id(&self, row: usize) -> &str {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.text[start..self.ends[row]]
    }

    pub(crate) fn namespace(&self, row: usize) -> Option<&str> {
        let number = self.namespace_of[row];
        (number != DEFAULT_NAMESPACE).then(|| self.namespaces[number as usize - 1].as_str())
    }

    /// The number of a row's namespace here, 0 for the default one.
    pub(crate) fn namespace_number(&self, row: usize) -> usize {
        self.namespace_of[row] as usize
    }

    /// Names of the namespaces beside the default one, by number from 1.
    pub(crate) fn namespaces(&self) -> &[String] {
        &self.namespaces
    }

    fn key(&self, row: usize) -> (&str, Option<&str>) {
        (self.id(row), self.namespace(row))
    }

    /// The key as people read it.
    pub(crate) fn label(&self, row: usize) -> String {
        match self.namespace(row) {
            Some(namespace) => format!("{namespace}/{}", self.id(row)),
            None => self.id(row).to_owned(),
        }
    }

    pub(crate) fn rank(&self, row: usize) -> u32 {
        self.rank_of[row]
    }

    pub(crate) fn row_at_rank(&self, rank: usize) -> usize {
        self.by_rank[rank] as usize
    }

    /// The row of `other`'s key at `row` in this set.
    pub(crate) fn find(&self, other: &Keys, row: usize) -> Option<usize> {
        let (id, namespace) = other.key(row);
        self.find_key(id, namespace)
    }

    /// The row of a key.
    pub(crate) fn find_key(&self, id: &str, namespace: Option<&str>) -> Option<usize> {
        let found = self.by_rank.binary_search_by(|&own| self.key(own as usize).cmp(&(id, namespace)));
        found.ok().map(|rank| self.row_at_rank(rank))
    }

    /// Whether both hold the same keys, in any order.
    pub(crate) fn same_as(&self, other: &Keys) -> bool {
        let equal = |(&own, &theirs): (&u32, &u32)| self.key(own as usize).cmp(&other.key(theirs as usize));
        self.len() == other.len() && self.by_rank.iter().zip(&other.by_rank).all(|pair| equal(pair) == Ordering::Equal)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * 8 + self.len() * 12
    }
}
