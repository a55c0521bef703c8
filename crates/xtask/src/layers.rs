//! Who may be built with whom: the floors of the crates, banned crates, licences.
//!
//! Invariant: an edge between two of our crates goes to a strictly lower floor or is one of `SIDEWAYS`; development crates may use
//! anything and nobody on a floor may use them; a crate without a floor is an error. Dev-dependencies are exempt. Every broken rule is
//! printed, then the chore fails.

use std::collections::BTreeSet;

use crate::licences;
use crate::metadata::{Features, Graph, Package};
use crate::{Outcome, shell, sources};

const PREFIX: &str = "tranship-";

/// The only arrows between crates of the same floor.
const SIDEWAYS: &[(&str, &str)] =
    &[("format-arrays", "bundle"), ("verify", "archive"), ("verify", "pipeline"), ("reembed", "pipeline")];

/// Async runtimes, HTTP clients and TLS: tranship works on files, offline and synchronously. `deny.toml` has the same list.
const BANNED: &[&str] = &[
    "actix-rt",
    "actix-web",
    "async-executor",
    "async-global-executor",
    "async-std",
    "attohttpc",
    "axum",
    "curl",
    "curl-sys",
    "ehttp",
    "glommio",
    "h2",
    "hyper",
    "hyper-util",
    "isahc",
    "minreq",
    "monoio",
    "native-tls",
    "openssl",
    "openssl-sys",
    "reqwest",
    "rustls",
    "smol",
    "surf",
    "tokio",
    "tonic",
    "ureq",
    "warp",
];

/// Where a crate stands. A crate may be built with those of a lower floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Floor {
    /// 0 (kernels) to 5 (the binary).
    Product(u8),
    /// Tests, benchmarks and chores.
    Development,
}

/// Checks everything and prints what was checked.
pub fn check() -> Outcome {
    let everything = Graph::load(Features::All)?;
    let mut broken = broken_floors(&workspace_edges(&everything));
    broken.extend(unknown_crates(&everything));
    broken.extend(broken_dependencies(&everything));
    broken.extend(sources::broken_rules(&shell::root())?);
    for rule in &broken {
        eprintln!("layers: {rule}");
    }
    if !broken.is_empty() {
        return Err(format!("layers: {} rules broken", broken.len()));
    }
    print_summary(&everything)
}

fn print_summary(everything: &Graph) -> Outcome {
    println!("layers: {} workspace crates keep their floors", everything.members.len());
    let built = Graph::load(Features::Default)?;
    if let Some(binary) = built.member("tranship-cli") {
        let tree = built.closure([binary.clone()]);
        let own = tree.iter().filter(|id| built.members.contains(*id)).count();
        println!("layers: the binary is built from {} crates, {own} of them ours", tree.len());
    }
    Ok(())
}

fn floor(crate_name: &str) -> Option<Floor> {
    let folder = crate_name.strip_prefix(PREFIX)?;
    let rank = match folder {
        "kernels" | "collection" | "storage" => 0,
        "connector" => 1,
        "bundle" | "container" => 2,
        "archive" | "transform" | "pipeline" | "recall" | "verify" | "reembed" => 3,
        "toolkit" => 4,
        "cli" => 5,
        "testkit" | "xtask" | "tests" | "benches" => return Some(Floor::Development),
        _ if folder.starts_with("format-") => 2,
        _ if folder.starts_with("provider-") => 3,
        _ => return None,
    };
    Some(Floor::Product(rank))
}

/// The edges, by crate name, that break the order of floors. Crates without a floor are `unknown_crates`' business.
fn broken_floors(edges: &[(String, String)]) -> Vec<String> {
    edges
        .iter()
        .filter(|(from, to)| !is_allowed(from, to))
        .map(|(from, to)| format!("{from} must not use {to}"))
        .collect()
}

fn is_allowed(from: &str, to: &str) -> bool {
    match (floor(from), floor(to)) {
        (Some(Floor::Product(upper)), Some(Floor::Product(lower))) => lower < upper || is_sideways(from, to),
        (Some(Floor::Product(_)), Some(Floor::Development)) => false,
        (Some(Floor::Development), _) | (None, _) | (_, None) => true,
    }
}

fn is_sideways(from: &str, to: &str) -> bool {
    SIDEWAYS
        .iter()
        .any(|(upper, lower)| from.strip_prefix(PREFIX) == Some(upper) && to.strip_prefix(PREFIX) == Some(lower))
}

fn workspace_edges(graph: &Graph) -> Vec<(String, String)> {
    let ours = |id: &String| graph.packages.get(id).filter(|_| graph.members.contains(id));
    let mut edges = Vec::new();
    for from in graph.members.iter().filter_map(ours) {
        edges.extend(from.dependencies.iter().filter_map(ours).map(|to| (from.name.clone(), to.name.clone())));
    }
    edges
}

fn unknown_crates(graph: &Graph) -> Vec<String> {
    let ours = graph.members.iter().filter_map(|id| graph.packages.get(id));
    let lost = ours.filter(|package| floor(&package.name).is_none());
    lost.map(|package| format!("{} has no floor: give it one in crates/xtask/src/layers.rs", package.name)).collect()
}

/// Banned crates and licences among everything that a crate with a floor is built with.
fn broken_dependencies(graph: &Graph) -> Vec<String> {
    let is_product =
        |id: &&String| graph.packages.get(*id).is_some_and(|package| floor(&package.name) != Some(Floor::Development));
    let roots: BTreeSet<String> = graph.members.iter().filter(is_product).cloned().collect();
    let tree = graph.closure(roots);
    tree.iter().filter_map(|id| graph.packages.get(id)).flat_map(broken_by).collect()
}

fn broken_by(package: &Package) -> Vec<String> {
    let Package { name, version, license, .. } = package;
    let mut broken = Vec::new();
    if BANNED.contains(&name.as_str()) {
        broken.push(format!("{name} {version} is banned; `cargo tree --invert {name}` says who brings it"));
    }
    if !license.as_deref().is_some_and(licences::is_accepted) {
        let stated = license.as_deref().unwrap_or("none stated");
        broken.push(format!("{name} {version}: licence not accepted: {stated}"));
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(edges: &[(&str, &str)]) -> usize {
        let named = |folder: &str| format!("{PREFIX}{folder}");
        broken_floors(&edges.iter().map(|(from, to)| (named(from), named(to))).collect::<Vec<_>>()).len()
    }

    #[test]
    fn edges_to_lower_floors_are_allowed() {
        let good = [
            ("connector", "collection"),
            ("format-jsonl", "connector"),
            ("provider-chroma", "format-hnswlib"),
            ("provider-chroma", "container"),
            ("archive", "format-parquet"),
            ("pipeline", "storage"),
            ("toolkit", "provider-qdrant"),
            ("cli", "toolkit"),
        ];
        assert_eq!(broken(&good), 0);
    }

    #[test]
    fn only_the_four_sideways_arrows_are_allowed() {
        let good =
            [("format-arrays", "bundle"), ("verify", "archive"), ("verify", "pipeline"), ("reembed", "pipeline")];
        assert_eq!(broken(&good), 0);
        let bad = [
            ("archive", "verify"),
            ("pipeline", "archive"),
            ("reembed", "archive"),
            ("recall", "verify"),
            ("provider-chroma", "provider-qdrant"),
            ("format-parquet", "format-arrow"),
            ("collection", "kernels"),
        ];
        assert_eq!(broken(&bad), bad.len());
    }

    #[test]
    fn edges_to_upper_floors_are_refused() {
        assert_eq!(
            broken(&[("kernels", "cli"), ("connector", "pipeline"), ("format-jsonl", "archive"), ("toolkit", "cli")]),
            4
        );
    }

    #[test]
    fn development_crates_use_anything_and_nobody_uses_them() {
        assert_eq!(broken(&[("testkit", "toolkit"), ("xtask", "cli"), ("tests", "testkit")]), 0);
        assert_eq!(broken(&[("cli", "testkit"), ("archive", "xtask")]), 2);
    }

    #[test]
    fn a_crate_without_a_floor_is_found() {
        assert_eq!(floor("tranship-surprise"), None);
        assert_eq!(floor("serde"), None);
        assert_eq!(floor("tranship-provider-anything"), Some(Floor::Product(3)));
    }

    #[test]
    fn banned_crates_and_licences_are_found() {
        let package = |name: &str, license: Option<&str>| Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(str::to_owned),
            dependencies: BTreeSet::new(),
        };
        assert!(broken_by(&package("serde", Some("MIT OR Apache-2.0"))).is_empty());
        assert_eq!(broken_by(&package("tokio", Some("MIT"))).len(), 1);
        assert_eq!(broken_by(&package("a", None)).len(), 1);
        assert_eq!(broken_by(&package("hyper", Some("GPL-3.0-only"))).len(), 2);
    }

    #[test]
    fn deny_toml_has_the_same_lists() {
        let path = shell::root().join("deny.toml");
        let text = std::fs::read_to_string(path).expect("deny.toml stands at the root of the checkout");
        let banned = text.lines().filter_map(|line| line.trim().strip_prefix("{ crate = \"")?.strip_suffix("\" },"));
        assert_eq!(banned.collect::<Vec<_>>(), BANNED);
        let allowed = text.lines().skip_while(|line| *line != "allow = [").skip(1).take_while(|line| *line != "]");
        let allowed = allowed.filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","));
        assert_eq!(allowed.collect::<Vec<_>>(), licences::ACCEPTED);
    }
}
