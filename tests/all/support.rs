//! Small things that several tests need.

use std::ffi::OsStr;
use std::path::Path;

use tranship_testkit::Tranship;

/// `provider:path`.
pub fn locator(provider: &str, path: &Path) -> String {
    format!("{provider}:{}", path.display())
}

/// Converts with the binary and expects success.
pub fn convert(source: &str, target: &str, more: &[&str]) {
    Tranship::run(["convert", source, target].iter().chain(more)).expect(0);
}

/// A path as an argument of a script.
pub fn arg(path: &Path) -> &OsStr {
    path.as_os_str()
}

/// Converts the wordnet fixture into an archive below `dir`.
pub fn wordnet_archive(dir: &Path) -> std::path::PathBuf {
    let archive = dir.join("wordnet.tranship");
    convert("chroma:fixtures/chroma-wordnet", &locator("archive", &archive), &[]);
    archive
}
