//! HDF5 files in which data sets of molecules are published. HDF5 says where numbers stand and not what they mean, so
//! the layout decides, and it is told by what the first groups hold:
//!
//! - ANI-1x, ANI-1ccx and ANI-2x: Hartree and angstrom, not computed is NaN.
//! - QM7-X: eV and angstrom, two levels of theory.
//! - SPICE: Hartree and bohr, gradients in place of forces.
//!
//! Each layout fixes its units and says which labels are read as `energy` and `forces`; other labels keep their own
//! names, and data sets that the layout does not know are passed over, for nobody says what their units are. A file of
//! another layout is an error that says what was found. Groups are read in the order of their names, as h5py reads them.
//!
//! HDF5 is read here and there, not as a stream: a compressed file has to be unpacked first.

mod ani;
mod conformers;
mod file;
mod layout;
mod links;
mod qm7x;
mod spice;

use std::path::Path;
use std::vec::IntoIter;

use self::file::File;
use self::layout::{Layout, Part};
use super::{Format, Frame, Frames, Input};
use crate::{Error, Result};

/// The first bytes of HDF5: of the file, or of what follows a user block.
const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Where the signature is looked for; a user block has a power of two of bytes.
const PLACES: [usize; 4] = [0, 512, 1024, 2048];

const LAYOUTS: [&dyn Layout; 3] = [&ani::Ani, &qm7x::Qm7x, &spice::Spice];

/// How many groups a layout is looked for in: the first ones may be of something else.
const LOOKED_AT: usize = 4;

/// HDF5: ANI-1x, ANI-2x, QM7-X, SPICE.
#[derive(Debug, Clone, Copy)]
pub struct Hdf5;

impl Format for Hdf5 {
    fn name(&self) -> &'static str {
        "hdf5"
    }

    fn recognises(&self, start: &[u8]) -> bool {
        PLACES.iter().any(|&place| start.get(place..).is_some_and(|rest| rest.starts_with(SIGNATURE)))
    }

    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        Ok(Box::new(FrameReader::open(input.path()?)?))
    }
}

/// Iterates over the frames of an HDF5 file, a slice of the conformers of a group after the other.
///
/// After an error the iterator ends.
pub struct FrameReader {
    name: String,
    file: File,
    layout: &'static dyn Layout,
    /// The groups that are still to be read.
    groups: IntoIter<String>,
    /// What is left of the group that is being read.
    part: Option<Box<dyn Part>>,
    /// The conformers that were read last.
    conformers: IntoIter<Option<Frame>>,
    index: usize,
    done: bool,
}

impl FrameReader {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be opened; [`Error::Path`] if it is damaged, or of an unknown layout.
    pub fn open(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::io(path, "read"))?;
        Self::new(File::open(file), path.display().to_string())
    }

    /// Reads bytes; `name` stands for the file in errors.
    ///
    /// # Errors
    /// [`Error::Path`] as [`FrameReader::open`].
    pub fn of_bytes(bytes: Vec<u8>, name: impl Into<String>) -> Result<Self> {
        Self::new(File::of_bytes(bytes), name.into())
    }

    fn new(file: Result<File, String>, name: String) -> Result<Self> {
        let start = || -> Result<_, String> {
            let mut file = file?;
            let root = file.group("/")?;
            let layout = layout_of(&mut file, &root)?;
            Ok((file, layout, root.groups))
        };
        let (file, layout, groups) = start().map_err(|message| Error::Path { path: name.clone().into(), message })?;
        let (part, conformers) = (None, Vec::new().into_iter());
        Ok(Self { name, file, layout, groups: groups.into_iter(), part, conformers, index: 0, done: false })
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, String> {
        loop {
            if let Some(conformer) = self.conformers.next() {
                let index = self.index;
                self.index += 1;
                if let Some(frame) = conformer {
                    return Ok(Some(Frame { index, ..frame }));
                }
            } else if let Some(part) = &mut self.part {
                let conformers = part.read(&mut self.file)?;
                if conformers.is_empty() {
                    self.part = None;
                }
                self.conformers = conformers.into_iter();
            } else {
                let Some(name) = self.groups.next() else { return Ok(None) };
                let group = self.file.group(&name)?;
                self.part = Some(self.layout.open(group)?);
            }
        }
    }
}

impl Iterator for FrameReader {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = self.next_frame().map_err(|message| Error::frame(&self.name, 0, self.index)(message));
        self.done = !matches!(frame, Ok(Some(_)));
        frame.transpose()
    }
}

/// The layout that one of the first groups is of.
fn layout_of(file: &mut File, root: &file::Group) -> Result<&'static dyn Layout, String> {
    let mut found = Vec::new();
    for name in root.groups.iter().take(LOOKED_AT) {
        let group = file.group(name)?;
        for layout in LAYOUTS {
            if layout.recognises(file, &group)? {
                return Ok(layout);
            }
        }
        found.push(group.summary());
    }
    if found.is_empty() {
        found.push(root.summary());
    }
    let known: Vec<String> = LAYOUTS.iter().map(|layout| format!("{} ({})", layout.name(), layout.form())).collect();
    Err(format!("is HDF5 of an unknown layout: found {}; known are {}", found.join(", "), known.join(", ")))
}
