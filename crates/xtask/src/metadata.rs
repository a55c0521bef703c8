//! The dependency graph as `cargo metadata --format-version 1` gives it.
//!
//! Invariant: only normal and build dependencies are edges; dev-dependencies are not. The graph is that of the host platform.
//! Errors: metadata that lacks an expected key is an `Err` naming the key.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::shell;

/// One package of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name as in `Cargo.toml`.
    pub name: String,
    /// Version as in `Cargo.toml`.
    pub version: String,
    /// SPDX expression, if the package states one.
    pub license: Option<String>,
    /// Cargo's ids of the packages that this one is built with.
    pub dependencies: BTreeSet<String>,
}

/// All packages by cargo's id, and which of them are ours.
#[derive(Debug)]
pub struct Graph {
    /// By cargo's package id.
    pub packages: BTreeMap<String, Package>,
    /// Ids of the members of the workspace.
    pub members: BTreeSet<String>,
}

/// Which features of the members take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Features {
    /// What a plain `cargo build` takes.
    Default,
    /// Every feature of every member, so that rules see optional dependencies too.
    All,
}

impl Graph {
    /// Asks cargo.
    pub fn load(features: Features) -> Result<Self, String> {
        let host = host_platform()?;
        let mut command = shell::cargo(&["metadata", "--format-version", "1", "--filter-platform", &host]);
        if features == Features::All {
            command.arg("--all-features");
        }
        let text = shell::answer(&mut command)?;
        let value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata gave no JSON: {error}"))?;
        Self::from_json(&value)
    }

    fn from_json(value: &Value) -> Result<Self, String> {
        let mut edges = edges_by_id(value)?;
        let mut packages = BTreeMap::new();
        for entry in array(value, "packages")? {
            let id = text(entry, "id")?;
            // `packages` also lists what only other platforms need; the resolved nodes do not.
            if let Some(dependencies) = edges.remove(&id) {
                packages.insert(id, package(entry, dependencies)?);
            }
        }
        let members = array(value, "workspace_members")?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Self { packages, members })
    }

    /// Ids of everything that the given packages are built with, themselves included.
    pub fn closure(&self, roots: impl IntoIterator<Item = String>) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut waiting: Vec<String> = roots.into_iter().collect();
        while let Some(id) = waiting.pop() {
            if let Some(package) = self.packages.get(&id)
                && reached.insert(id)
            {
                waiting.extend(package.dependencies.iter().cloned());
            }
        }
        reached
    }

    /// Id of the member of this name.
    pub fn member(&self, name: &str) -> Option<&String> {
        self.members.iter().find(|id| self.packages.get(*id).is_some_and(|package| package.name == name))
    }
}

fn edges_by_id(value: &Value) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let resolve = value.get("resolve").ok_or("cargo metadata has no \"resolve\"")?;
    let mut edges = BTreeMap::new();
    for node in array(resolve, "nodes")? {
        let mut built_with = BTreeSet::new();
        for dependency in array(node, "deps")? {
            if array(dependency, "dep_kinds")?.iter().any(|kind| kind["kind"] != "dev") {
                built_with.insert(text(dependency, "pkg")?);
            }
        }
        edges.insert(text(node, "id")?, built_with);
    }
    Ok(edges)
}

fn package(entry: &Value, dependencies: BTreeSet<String>) -> Result<Package, String> {
    Ok(Package {
        name: text(entry, "name")?,
        version: text(entry, "version")?,
        license: entry["license"].as_str().map(str::to_owned),
        dependencies,
    })
}

fn host_platform() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = shell::answer(std::process::Command::new(rustc).arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

fn array<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>, String> {
    value.get(key).and_then(Value::as_array).ok_or_else(|| format!("cargo metadata has no list {key:?}"))
}

fn text(value: &Value, key: &str) -> Result<String, String> {
    value
        .get(key)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| format!("cargo metadata has no text {key:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dev_dependencies_are_no_edges_and_build_dependencies_are() {
        let value = serde_json::json!({
            "packages": [
                {"id": "a#1", "name": "a", "version": "1", "license": "MIT"},
                {"id": "b#1", "name": "b", "version": "1", "license": null},
                {"id": "c#1", "name": "c", "version": "1"},
                {"id": "windows#1", "name": "windows", "version": "1"}
            ],
            "workspace_members": ["a#1"],
            "resolve": {"nodes": [
                {"id": "a#1", "deps": [
                    {"pkg": "b#1", "dep_kinds": [{"kind": "dev"}, {"kind": "build"}]},
                    {"pkg": "c#1", "dep_kinds": [{"kind": "dev"}]}
                ]},
                {"id": "b#1", "deps": []},
                {"id": "c#1", "deps": []}
            ]}
        });
        let graph = Graph::from_json(&value).expect("well-formed metadata");
        assert_eq!(graph.packages["a#1"].dependencies, BTreeSet::from(["b#1".to_owned()]));
        assert_eq!(graph.closure(["a#1".to_owned()]), BTreeSet::from(["a#1".to_owned(), "b#1".to_owned()]));
        assert!(!graph.packages.contains_key("windows#1"));
        assert_eq!(graph.member("a").map(String::as_str), Some("a#1"));
    }
}
