//! An Arrow file that is mapped into memory: pieces of its table are looked at where they lie.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::{Block, root_as_footer, root_as_message};
use bytes::Bytes;
use memmap2::{Advice, Mmap};

use crate::{Error, Result};

/// A mapped file. What the table holds is read from the disk where it is touched, and is shared by all processes that map it.
pub(super) struct Mapped {
    path: PathBuf,
    bytes: Buffer,
    /// What the bytes are of.
    map: Arc<Mmap>,
    decoder: FileDecoder,
    blocks: Vec<Block>,
}

impl Mapped {
    /// Maps a file. `advice` says how it is going to be read.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Path`] where it is no Arrow file.
    pub(super) fn open(path: &Path, advice: Advice) -> Result<Self> {
        let fail = || Error::io(path, "read");
        let damaged =
            |message: String| Error::Path { path: path.to_owned(), message: format!("is damaged: {message}") };
        let file = File::open(path).map_err(fail())?;
        if file.metadata().map_err(fail())?.len() == 0 {
            return Err(damaged("there is nothing in it".into()));
        }
        let map = Arc::new(map(&file, advice).map_err(fail())?);
        let bytes = Buffer::from(Bytes::from_owner(Shared(map.clone())));
        let (decoder, blocks) = footer(&bytes).map_err(damaged)?;
        Ok(Self { path: path.to_owned(), bytes, map, decoder, blocks })
    }

    /// How many pieces the table is in.
    pub(super) fn pieces(&self) -> usize {
        self.blocks.len()
    }

    /// Lets the system read some pieces of the table before they are needed.
    pub(super) fn read_ahead(&self, pieces: Range<usize>) {
        let length = |block: &Block| i64::from(block.metaDataLength()).saturating_add(block.bodyLength());
        let ends = |block: &Block| block.offset().saturating_add(length(block));
        let Some((first, last)) = self.blocks.get(pieces).and_then(|own| own.first().zip(own.last())) else { return };
        let (start, end) = (first.offset().max(0) as usize, ends(last).max(0) as usize);
        if start < end && end <= self.bytes.len() {
            // What the system makes of the advice is its own affair.
            let _ = self.map.advise_range(Advice::WillNeed, start, end - start);
        }
    }

    /// A piece of the table; nothing of it is copied.
    ///
    /// # Errors
    /// [`Error::Path`] where there is no such piece, or it is damaged.
    pub(super) fn piece(&self, index: usize) -> Result<RecordBatch> {
        let found = match self.blocks.get(index) {
            Some(block) => self.decode(block),
            None => Err(format!("there are {} pieces of its table, and not one more", self.blocks.len())),
        };
        found.map_err(|message| Error::Path {
            path: self.path.clone(),
            message: format!("is damaged in piece {index} of its table: {message}"),
        })
    }

    fn decode(&self, block: &Block) -> Result<RecordBatch, String> {
        let place = |number: i64| usize::try_from(number).map_err(|_| "a negative length".to_owned());
        let start = place(block.offset())?;
        let length = place(i64::from(block.metaDataLength()))?.checked_add(place(block.bodyLength())?);
        let length = length.filter(|length| start.checked_add(*length).is_some_and(|end| end <= self.bytes.len()));
        let length = length.ok_or("it ends beyond the file")?;
        let bytes = self.bytes.slice_with_length(start, length);
        holds_its_buffers(&bytes, place(i64::from(block.metaDataLength()))?)?;
        let found = self.decoder.read_record_batch(block, &bytes);
        found.map_err(|error| error.to_string())?.ok_or_else(|| "it is no table".to_owned())
    }
}

/// Whether all buffers of a piece lie in it, which the decoder takes for granted. The first bytes describe them.
fn holds_its_buffers(bytes: &Buffer, description: usize) -> Result<(), String> {
    // A marker and a length come first, of 8 bytes, or of 4 in old files.
    let skipped = if bytes.starts_with(&[0xff; 4]) { 8 } else { 4 };
    let message = bytes.get(skipped..description).ok_or("its description is cut short")?;
    let message = root_as_message(message).map_err(|error| error.to_string())?;
    let batch = message.header_as_record_batch().ok_or("it is no table")?;
    let room = (bytes.len() - description) as i128;
    let inside = |buffer: &arrow_ipc::Buffer| {
        buffer.offset() >= 0
            && buffer.length() >= 0
            && i128::from(buffer.offset()) + i128::from(buffer.length()) <= room
    };
    match batch.buffers().iter().flatten().all(inside) {
        true => Ok(()),
        false => Err("a column ends beyond it".into()),
    }
}

/// A mapped file that several hold.
struct Shared(Arc<Mmap>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[allow(unsafe_code, reason = "a mapped file")]
fn map(file: &File, advice: Advice) -> std::io::Result<Mmap> {
    // SAFETY: the bytes must not change while they are mapped. Files of a store are written under another name and
    // never changed once they have theirs.
    let mapped = unsafe { Mmap::map(file)? };
    // What the system makes of the advice is its own affair.
    let _ = mapped.advise(advice);
    Ok(mapped)
}

/// The schema and the pieces of an Arrow file.
fn footer(bytes: &Buffer) -> Result<(FileDecoder, Vec<Block>), String> {
    let Some((rest, trailer)) = bytes.split_last_chunk::<10>() else { return Err("it ends too early".into()) };
    let length = read_footer_length(*trailer).map_err(|error| error.to_string())?;
    let start = rest.len().checked_sub(length).ok_or("its table of contents is longer than the file")?;
    let footer = root_as_footer(&rest[start..]).map_err(|error| error.to_string())?;
    let schema = footer.schema().ok_or("there is no schema")?;
    let schema = try_fb_to_schema(schema).map_err(|error| error.to_string())?;
    let decoder = FileDecoder::new(schema.into(), footer.version());
    Ok((decoder, footer.recordBatches().iter().flatten().copied().collect()))
}
