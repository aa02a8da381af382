//! Opening a file that may be compressed, and writing one: gzip, xz, zstd, bzip2 and zip are told by their first bytes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use zip::{CompressionMethod, ZipArchive};

use crate::{Error, Result};

const GZIP: &[u8] = &[0x1f, 0x8b];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BZIP2: &[u8] = b"BZh";
const ZIP: &[u8] = b"PK\x03\x04";

/// Opens a plain file, or one that is compressed with gzip, xz, zstd, bzip2 or zip, for buffered reading; the name's ending
/// does not matter. A zip archive has one file in it, unless it is one of NumPy's, which is no compressed file.
///
/// # Errors
/// [`Error::Io`] if the file cannot be opened or its decompressor cannot start, [`Error::Path`] if it is a
/// directory, or an archive of several files.
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
    } else if head.starts_with(BZIP2) {
        through(Box::new(bzip2::bufread::MultiBzDecoder::new(file)))
    } else if head.starts_with(ZIP) {
        match zipped(path, file)? {
            Zipped::Arrays(file) => (Box::new(file), false),
            Zipped::File(bytes) => through(bytes),
        }
    } else {
        (Box::new(file), false)
    })
}

/// What a zip archive is for.
enum Zipped {
    /// NumPy arrays: the archive itself, from its first byte.
    Arrays(BufReader<File>),
    /// One file: its bytes.
    File(Box<dyn Read + Send>),
}

fn zipped(path: &Path, mut file: BufReader<File>) -> Result<Zipped> {
    let wrong = |message: String| Error::Path { path: path.to_owned(), message };
    let mut archive =
        ZipArchive::new(&mut file).map_err(|error| wrong(format!("is a damaged zip archive: {error}")))?;
    let names: Vec<String> = archive.file_names().filter(|name| !name.ends_with('/')).map(str::to_owned).collect();
    if !names.is_empty() && names.iter().all(|name| name.ends_with(".npy")) {
        file.rewind().map_err(Error::io(path, "read"))?;
        return Ok(Zipped::Arrays(file));
    }
    let [name] = &names[..] else {
        let message = format!("is a zip archive of {} files, expected one: unpack it, and name its files", names.len());
        return Err(wrong(message));
    };
    let member = archive.by_name(name).map_err(|error| wrong(format!("`{name}` in it cannot be read: {error}")))?;
    let (start, size, method) = (member.data_start(), member.compressed_size(), member.compression());
    drop(member);
    let start = start.ok_or_else(|| wrong(format!("`{name}` in it cannot be found")))?;
    file.seek(SeekFrom::Start(start)).map_err(Error::io(path, "read"))?;
    let bytes = file.take(size);
    match method {
        CompressionMethod::Stored => Ok(Zipped::File(Box::new(bytes))),
        CompressionMethod::Deflated => Ok(Zipped::File(Box::new(flate2::bufread::DeflateDecoder::new(bytes)))),
        other => {
            Err(wrong(format!("`{name}` in it is compressed with {other}, expected deflate or nothing: unpack it")))
        }
    }
}

/// What is written is compressed as the ending of a name says: `.gz`, `.xz`, `.zst`, `.bz2`, or not at all.
pub struct Packed<W: Write> {
    out: Packer<W>,
}

enum Packer<W: Write> {
    Plain(BufWriter<W>),
    Gzip(flate2::write::GzEncoder<BufWriter<W>>),
    Xz(liblzma::write::XzEncoder<BufWriter<W>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<W>>),
    Bzip2(bzip2::write::BzEncoder<BufWriter<W>>),
}

impl<W: Write> Packed<W> {
    /// Packs into `out` as the ending of `name` says.
    ///
    /// # Errors
    /// Where the compressor cannot start.
    pub fn new(out: W, name: &Path) -> io::Result<Self> {
        let out = BufWriter::with_capacity(1 << 16, out);
        let ending = name.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let out = match ending.to_ascii_lowercase().as_str() {
            "gz" => Packer::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::default())),
            "xz" => Packer::Xz(liblzma::write::XzEncoder::new(out, 6)),
            "zst" => Packer::Zstd(zstd::stream::write::Encoder::new(out, 3)?),
            "bz2" => Packer::Bzip2(bzip2::write::BzEncoder::new(out, bzip2::Compression::default())),
            _ => Packer::Plain(out),
        };
        Ok(Self { out })
    }

    /// Writes what is left. Compressed data that are not finished are cut short.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn finish(self) -> io::Result<W> {
        let out = match self.out {
            Packer::Plain(out) => out,
            Packer::Gzip(out) => out.finish()?,
            Packer::Xz(out) => out.finish()?,
            Packer::Zstd(out) => out.finish()?,
            Packer::Bzip2(out) => out.finish()?,
        };
        Ok(out.into_inner()?)
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.out {
            Packer::Plain(out) => out,
            Packer::Gzip(out) => out,
            Packer::Xz(out) => out,
            Packer::Zstd(out) => out,
            Packer::Bzip2(out) => out,
        }
    }
}

impl<W: Write> Write for Packed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compression_gives_the_same_text() {
        let text = "1\n\nH 0 0 0\n".repeat(1000);
        let folder = tempfile::tempdir().unwrap();
        for (ending, start) in [("xyz", &b"1"[..]), ("gz", GZIP), ("xz", XZ), ("zst", ZSTD), ("bz2", BZIP2)] {
            let path = folder.path().join(format!("a.{ending}"));
            let mut packed = Packed::new(Vec::new(), &path).unwrap();
            packed.write_all(text.as_bytes()).unwrap();
            std::fs::write(&path, packed.finish().unwrap()).unwrap();
            assert!(std::fs::read(&path).unwrap().starts_with(start), "{ending}");
            let mut read = String::new();
            open(&path).unwrap().read_to_string(&mut read).unwrap();
            assert_eq!(read, text, "{ending}");
        }
    }

    fn archive(folder: &Path, members: &[(&str, CompressionMethod)], text: &str) -> std::path::PathBuf {
        let path = folder.join("a.zip");
        let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, method) in members {
            archive.start_file(*name, zip::write::SimpleFileOptions::default().compression_method(*method)).unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        archive.finish().unwrap();
        path
    }

    #[test]
    fn an_archive_of_one_file_is_that_file_and_arrays_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let text = "1\n\nH 0 0 0\n".repeat(1000);
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let path = archive(folder.path(), &[("a.xyz", method)], &text);
            let (mut bytes, packed) = unpacked(&path).unwrap();
            let mut read = String::new();
            bytes.read_to_string(&mut read).unwrap();
            assert!(packed && read == text);
        }
        let path = archive(folder.path(), &[("E.npy", CompressionMethod::Stored)], "");
        let (mut bytes, packed) = unpacked(&path).unwrap();
        assert!(!packed && bytes.fill_buf().unwrap().starts_with(ZIP));
        let path = archive(folder.path(), &[("a", CompressionMethod::Stored), ("b", CompressionMethod::Stored)], &text);
        let message = open(&path).err().unwrap().to_string();
        assert!(message.contains("a zip archive of 2 files, expected one"), "{message}");
        std::fs::write(&path, &std::fs::read(&path).unwrap()[..40]).unwrap();
        assert!(open(&path).err().unwrap().to_string().contains("damaged zip archive"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = open(Path::new("/nonexistent/a.xyz")).err().unwrap().to_string();
        assert!(message.contains("/nonexistent/a.xyz"), "{message}");
    }
}
