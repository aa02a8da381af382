//! Extended XYZ as ASE reads and writes it: frames of `count`, `comment`, one line per atom.

mod comment;
mod properties;
mod read;
mod write;

pub use read::FrameReader;
pub use write::write_frame;

use super::{Format, Frames, Input};
use crate::Result;

/// Extended XYZ, and plain XYZ with it.
#[derive(Debug, Clone, Copy)]
pub struct ExtXyz;

impl Format for ExtXyz {
    fn name(&self) -> &'static str {
        "extxyz"
    }

    /// Whatever no other format has recognised: the reader says best what is wrong with it.
    fn recognises(&self, _: &[u8]) -> bool {
        true
    }

    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        let name = input.name().to_owned();
        Ok(Box::new(FrameReader::new(input.into_bytes(), name)))
    }
}
