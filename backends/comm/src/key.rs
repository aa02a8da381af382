//! The job key: a secret that all ranks of a job share, and nobody else.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::CommError;

/// How to make one, for messages.
pub(super) const REMEDY: &str = "make one with `(umask 077; openssl rand -hex 32 > job.key)`";

/// What a key is derived for: keys of other uses of the same secret differ.
const CONTEXT: &str = "isograd 2026-11-27 job key of ranks joined by TCP";

/// The fewest bytes of a secret. Whoever records a connection can try secrets at leisure.
const SHORTEST: usize = 16;

/// The most bytes that are read of a file; a larger one is something else.
const LONGEST: u64 = 1 << 16;

/// What ranks that are joined by TCP know and strangers do not. It shows itself nowhere, not in `Debug` either.
#[derive(Clone, PartialEq, Eq)]
pub struct JobKey(blake3::Hash);

impl fmt::Debug for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobKey(..)")
    }
}

impl JobKey {
    /// The key of a secret, without the white space around it.
    ///
    /// # Errors
    /// [`CommError::Launch`] if the secret is shorter than 16 bytes.
    pub fn new(secret: &[u8]) -> Result<Self, CommError> {
        let secret = secret.trim_ascii();
        if secret.len() < SHORTEST {
            let bytes = secret.len();
            return Err(CommError::Launch(format!(
                "the job key has {bytes} bytes, which can be guessed; it needs {SHORTEST} or more: {REMEDY}"
            )));
        }
        Ok(Self(blake3::derive_key(CONTEXT, secret).into()))
    }

    /// The key of the secret in a file.
    ///
    /// # Errors
    /// [`CommError::Launch`] if the file cannot be read, can be read by others than its owner, or holds no secret of
    /// 16 bytes or more.
    pub fn read(path: &Path) -> Result<Self, CommError> {
        let wrong = |what: String| CommError::Launch(format!("--job-key {}: {what}", path.display()));
        let mut secret = Vec::new();
        let read = File::open(path).and_then(|file| {
            let readers = readers(&file)?;
            file.take(LONGEST + 1).read_to_end(&mut secret)?;
            Ok(readers)
        });
        let readers = read.map_err(|error| wrong(format!("{error}; {REMEDY}")))?;
        if let Some(mode) = readers {
            return Err(wrong(format!(
                "others than its owner can read it (mode {mode:03o}), and so join the job: `chmod 600` the file, or make \
                 another one if they should not have seen it"
            )));
        }
        if secret.len() as u64 > LONGEST {
            return Err(wrong(format!("it has more than {LONGEST} bytes, and is hardly a key; {REMEDY}")));
        }
        Self::new(&secret).map_err(|error| wrong(error.to_string()))
    }

    /// A key of 32 bytes that proofs are made with; of a job without a key, one that everybody knows.
    pub(super) fn for_proofs(key: Option<&Self>) -> [u8; 32] {
        key.map_or([0; 32], |key| *key.0.as_bytes())
    }
}

/// The permissions of a file that others can read.
#[cfg(unix)]
fn readers(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o777;
    // A pipe is nobody else's to open, whatever its mode.
    Ok((metadata.is_file() && mode & 0o044 != 0).then_some(mode))
}

/// Elsewhere permissions have another form, and are not looked at.
#[cfg(not(unix))]
fn readers(_: &File) -> io::Result<Option<u32>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_that_of_its_secret_and_shows_nothing() {
        let key = JobKey::new(b"0123456789abcdef").unwrap();
        assert_eq!(JobKey::new(b" \n0123456789abcdef\r\n"), Ok(key.clone()));
        assert_ne!(JobKey::new(b"0123456789abcdeF"), Ok(key.clone()));
        assert_eq!(format!("{key:?}"), "JobKey(..)");
        let error = JobKey::new(b"  0123456789abcde\n").unwrap_err().to_string();
        assert!(error.contains("has 15 bytes") && error.contains("openssl rand -hex 32 > job.key"), "{error}");
        assert!(!error.contains("0123456789"), "{error}");
    }

    #[test]
    fn files_that_are_no_secret_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.key");
        let refused = |expected: &str| {
            let error = JobKey::read(&path).unwrap_err().to_string();
            assert!(error.contains("job.key: ") && error.contains(expected), "{error}");
        };
        refused("openssl rand -hex 32 > job.key");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        #[cfg(unix)]
        {
            use std::fs::{Permissions, set_permissions};
            use std::os::unix::fs::PermissionsExt;
            for mode in [0o644, 0o640, 0o604] {
                set_permissions(&path, Permissions::from_mode(mode)).unwrap();
                refused(&format!("(mode {mode:03o})"));
            }
            set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        assert_eq!(JobKey::read(&path), JobKey::new(b"0123456789abcdef"));
        std::fs::write(&path, "\n").unwrap();
        refused("has 0 bytes");
        std::fs::write(&path, vec![b'x'; 1 << 17]).unwrap();
        refused("more than 65536 bytes");
    }
}
