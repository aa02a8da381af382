//! Writing files and folders so that a reader, or a restart after a crash, sees all or nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Replaces `path` by `content`: written beside it, synced, renamed.
pub(super) fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    write_file_with(path, |temporary| fs::write(temporary, content).map_err(Error::io(path, "write")))
}

/// Replaces `path` by the file that `fill` writes under the name it is given.
pub(super) fn write_file_with(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let temporary = path.with_extension("partial");
    // Whoever fills it may be less generous with who reads it than the system's mask is.
    let as_usual = || File::create(&temporary)?.metadata().map(|metadata| metadata.permissions());
    let as_usual = as_usual().map_err(Error::io(path, "write"))?;
    let settle = || {
        fs::set_permissions(&temporary, as_usual)?;
        File::open(&temporary)?.sync_all().and_then(|()| fs::rename(&temporary, path))
    };
    fill(&temporary).and_then(|()| settle().map_err(Error::io(path, "write"))).inspect_err(|_| {
        // What is half written must not stay; that the removal may fail too is nothing new.
        let _ = fs::remove_file(&temporary);
    })?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// A folder that several processes fill under a temporary name, until one of them puts it in its place.
/// Dropped before, it is removed again.
pub(super) struct PartialFolder {
    path: PathBuf,
    temporary: PathBuf,
}

impl PartialFolder {
    /// The name of a folder in the making.
    pub(super) fn temporary(path: &Path) -> PathBuf {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        path.with_file_name(format!("{PARTIAL}{name}"))
    }

    /// Makes the temporary folder, empty.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let temporary = Self::temporary(path);
        let _ = fs::remove_dir_all(&temporary);
        fs::create_dir_all(&temporary).map_err(Error::io(&temporary, "create"))?;
        Ok(Self { path: path.to_owned(), temporary })
    }

    /// Puts the folder in its place, instead of one that is there.
    pub(super) fn settle(self) -> Result<()> {
        sync_folder(&self.temporary)?;
        let _ = fs::remove_dir_all(&self.path);
        fs::rename(&self.temporary, &self.path).map_err(Error::io(&self.path, "write"))?;
        sync_folder(self.path.parent().unwrap_or(Path::new(".")))
    }
}

impl Drop for PartialFolder {
    fn drop(&mut self) {
        // After `settle` there is nothing under this name. Else other processes may still be filling it, and know
        // no better for a moment.
        for _ in 0..20 {
            if !self.temporary.exists() || fs::remove_dir_all(&self.temporary).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

/// Begins the name of every folder in the making.
pub(super) const PARTIAL: &str = ".partial-";

/// Makes renames in a folder durable.
fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(path).and_then(|folder| folder.sync_all()).map_err(Error::io(path, "sync"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn whoever_may_read_new_files_may_read_these() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [plain, ours] = ["plain", "ours"].map(|name| folder.path().join(name));
        fs::write(&plain, "").unwrap();
        write_file_with(&ours, |path| {
            fs::remove_file(path).unwrap();
            fs::write(path, "secret").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(Error::io(path, "write"))
        })
        .unwrap();
        assert_eq!(ours.metadata().unwrap().permissions(), plain.metadata().unwrap().permissions());
    }

    #[test]
    fn what_is_not_settled_leaves_nothing_and_keeps_the_old_folder() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("x");
        let fill = |content: &[u8]| {
            let folder = PartialFolder::create(&path).unwrap();
            write_file(&PartialFolder::temporary(&path).join("a"), content).unwrap();
            folder
        };
        fill(b"1").settle().unwrap();
        drop(fill(b"2"));
        assert_eq!(fs::read(path.join("a")).unwrap(), b"1");
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);
    }
}
