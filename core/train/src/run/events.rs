//! `events.out.tfevents.*`: the log as TensorBoard reads it.
//!
//! The file is a sequence of TensorFlow's records (`tensorflow/core/lib/io/record_writer.h`): the length of a message, its
//! checksum, the message, its checksum, all little-endian. A message is an `Event` in the wire format of protocol buffers
//! (`tensorflow/core/util/event.proto`); of its fields, and of those of `Summary` and `SessionLog`, few are needed here.
//!
//! The file is made anew from the log whenever training goes on, so that no step is there twice. It opens with the start of a
//! session at step 0, at which a TensorBoard drops what it has read from the file before. Times of events are those of training
//! without interruptions.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::LogLine;
use super::columns::numbers;
use crate::{Error, Result};

/// TensorBoard looks for these words, and reads files in the order of their names.
const PREFIX: &str = "events.out.tfevents.";

/// Where others have the name of a machine; tells our files.
const SUFFIX: &str = ".isograd";

/// The group of the numbers that are in none.
const TRAINING: &str = "training";

/// The open file.
pub(super) struct EventLog {
    path: PathBuf,
    file: File,
    /// When training would have begun without interruptions, in seconds since 1970.
    origin: f64,
    /// Step of the last line.
    step: Option<usize>,
}

impl EventLog {
    /// Writes the events of the lines that there are into a new file, which takes the place of those of earlier sessions, and
    /// opens it for more; `seconds` were trained so far.
    pub(super) fn open(folder: &Path, lines: &[LogLine], seconds: f64) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let before = Self::files(folder)?;
        // Readers must find it behind those before it, whatever the clock says.
        let last = before.iter().map(|(second, _)| second.saturating_add(1)).max().unwrap_or(0);
        let path = folder.join(format!("{PREFIX}{:010}{SUFFIX}", now.as_secs().max(last)));
        let file = File::create(&path).map_err(Error::io(&path, "write"))?;
        let mut log = Self { path, file, origin: now.as_secs_f64() - seconds, step: None };
        let mut bytes = record(&Message::event(log.origin, 0).text(3, "brain.Event:2"));
        // A `SessionLog` with `status = START`.
        bytes.extend(record(&Message::event(log.origin, 0).message(7, &Message::default().integer(1, 1))));
        for line in lines {
            bytes.extend(log.record_of(line)?);
        }
        log.write(&bytes)?;
        for (_, path) in before {
            // A TensorBoard goes on to the next file where one ends, but not where one is gone: that waits for the next time.
            match fs::metadata(&path).is_ok_and(|file| file.len() == 0) {
                true => fs::remove_file(&path).map_err(Error::io(&path, "remove"))?,
                false => drop(File::create(&path).map_err(Error::io(&path, "write"))?),
            }
        }
        Ok(log)
    }

    pub(super) fn push(&mut self, line: &LogLine) -> Result<()> {
        let bytes = self.record_of(line)?;
        self.write(&bytes)
    }

    /// The files of earlier sessions, with the second in each name.
    pub(super) fn files(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::io(folder, "read"))? {
            let entry = entry.map_err(Error::io(folder, "read"))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let second = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)?.parse().ok());
            found.extend(second.map(|second| (second, entry.path())));
        }
        Ok(found)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io(&self.path, "write"))
    }

    /// An event with a `Summary` of all numbers of a line; of a line that follows one of the same step, as that of a
    /// validation may, with what that one had not.
    fn record_of(&mut self, line: &LogLine) -> Result<Vec<u8>> {
        let again = self.step.replace(line.step) == Some(line.step);
        let mut summary = Message::default();
        for (name, number) in numbers(line)? {
            let is_step = name == ["step"];
            let Some(number) = number.and_then(|number| number.as_f64()).filter(|_| !is_step) else { continue };
            let tag = match name.as_slice() {
                [_] if again => continue,
                [single] => format!("{TRAINING}/{single}"),
                grouped => grouped.join("/"),
            };
            summary = summary.message(1, &Message::default().text(1, &tag).float(2, number as f32));
        }
        Ok(record(&Message::event(self.origin + line.seconds, line.step).message(5, &summary)))
    }
}

/// A message of protocol buffers: its fields, one after the other.
#[derive(Default)]
struct Message(Vec<u8>);

/// How many bytes a field has.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Eight = 1,
    Counted = 2,
    Four = 5,
}

impl Message {
    /// An `Event` at a time, in seconds since 1970, and a step.
    fn event(time: f64, step: usize) -> Self {
        Self::default().double(1, time).integer(2, step as u64)
    }

    fn field(mut self, number: u64, wire: Wire, bytes: &[u8]) -> Self {
        self.0.extend(varint(number << 3 | wire as u64));
        self.0.extend(bytes);
        self
    }

    fn integer(self, number: u64, value: u64) -> Self {
        self.field(number, Wire::Varint, &varint(value))
    }

    fn double(self, number: u64, value: f64) -> Self {
        self.field(number, Wire::Eight, &value.to_le_bytes())
    }

    fn float(self, number: u64, value: f32) -> Self {
        self.field(number, Wire::Four, &value.to_le_bytes())
    }

    fn text(self, number: u64, value: &str) -> Self {
        self.field(number, Wire::Counted, &[&varint(value.len() as u64), value.as_bytes()].concat())
    }

    fn message(self, number: u64, value: &Self) -> Self {
        self.field(number, Wire::Counted, &[&varint(value.0.len() as u64), value.0.as_slice()].concat())
    }
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A message as it stands in the file.
fn record(message: &Message) -> Vec<u8> {
    let length = (message.0.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), &message.0, &masked(&message.0).to_le_bytes()].concat()
}

/// The checksum of a record, which is no checksum of data that hold checksums themselves.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), RFC 3720, bit by bit: a line of the log is a few hundred bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let shift = |crc: u32, _| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, B.4, and the check value of CRC catalogues.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_are_those_of_tensorboard_itself() {
        let value = Message::default().text(1, "training/loss").float(2, 0.25);
        let scalar = Message::event(1.5, 300).message(5, &Message::default().message(1, &value));
        let start = Message::event(1.5, 1).message(7, &Message::default().integer(1, 1));
        // What `RecordWriter` of TensorBoard 2.21 writes of the same events.
        for (message, expected) in [
            (
                scalar,
                "2400000000000000422b804d09000000000000f83f10ac022a160a140a0d747261696e696e672f6c6f7373150000803e635d64f9",
            ),
            (start, "0f000000000000006d532b0909000000000000f83f10013a0208012967c289"),
        ] {
            let found: String = record(&message).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn numbers_above_seven_bits_go_on() {
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(127), [127]);
        assert_eq!(varint(300), [0xac, 2]);
    }
}
