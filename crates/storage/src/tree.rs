//! Files by their relative names, whether they lie in a directory or inside a container.
//!
//! Invariant: names use `/`, are never absolute, hold no `.` or `..`, and are unique; iteration is in byte order of
//! the names. Directories themselves are not entries. A reader that works on a [`Tree`] reads a directory and a tar
//! alike.
//!
//! Errors: a name that is not UTF-8, a symbolic link or a special file in a directory.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::Path;

use crate::blob::Blob;
use crate::error::StorageError;

/// Files by relative name.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    label: String,
    files: BTreeMap<String, Blob>,
}

impl Tree {
    /// An empty tree named `label` in messages.
    pub fn new(label: impl Into<String>) -> Self {
        Tree { label: label.into(), files: BTreeMap::new() }
    }

    /// All regular files below the directory `root`. Links are not followed: they are an error.
    pub fn of_dir(root: &Path) -> Result<Self, StorageError> {
        let mut tree = Tree::new(root.display().to_string());
        tree.add_dir(root, "")?;
        Ok(tree)
    }

    /// Adds a file; `false` if the name is taken or not a plain relative name.
    pub fn insert(&mut self, name: &str, blob: Blob) -> bool {
        let plain = name.split('/').all(|part| !matches!(part, "" | "." | "..")) && !name.contains('\0');
        if !plain || self.files.contains_key(name) {
            return false;
        }
        self.files.insert(name.to_owned(), blob);
        true
    }

    /// What the tree is called in messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The file called `name`.
    pub fn get(&self, name: &str) -> Option<&Blob> {
        self.files.get(name)
    }

    /// True if no file is there.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Names and files, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Blob)> {
        self.files.iter().map(|(name, blob)| (name.as_str(), blob))
    }

    /// The files below the directory `name`, named relative to it; empty if there is none.
    pub fn below(&self, name: &str) -> Tree {
        let prefix = format!("{name}/");
        let files = self
            .files
            .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
            .take_while(|(file, _)| file.starts_with(&prefix))
            .map(|(file, blob)| (file[prefix.len()..].to_owned(), blob.clone()))
            .collect();
        Tree { label: format!("{}/{name}", self.label), files }
    }

    /// The names of directories at the top of the tree, in order.
    pub fn dirs(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.files.keys().filter_map(|name| Some(name.split_once('/')?.0)).collect();
        names.dedup();
        names
    }

    fn add_dir(&mut self, dir: &Path, prefix: &str) -> Result<(), StorageError> {
        let failed = |e| StorageError::new("list", dir, e);
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(StorageError::new("list", &path, io::Error::other("its name is not UTF-8")));
            };
            let kind = entry.file_type().map_err(|e| StorageError::new("inspect", &path, e))?;
            if kind.is_dir() {
                self.add_dir(&path, &format!("{prefix}{name}/"))?;
            } else if kind.is_file() {
                self.files.insert(format!("{prefix}{name}"), Blob::of_path(&path)?);
            } else {
                let why = io::Error::other("it is a link or a special file; copy what it stands for in its place");
                return Err(StorageError::new("read", &path, why));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_seen_by_relative_names() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for name in ["a/b/x", "a/y", "z"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let tree = Tree::of_dir(dir.path()).unwrap();
        assert_eq!(tree.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a/b/x", "a/y", "z"]);
        assert_eq!(tree.dirs(), ["a"]);
        assert_eq!(tree.below("a").get("b/x").unwrap().read_all(9).unwrap(), b"a/b/x");
        std::os::unix::fs::symlink("z", dir.path().join("l")).unwrap();
        assert!(Tree::of_dir(dir.path()).is_err());
    }

    #[test]
    fn names_that_leave_the_tree_are_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("z"), "z").unwrap();
        let blob = Blob::of_path(&dir.path().join("z")).unwrap();
        let mut tree = Tree::new("t");
        for name in ["/a", "../a", "a/../b", "a//b", "./a", "", "a/"] {
            assert!(!tree.insert(name, blob.clone()), "{name}");
        }
        assert!(tree.insert("a/b", blob.clone()) && !tree.insert("a/b", blob));
    }
}
