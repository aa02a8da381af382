//! From what a user names to what is read: files as they are, patterns, and folders with files in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{ExtXyz, Format, Formats, Input};
use crate::{Error, Result};

/// What stands for one or more files in the name of a file, where there is no file of that very name.
const WILD: [char; 3] = ['*', '?', '['];

/// Endings that say how a file is compressed.
const PACKED: [&str; 6] = ["gz", "xz", "zst", "zstd", "bz2", "zip"];

/// What was named, one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Files, and folders that a format reads as a whole: each once, in the order in which they were named, and those of
    /// a pattern or a folder in the order of their names.
    pub found: Vec<PathBuf>,
    /// Files in folders that hold no structures, as far as can be seen.
    pub ignored: Vec<PathBuf>,
}

impl Formats {
    /// What is behind names of files, patterns such as `data/*.extxyz` or `runs/**/OUTCAR`, and folders. In a folder, and the
    /// folders in it, files are taken that a format recognises, or that are called `.xyz` or `.extxyz`, compressed or
    /// not; names that begin with a point are let be.
    ///
    /// # Errors
    /// [`Error::Path`] where a pattern is no pattern or matches nothing, or where there is nothing to read in a folder;
    /// [`Error::Io`] where a folder cannot be read. That a file does not exist is said by who opens it.
    pub fn inputs<P: AsRef<Path>>(&self, named: &[P]) -> Result<Inputs> {
        let mut inputs = Inputs::default();
        for path in named.iter().map(AsRef::as_ref) {
            let text = path.to_string_lossy();
            if path.exists() || !text.contains(WILD) {
                self.place(path, &mut inputs)?;
                continue;
            }
            let wrong = |message: String| Error::Path { path: path.to_owned(), message };
            let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
            let matches = glob::glob_with(&text, options).map_err(|error| wrong(format!("is no pattern: {error}")))?;
            let matches: Vec<PathBuf> = matches
                .map(|found| found.map_err(|error| Error::io(error.path().to_owned(), "read")(error.into())))
                .collect::<Result<_>>()?;
            if matches.is_empty() {
                return Err(wrong("matches no file".into()));
            }
            matches.iter().try_for_each(|path| self.place(path, &mut inputs))?;
        }
        let mut seen = BTreeSet::new();
        inputs.found.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
        Ok(inputs)
    }

    /// A file, a folder that a format reads as a whole, or what is in a folder.
    fn place(&self, path: &Path, inputs: &mut Inputs) -> Result<()> {
        if !path.is_dir() || self.of_folder(path).is_some() {
            inputs.found.push(path.to_owned());
            return Ok(());
        }
        let before = inputs.found.len();
        self.walk(path, inputs)?;
        if inputs.found.len() == before {
            let message = "is a folder without a structure file".into();
            return Err(Error::Path { path: path.to_owned(), message });
        }
        Ok(())
    }

    fn walk(&self, folder: &Path, inputs: &mut Inputs) -> Result<()> {
        let entries = std::fs::read_dir(folder).map_err(Error::io(folder, "read"))?;
        let entries = entries.map(|entry| entry.map(|entry| entry.path()).map_err(Error::io(folder, "read")));
        let mut paths: Vec<PathBuf> = entries.collect::<Result<_>>()?;
        paths.sort();
        for path in paths {
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            // A link to a folder may lead back to where it lies.
            let is_folder = path.is_dir() && !path.is_symlink();
            if hidden || (path.is_dir() && !is_folder) {
                continue;
            }
            if is_folder && self.of_folder(&path).is_none() {
                self.walk(&path, inputs)?;
            } else if is_folder || self.holds_structures(&path)? {
                inputs.found.push(path);
            } else {
                inputs.ignored.push(path);
            }
        }
        Ok(())
    }

    /// Whether a file in a folder is taken for one with structures.
    fn holds_structures(&self, path: &Path) -> Result<bool> {
        let (start, _) = Input::open(path)?.start();
        // Extended XYZ says yes to everything.
        let known = self.list.iter().any(|format| format.name() != ExtXyz.name() && format.recognises(&start));
        Ok(known || is_called_xyz(path))
    }
}

/// Whether a name ends with `.xyz` or `.extxyz`, or with one of these and the ending of a compressed file.
fn is_called_xyz(path: &Path) -> bool {
    let is = |path: &Path, endings: &[&str]| {
        path.extension().is_some_and(|own| endings.iter().any(|ending| own.eq_ignore_ascii_case(ending)))
    };
    let bare = if is(path, &PACKED) { path.with_extension("") } else { path.to_owned() };
    is(&bare, &["xyz", "extxyz"])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files with something in them, below a folder.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "1\n\nH 0 0 0\n").unwrap();
        }
        folder
    }

    fn names(folder: &Path, paths: &[PathBuf]) -> Vec<String> {
        paths.iter().map(|path| path.strip_prefix(folder).unwrap().display().to_string()).collect()
    }

    #[test]
    fn files_patterns_and_folders_are_each_taken_once_and_in_order() {
        let held =
            folder(&["b.xyz", "a.xyz", "more/c.extxyz", "more/deep/d.XYZ", "more/notes.txt", "more/.hidden.xyz"]);
        let root = held.path();
        let all = |named: &[&str]| {
            let named: Vec<PathBuf> = named.iter().map(|name| root.join(name)).collect();
            let Inputs { found, ignored } = Formats::default().inputs(&named).unwrap();
            (names(root, &found), names(root, &ignored))
        };
        assert_eq!(all(&["b.xyz", "a.xyz"]).0, ["b.xyz", "a.xyz"]);
        assert_eq!(all(&["*.xyz", "b.xyz"]).0, ["a.xyz", "b.xyz"]);
        assert_eq!(all(&["**/*.[xX][yY][zZ]"]).0, ["a.xyz", "b.xyz", "more/deep/d.XYZ"]);
        let (found, ignored) = all(&["more"]);
        assert_eq!(
            (found, ignored),
            (vec!["more/c.extxyz".into(), "more/deep/d.XYZ".into()], vec!["more/notes.txt".into()])
        );
        // A file that does not exist is opened, and missed, by its name.
        assert_eq!(all(&["none.xyz"]).0, ["none.xyz"]);
    }

    #[test]
    fn names_that_lead_nowhere_are_errors() {
        let held = folder(&["empty/notes.txt", "odd[1].xyz"]);
        let message = |name: &str| Formats::default().inputs(&[held.path().join(name)]).unwrap_err().to_string();
        assert!(message("*.json").ends_with("*.json: matches no file"));
        assert!(message("a[").contains("a[: is no pattern: "));
        assert!(message("empty").ends_with("is a folder without a structure file"));
        // A name that looks like a pattern, of a file that is there.
        assert_eq!(Formats::default().inputs(&[held.path().join("odd[1].xyz")]).unwrap().found.len(), 1);
    }

    #[test]
    fn endings_of_compressed_files_are_seen_through() {
        for (name, expected) in [
            ("a.xyz", true),
            ("a.extxyz.xz", true),
            ("a.XYZ.gz", true),
            ("a.gz", false),
            ("a.txt.xz", false),
            ("xyz", false),
        ] {
            assert_eq!(is_called_xyz(Path::new(name)), expected, "{name}");
        }
    }
}
