//! Where a collection is: `provider:path`, or a bare path that is probed.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::connector::Registry;

/// A parsed locator. `-` as path means standard input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locator {
    /// The connector's name, if the user gave one.
    pub provider: Option<String>,
    /// The path as given.
    pub path: PathBuf,
}

impl Locator {
    /// Splits `text` at the first colon if what stands before it is a connector's name.
    pub fn parse(text: &str, registry: &Registry) -> Self {
        match text.split_once(':') {
            Some((name, path)) if registry.get(name).is_some() => {
                Locator { provider: Some(name.to_owned()), path: PathBuf::from(path) }
            }
            // A mistyped name is told as one, unless a file really has a colon in its name.
            Some((name, path)) if looks_like_a_name(name) && !Path::new(text).exists() => {
                Locator { provider: Some(name.to_owned()), path: PathBuf::from(path) }
            }
            _ => Locator { provider: None, path: PathBuf::from(text) },
        }
    }

    /// True for standard input or output.
    pub fn is_stream(&self) -> bool {
        self.path == Path::new("-")
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.provider {
            Some(provider) => write!(f, "{provider}:{}", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
}

fn looks_like_a_name(text: &str) -> bool {
    text.len() > 1 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
