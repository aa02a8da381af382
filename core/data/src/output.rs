//! A file that is written whole or not at all.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::compressed::Packed;
use crate::{Error, Result};

/// What a program writes to a name: a file, compressed as its ending says, which is there when it is complete and not
/// before; what lies there until then stays. `-` is the standard output. A link is followed. What is no file, such as a pipe,
/// is written to as it is.
pub struct Output {
    name: PathBuf,
    sink: Sink,
}

enum Sink {
    /// A file under another name beside the one that it will have.
    Beside { packed: Packed<File>, temporary: TempPath, path: PathBuf },
    /// Written to at once.
    Direct(Packed<Box<dyn Write + Send>>),
}

impl Output {
    /// Opens a name for writing.
    ///
    /// # Errors
    /// [`Error::Io`] where nothing can be written there.
    pub fn create(name: &Path) -> Result<Self> {
        let sink = Self::sink(name).map_err(Error::io(name, "write"))?;
        Ok(Self { name: name.to_owned(), sink })
    }

    fn sink(name: &Path) -> io::Result<Sink> {
        if name == Path::new("-") {
            return Ok(Sink::Direct(Packed::new(direct(io::stdout()), name)?));
        }
        let path = name.canonicalize().unwrap_or_else(|_| name.to_owned());
        if path.exists() && !path.is_file() {
            let special = File::options().write(true).open(&path)?;
            return Ok(Sink::Direct(Packed::new(direct(special), name)?));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut beside = tempfile::Builder::new();
        beside.prefix(".isograd-").suffix(".partial");
        let like = match path.metadata() {
            Ok(metadata) => Some(metadata.permissions()),
            Err(_) => as_usual(),
        };
        if let Some(permissions) = like {
            beside.permissions(permissions);
        }
        let (file, temporary) = beside.tempfile_in(folder)?.into_parts();
        Ok(Sink::Beside { packed: Packed::new(file, name)?, temporary, path })
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written; what lay there before is still there.
    pub fn finish(self) -> Result<()> {
        let finished = match self.sink {
            Sink::Beside { packed, temporary, path } => packed
                .finish()
                .and_then(|file| file.sync_all())
                .and_then(|()| temporary.persist(path).map_err(|error| error.error)),
            Sink::Direct(packed) => packed.finish().and_then(|mut out| out.flush()),
        };
        finished.map_err(Error::io(self.name, "write"))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.sink {
            Sink::Beside { packed, .. } => packed.write(bytes),
            Sink::Direct(packed) => packed.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Beside { packed, .. } => packed.flush(),
            Sink::Direct(packed) => packed.flush(),
        }
    }
}

fn direct(out: impl Write + Send + 'static) -> Box<dyn Write + Send> {
    Box::new(out)
}

/// What a new file may be read and written by: whoever the system's mask leaves.
#[cfg(unix)]
fn as_usual() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn as_usual() -> Option<Permissions> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, "old").unwrap();
        let mut broken_off = Output::create(&path).unwrap();
        broken_off.write_all(b"new, but not all of it").unwrap();
        let mut second = Output::create(&path).unwrap();
        second.write_all(b"second").unwrap();
        drop(broken_off);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        second.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(names(folder.path()), ["a.txt"]);
        let message = Output::create(&folder.path().join("none/a.txt")).err().unwrap().to_string();
        assert!(message.contains("none/a.txt: cannot write"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_what_is_no_file_is_written_to_and_others_may_read() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let [real, link] = ["real.txt", "link.txt"].map(|name| folder.path().join(name));
        std::fs::write(&real, "old").unwrap();
        std::fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        symlink(&real, &link).unwrap();
        let mut out = Output::create(&link).unwrap();
        out.write_all(b"new").unwrap();
        out.finish().unwrap();
        assert!(link.is_symlink() && std::fs::read_to_string(&real).unwrap() == "new");
        assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        Output::create(Path::new("/dev/null")).unwrap().finish().unwrap();
        let [plain, ours] = ["plain.txt", "ours.txt"].map(|name| folder.path().join(name));
        std::fs::write(&plain, "").unwrap();
        Output::create(&ours).unwrap().finish().unwrap();
        assert_eq!(ours.metadata().unwrap().permissions(), plain.metadata().unwrap().permissions());
    }
}
