//! Opening a file that may be compressed; gzip, xz and zstd are told by their first bytes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::{Error, Result};

const GZIP: &[u8] = &[0x1f, 0x8b];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Opens a plain, gzip, xz or zstd file for buffered reading; the name's ending does not matter.
///
/// # Errors
/// [`Error::Io`] if the file cannot be opened or its decompressor cannot start, [`Error::Path`] if it is a
/// directory.
pub fn open(path: &Path) -> Result<Box<dyn BufRead + Send>> {
    unpacked(path).map(|(bytes, _)| bytes)
}

/// The same, and whether the file is compressed.
pub(crate) fn unpacked(path: &Path) -> Result<(Box<dyn BufRead + Send>, bool)> {
    let fail = || Error::io(path, "read");
    let file = File::open(path).map_err(fail())?;
    if file.metadata().map_err(fail())?.is_dir() {
        let message = "is a directory; expected a structure file".into();
        return Err(Error::Path { path: path.to_owned(), message });
    }
    let mut file = BufReader::with_capacity(1 << 16, file);
    let head = file.fill_buf().map_err(fail())?;
    let through = |decoder: Box<dyn Read + Send>| -> (Box<dyn BufRead + Send>, bool) {
        (Box::new(BufReader::with_capacity(1 << 16, decoder)), true)
    };
    Ok(if head.starts_with(GZIP) {
        through(Box::new(flate2::bufread::MultiGzDecoder::new(file)))
    } else if head.starts_with(XZ) {
        through(Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(file)))
    } else if head.starts_with(ZSTD) {
        through(Box::new(zstd::stream::read::Decoder::with_buffer(file).map_err(fail())?))
    } else {
        (Box::new(file), false)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_compression_gives_the_same_text() {
        let text = "1\n\nH 0 0 0\n".repeat(1000);
        let folder = tempfile::tempdir().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        gzip.write_all(text.as_bytes()).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
        xz.write_all(text.as_bytes()).unwrap();
        let packed = [
            text.clone().into_bytes(),
            gzip.finish().unwrap(),
            xz.finish().unwrap(),
            zstd::encode_all(text.as_bytes(), 3).unwrap(),
        ];
        for (index, bytes) in packed.into_iter().enumerate() {
            let path = folder.path().join(index.to_string());
            std::fs::write(&path, bytes).unwrap();
            let mut read = String::new();
            open(&path).unwrap().read_to_string(&mut read).unwrap();
            assert_eq!(read, text, "file {index}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = open(Path::new("/nonexistent/a.xyz")).err().unwrap().to_string();
        assert!(message.contains("/nonexistent/a.xyz"), "{message}");
    }
}
