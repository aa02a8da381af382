//! Writing files and folders so that a reader, or a restart after a crash, sees all or nothing.

use std::fs::{self, File};
use std::path::Path;

use crate::{Error, Result};

/// Replaces `path` by `content`: written beside it, synced, renamed.
pub(super) fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    write_file_with(path, |temporary| fs::write(temporary, content).map_err(Error::io(path, "write")))
}

/// Replaces `path` by the file that `fill` writes under the name it is given.
pub(super) fn write_file_with(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let temporary = path.with_extension("partial");
    let settle = || File::open(&temporary)?.sync_all().and_then(|()| fs::rename(&temporary, path));
    fill(&temporary).and_then(|()| settle().map_err(Error::io(path, "write"))).inspect_err(|_| {
        // What is half written must not stay; that the removal may fail too is nothing new.
        let _ = fs::remove_file(&temporary);
    })?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes the folder `path` by letting `fill` write into a temporary one, which is then synced and
/// renamed.
pub(super) fn write_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = path.with_file_name(format!(".partial-{name}"));
    let _ = fs::remove_dir_all(&temporary);
    fs::create_dir_all(&temporary).map_err(Error::io(&temporary, "create"))?;
    let filled = fill(&temporary).and_then(|()| {
        sync_folder(&temporary)?;
        let _ = fs::remove_dir_all(path);
        fs::rename(&temporary, path).map_err(Error::io(path, "write"))
    });
    if filled.is_err() {
        let _ = fs::remove_dir_all(&temporary);
    }
    filled?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

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

    #[test]
    fn a_failed_fill_leaves_nothing_and_keeps_the_old_folder() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("x");
        write_folder(&path, |folder| write_file(&folder.join("a"), b"1")).unwrap();
        let failed = write_folder(&path, |folder| {
            write_file(&folder.join("a"), b"2")?;
            Err(Error::Structure("no".into()))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(path.join("a")).unwrap(), b"1");
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);
    }
}
