//! NumPy arrays: archives of the conformations of a molecule, and the folders that DeePMD-kit reads.

mod archive;
mod array;
mod conformations;
mod deepmd;

use std::fs::File;
use std::path::Path;

pub use conformations::read_archive;

use super::{Format, Frames, Input};
use crate::Result;

/// Archives of arrays (`.npz`) as rMD17 and sGDML have them: all conformations of one molecule.
///
/// Lengths are in angstrom and energies in kcal/mol, unless `r_unit` and `e_unit` in the archive name other units.
#[derive(Debug, Clone, Copy)]
pub struct Npz;

/// How a zip archive begins: with the header of its first member, whose name stands 30 bytes on.
const MEMBER: &[u8] = b"PK\x03\x04";

impl Format for Npz {
    fn name(&self) -> &'static str {
        "npz"
    }

    /// A zip archive whose first member is an array by its name.
    fn recognises(&self, start: &[u8]) -> bool {
        let name = start.starts_with(MEMBER).then(|| start.get(26..28)).flatten();
        let length = name.map_or(0, |length| usize::from(length[0]) | usize::from(length[1]) << 8);
        start.get(30..30 + length).is_some_and(|name| name.ends_with(b".npy"))
    }

    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        let path = input.path()?;
        read_archive(|| File::open(path), input.name())
    }
}

/// Folders of arrays as DeePMD-kit reads them: a `type.raw`, a `type_map.raw`, and arrays in folders `set.*`.
///
/// Lengths are in angstrom and energies in eV. The stress is minus the virial over the volume.
#[derive(Debug, Clone, Copy)]
pub struct DeepMd;

impl Format for DeepMd {
    fn name(&self) -> &'static str {
        "deepmd"
    }

    /// No file is: a system is a folder.
    fn recognises(&self, _start: &[u8]) -> bool {
        false
    }

    fn recognises_folder(&self, folder: &Path) -> bool {
        folder.join(deepmd::TYPES).is_file()
    }

    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        deepmd::read_system(input.path()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_told_by_the_name_of_its_first_member() {
        let start = |name: &[u8]| [MEMBER, &[0; 22], &[name.len() as u8, 0, 0, 0], name, b"data"].concat();
        assert!(Npz.recognises(&start(b"coords.npy")));
        assert!(!Npz.recognises(&start(b"coords.txt")));
        assert!(!Npz.recognises(&start(b"")));
        assert!(!Npz.recognises(&start(b"coords.npy")[..38]));
        assert!(!Npz.recognises(b"PK\x03\x04") && !Npz.recognises(b""));
        // A name of 300 bytes, of which the low byte alone says 44.
        let mut long = start(&[b'x'; 44]);
        long[27] = 1;
        assert!(!Npz.recognises(&long));
    }
}
