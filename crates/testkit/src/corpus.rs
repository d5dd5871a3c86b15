//! The mails the tests run on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folders deeper than this are not looked into; the corpus has two levels.
const MAX_DEPTH: usize = 8;

/// `tests/corpus` of this workspace.
#[must_use]
pub fn corpus_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus")
}

/// Every `*.eml` below [`corpus_dir`]: (path below it with `/`, bytes), sorted by path.
///
/// # Panics
/// When a file cannot be read or there are none: a test over an empty corpus would prove nothing.
#[must_use]
pub fn corpus() -> Vec<(String, Vec<u8>)> {
    let mails = corpus_in(&corpus_dir()).expect("a readable corpus");
    assert!(!mails.is_empty(), "no *.eml below {}", corpus_dir().display());
    mails
}

/// Every `*.eml` below `dir`: (path below it with `/`, bytes), sorted by path.
pub fn corpus_in(dir: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut mails = Vec::new();
    let mut folders = vec![(dir.to_path_buf(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("read the folder {}", folder.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("read the folder {}", folder.display()))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let name = format!("{prefix}{name}");
            if path.is_dir() && depth < MAX_DEPTH {
                folders.push((path, format!("{name}/"), depth + 1));
            } else if path.extension().is_some_and(|extension| extension == "eml") {
                let bytes = fs::read(&path).with_context(|| format!("read the mail {}", path.display()))?;
                mails.push((name, bytes));
            }
        }
    }
    mails.sort();
    Ok(mails)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_are_found_recursively_in_one_stable_order() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("b")).expect("a folder");
        for (name, text) in [("c.eml", "3"), ("b/x.eml", "2"), ("a.eml", "1"), ("b/notes.txt", "no")] {
            fs::write(dir.path().join(name), text).expect("a file");
        }
        let names: Vec<_> = corpus_in(dir.path()).expect("mails").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a.eml", "b/x.eml", "c.eml"]);
    }
}
