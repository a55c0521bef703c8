//! Names that a target does not take as they are, and what they are called there.
//!
//! Invariant: a table has an entry for exactly the names that change; no two names of a collection fall together, and
//! what a name becomes depends on the set of names alone.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// The names that change, with what they become: `tame` of them if that is free, else with a part of their hash. Each
/// name is given once.
pub fn renamed<'a>(
    names: impl IntoIterator<Item = &'a str>,
    is_valid: impl Fn(&str) -> bool,
    tame: impl Fn(&str) -> String,
    between: &str,
) -> BTreeMap<String, String> {
    renamed_by(names, is_valid, tame, between, str::to_owned)
}

/// The same for a target that tells names apart by their `fold` only, for instance without regard to case: of those that
/// fall together, the first stays.
pub fn renamed_by<'a>(
    names: impl IntoIterator<Item = &'a str>,
    is_valid: impl Fn(&str) -> bool,
    tame: impl Fn(&str) -> String,
    between: &str,
    fold: impl Fn(&str) -> String,
) -> BTreeMap<String, String> {
    let mut taken = BTreeSet::new();
    let changes = |name: &&str| !(is_valid(name) && taken.insert(fold(name)));
    let others: BTreeSet<&str> = names.into_iter().filter(changes).collect();
    let mut table = BTreeMap::new();
    for name in others {
        let plain = tame(name);
        let hash = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).simple().to_string();
        let candidates = [plain.clone(), format!("{plain}{between}{}", &hash[..8]), format!("n{between}{hash}")];
        let free = candidates.into_iter().find(|name| is_valid(name) && !taken.contains(&fold(name)));
        let chosen = free.unwrap_or(hash);
        taken.insert(fold(&chosen));
        table.insert(name.to_owned(), chosen);
    }
    table
}

/// `name` with everything but ASCII letters, digits and what `more` allows as `_`, cut to `max` characters.
pub fn tamed(name: &str, max: usize, more: &[char]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || more.contains(&c) { c } else { '_' };
    name.chars().map(plain).take(max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_fall_together_stay_apart_and_valid_ones_stay() {
        let is_valid = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let names = ["a_b", "a b", "a-b", "", "ok"];
        let table = renamed(names, is_valid, |name| tamed(name, 20, &[]), "_");
        assert_eq!(table.keys().collect::<Vec<_>>(), ["", "a b", "a-b"]);
        let mut all: BTreeSet<&str> = table.values().map(String::as_str).collect();
        assert!(all.iter().all(|name| is_valid(name)), "{all:?}");
        assert!(all.insert("a_b") && all.insert("ok") && all.len() == 5, "{all:?}");
        assert!(table["a b"].starts_with("a_b_"), "{table:?}");
    }

    #[test]
    fn where_case_does_not_count_the_first_of_two_names_stays() {
        let is_valid = |name: &str| !name.is_empty();
        let table = renamed_by(["kind", "Kind", "KIND"], is_valid, str::to_owned, "_", str::to_lowercase);
        assert_eq!(table.keys().collect::<Vec<_>>(), ["KIND", "Kind"]);
        let all: BTreeSet<String> = table.values().map(|name| name.to_lowercase()).collect();
        assert!(all.len() == 2 && !all.contains("kind"), "{table:?}");
    }
}
