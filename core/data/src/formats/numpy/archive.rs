//! An archive of arrays (`.npz`): a zip archive, each of whose members is an array, and has its own reader.
//!
//! The members are found through the crate `zip`. It reads one of them at a time, so that here each is read from the
//! archive opened anew: from where its bytes begin, through a decompressor and a checksum.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::array::Array;

/// How many bytes one byte of deflated data can stand for.
const DEFLATE_AT_MOST: u64 = 1032;

/// What an archive is opened as.
trait Bytes: Read + Seek + Send {}

impl<T: Read + Seek + Send> Bytes for T {}

/// An archive, and how it is opened.
pub(super) struct Archive<'a> {
    open: Box<dyn Fn() -> io::Result<Box<dyn Bytes>> + 'a>,
    members: Vec<Member>,
}

/// Where the bytes of an array lie.
struct Member {
    /// Without `.npy`.
    name: String,
    start: u64,
    /// Bytes in the archive.
    packed: u64,
    /// Bytes of the array.
    size: u64,
    deflated: bool,
    checksum: u32,
}

impl<'a> Archive<'a> {
    /// Reads the directory at the end of an archive that `open` opens, at its first byte, as often as it is called.
    ///
    /// # Errors
    /// A sentence about what is wrong with the archive.
    pub(super) fn new<R: Read + Seek + Send + 'static>(open: impl Fn() -> io::Result<R> + 'a) -> Result<Self, String> {
        let unreadable = |error: io::Error| format!("cannot be read: {error}");
        let mut file = open().map_err(unreadable)?;
        let length = file.seek(SeekFrom::End(0)).map_err(unreadable)?;
        let archive = ZipArchive::new(BufReader::new(file));
        let mut archive = archive.map_err(|error| format!("is a damaged archive: {error}"))?;
        let members = (0..archive.len()).map(|index| Member::new(&mut archive, index, length));
        let members = members.collect::<Result<_, _>>()?;
        let open = move || -> io::Result<Box<dyn Bytes>> { Ok(Box::new(open()?)) };
        Ok(Self { open: Box::new(open), members })
    }

    /// Names of the arrays, in the order of the archive.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// The array of that name, with its name in errors.
    ///
    /// # Errors
    /// As [`Array::open`].
    pub(super) fn array(&self, name: &str) -> Result<Option<Array>, String> {
        let Some(member) = self.members.iter().find(|member| member.name == name) else { return Ok(None) };
        let bytes = (self.open)().and_then(|mut file| file.seek(SeekFrom::Start(member.start)).map(|_| file));
        let bytes = bytes.map_err(|error| format!("cannot be read: {error}"))?;
        member.open(bytes).map(Some).map_err(|error| format!("`{name}` {error}"))
    }
}

impl Member {
    /// The member at a place in the directory of an archive of `length` bytes.
    fn new<R: Read + Seek>(archive: &mut ZipArchive<R>, index: usize, length: u64) -> Result<Self, String> {
        let member =
            archive.by_index(index).map_err(|error| format!("is a damaged archive: member {index}: {error}"))?;
        let (name, packed, size) = (member.name().to_owned(), member.compressed_size(), member.size());
        let deflated = match member.compression() {
            CompressionMethod::Stored => false,
            CompressionMethod::Deflated => true,
            other => return Err(format!("is packed with {other}, expected deflate or nothing")),
        };
        let start = member.data_start().filter(|start| start.checked_add(packed).is_some_and(|end| end <= length));
        let start = start.ok_or_else(|| format!("is a damaged archive: `{name}` lies outside of it"))?;
        let most = if deflated { packed.saturating_mul(DEFLATE_AT_MOST) } else { packed };
        if size > most {
            return Err(format!("is a damaged archive: `{name}` is of {size} bytes, of which {packed} are there"));
        }
        let checksum = member.crc32();
        Ok(Self { name: name.trim_end_matches(".npy").to_owned(), start, packed, size, deflated, checksum })
    }

    /// Its array, from bytes that begin where it does.
    fn open(&self, bytes: Box<dyn Bytes>) -> Result<Array, String> {
        let packed = BufReader::with_capacity(1 << 16, bytes.take(self.packed));
        let bytes: Box<dyn BufRead + Send> =
            if self.deflated { Box::new(BufReader::new(DeflateDecoder::new(packed))) } else { Box::new(packed) };
        Array::open(Box::new(Checked { bytes, sum: Crc::new(), expected: self.checksum }), self.size)
    }
}

/// Bytes of which a checksum is compared at their end.
struct Checked<R> {
    bytes: R,
    sum: Crc,
    expected: u32,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.sum.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() && self.sum.sum() != self.expected {
            let message = "has not the checksum that the archive says: it is damaged";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Write};
    use zip::write::SimpleFileOptions;

    /// An array of bytes under each name, every second one deflated.
    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (k, (name, bytes)) in members.iter().enumerate() {
            let method = [CompressionMethod::Stored, CompressionMethod::Deflated][k % 2];
            writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({},), }}", bytes.len());
            let length = (header.len() as u16).to_le_bytes();
            writer.write_all(&[b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), bytes].concat()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn open(bytes: Vec<u8>) -> Result<Archive<'static>, String> {
        Archive::new(move || Ok(Cursor::new(bytes.clone())))
    }

    #[test]
    fn arrays_are_read_side_by_side() {
        let archive = open(archive(&[("a.npy", &[1, 2]), ("b.npy", &[3, 4])])).unwrap();
        assert_eq!(archive.names().collect::<Vec<_>>(), ["a", "b"]);
        let [mut a, mut b] = ["a", "b"].map(|name| archive.array(name).unwrap().unwrap());
        for (first, second) in [(1, 3), (2, 4)] {
            assert_eq!((a.integers(1).unwrap(), b.integers(1).unwrap()), (vec![first], vec![second]));
        }
        a.finish().unwrap();
        b.finish().unwrap();
        assert!(archive.array("c").unwrap().is_none());
    }

    #[test]
    fn a_changed_item_is_found_at_the_end() {
        let mut bytes = archive(&[("a.npy", &[1, 77, 3])]);
        let place = bytes.windows(3).position(|window| window == [1, 77, 3]).unwrap();
        bytes[place + 1] = 78;
        let mut array = open(bytes).unwrap().array("a").unwrap().unwrap();
        assert_eq!(array.integers(3).unwrap(), [1, 78, 3]);
        assert!(array.finish().unwrap_err().contains("checksum"));
    }
}
