//! Whether an SPDX licence expression can be met with licences that we accept.
//!
//! Invariant: `A OR B` is met when one side is, `A AND B` when both are, AND binds tighter than OR, and `A WITH exception` is one licence of
//! its own. The old spelling `A/B` means `A OR B`. An expression that does not parse is not met.
//! Source of the format: SPDX specification 2.3, annex D.

/// Licences whose terms a binary under MIT OR Apache-2.0 can keep. `deny.toml` has the same list.
pub const ACCEPTED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BlueOak-1.0.0",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether we may use what is under this expression.
pub fn is_accepted(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) == Some(true) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> Option<bool> {
    let mut met = all_of(rest)?;
    while take(rest, "OR") {
        met |= all_of(rest)?;
    }
    Some(met)
}

fn all_of(rest: &mut &[&str]) -> Option<bool> {
    let mut met = one(rest)?;
    while take(rest, "AND") {
        met &= one(rest)?;
    }
    Some(met)
}

fn one(rest: &mut &[&str]) -> Option<bool> {
    if take(rest, "(") {
        let met = any_of(rest)?;
        return take(rest, ")").then_some(met);
    }
    let mut licence = next(rest)?.to_owned();
    if take(rest, "WITH") {
        licence = format!("{licence} WITH {}", next(rest)?);
    }
    Some(ACCEPTED.contains(&licence.as_str()))
}

fn next<'a>(rest: &mut &[&'a str]) -> Option<&'a str> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    Some(first)
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    let found = rest.first() == Some(&word);
    if found {
        *rest = &rest[1..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::is_accepted;

    #[test]
    fn one_side_of_an_or_is_enough() {
        assert!(is_accepted("MIT"));
        assert!(is_accepted("GPL-3.0-only OR MIT"));
        assert!(is_accepted("MIT/GPL-2.0"));
        assert!(!is_accepted("GPL-3.0-only OR AGPL-3.0-only"));
    }

    #[test]
    fn both_sides_of_an_and_are_needed() {
        assert!(is_accepted("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!is_accepted("MIT AND GPL-3.0-only"));
        assert!(is_accepted("GPL-3.0-only AND MIT OR Zlib"), "AND binds tighter than OR");
        assert!(!is_accepted("GPL-3.0-only AND (MIT OR Zlib)"));
    }

    #[test]
    fn an_exception_is_part_of_the_licence() {
        assert!(is_accepted("Apache-2.0 WITH LLVM-exception"));
        assert!(!is_accepted("MIT WITH LLVM-exception"));
        assert!(is_accepted("GPL-2.0 WITH Classpath-exception-2.0 OR ISC"));
    }

    #[test]
    fn what_does_not_parse_is_refused() {
        for expression in ["", "MIT OR", "(MIT", "MIT)", "MIT Apache-2.0", "OR MIT"] {
            assert!(!is_accepted(expression), "{expression:?}");
        }
    }
}
