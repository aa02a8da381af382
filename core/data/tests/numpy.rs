//! Archives of NumPy arrays and DeePMD-kit's systems, as a user reads them.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use approx::assert_relative_eq;
use isograd_data::formats::numpy::read_archive;
use isograd_data::formats::{Data, Formats, Frame};
use isograd_data::{Error, Result, Source};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/numpy").join(name)
}

fn read(path: impl AsRef<Path>) -> Result<Vec<Frame>> {
    Formats::default().open(path.as_ref())?.collect()
}

fn frames(name: &str) -> Vec<Frame> {
    read(fixture(name)).unwrap()
}

fn message(path: impl AsRef<Path>) -> String {
    read(path).unwrap_err().to_string()
}

fn numbers(frame: &Frame, key: &str) -> Option<Vec<f64>> {
    frame.header.get(key)?.numbers()
}

fn text(frame: &Frame, key: &str) -> Option<String> {
    Some(frame.header.get(key)?.text().into_owned())
}

fn vectors(frame: &Frame, name: &str) -> Vec<[f64; 3]> {
    frame.column(name).unwrap().as_vectors().unwrap()
}

fn elements(frame: &Frame) -> Vec<i64> {
    let Data::Integer(numbers) = &frame.column("numbers").unwrap().data else { panic!("no numbers") };
    numbers.clone()
}

/// A system of the fixtures, to be changed.
fn copied(name: &str) -> (tempfile::TempDir, PathBuf) {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let system = folder.path().join(name);
    copy(&fixture(name), &system);
    (folder, system)
}

/// An array of real numbers.
fn array(shape: &[usize], values: &[f64]) -> Vec<u8> {
    let axes: String = shape.iter().map(|length| format!("{length}, ")).collect();
    let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({axes}), }}\n");
    let values = values.iter().flat_map(|value| value.to_le_bytes());
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()]
        .concat()
        .into_iter()
        .chain(values)
        .collect()
}

/// An archive of arrays, beside some that have come from another.
fn archive(from: &str, others: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut source = zip::ZipArchive::new(fs::File::open(fixture(from)).unwrap()).unwrap();
    for index in 0..source.len() {
        let mut member = source.by_index(index).unwrap();
        let name = member.name().to_owned();
        if others.iter().any(|(other, _)| format!("{other}.npy") == name) {
            continue;
        }
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        writer.start_file(name, stored).unwrap();
        writer.write_all(&bytes).unwrap();
    }
    for (name, bytes) in others.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        writer.start_file(format!("{name}.npy"), stored).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn of_bytes(bytes: &[u8]) -> Result<Vec<Frame>> {
    let bytes = bytes.to_vec();
    read_archive(move || Ok(Cursor::new(bytes.clone())), "a.npz")?.collect()
}

#[test]
fn rmd17_in_kilocalories_per_mole() {
    let frames = frames("rmd17.npz");
    assert_eq!(frames.len(), 2);
    assert_eq!((frames[0].index, frames[1].index), (0, 1));
    assert_eq!(frames[0].converted_from, Some("kcal/mol and angstrom"));
    assert_eq!(elements(&frames[1]), [8, 1, 1]);
    assert_eq!(vectors(&frames[0], "pos"), [[0.0, 0.0, 0.25], [0.75, 0.0, -0.5], [-0.75, 0.0, -0.5]]);
    assert_eq!(vectors(&frames[1], "pos")[1], [1.0, 0.0, -0.5]);
    assert_relative_eq!(numbers(&frames[0], "energy").unwrap()[0], -4.336_410_4, max_relative = 1e-7);
    assert_relative_eq!(numbers(&frames[1], "energy").unwrap()[0], -4.314_728_4, max_relative = 1e-7);
    assert_relative_eq!(vectors(&frames[0], "forces")[0][2], 0.043_364_104, max_relative = 1e-7);
    assert_relative_eq!(vectors(&frames[1], "forces")[1][0], -0.173_456_417, max_relative = 1e-7);
    assert!(frames[0].header.get("Lattice").is_none() && frames[0].header.get("pbc").is_none());
    // The older data set's labels are others.
    assert!(frames[0].header.get("old_energies").is_none() && frames[0].column("old_forces").is_none());
    let structures: Vec<_> =
        Source::default().read_file(&fixture("rmd17.npz")).unwrap().collect::<Result<_>>().unwrap();
    assert_eq!(structures[1].geometry.periodic, [false; 3]);
    assert_relative_eq!(structures[1].energy.unwrap(), -4.314_728_4, max_relative = 1e-7);
}

#[test]
fn sgdml_in_the_units_that_it_names() {
    let frames = frames("sgdml.npz");
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[0].converted_from, Some("the units that they name"));
    assert_eq!(elements(&frames[0]), [8, 1, 1]);
    assert_relative_eq!(vectors(&frames[0], "pos")[1][0], 0.396_882_908_177_25, max_relative = 1e-12);
    assert_relative_eq!(numbers(&frames[0], "energy").unwrap()[0], -2_721.138_624_598_8, max_relative = 1e-13);
    assert_relative_eq!(numbers(&frames[1], "energy").unwrap()[0], -2_707.532_931_475_8, max_relative = 1e-13);
    assert_relative_eq!(vectors(&frames[0], "forces")[0][2], 51.422_067, max_relative = 1e-7);
    assert_eq!(text(&frames[1], "name").unwrap(), "water");
    assert_eq!(text(&frames[1], "theory").unwrap(), "PBE+TS");
}

#[test]
fn sgdml_without_units_or_energies_and_with_a_lattice() {
    let frames = frames("lattice.npz");
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].converted_from, Some("kcal/mol and angstrom"));
    assert!(frames[0].header.get("energy").is_none());
    assert_eq!(text(&frames[0], "name").unwrap(), "ice");
    assert_eq!(numbers(&frames[0], "Lattice").unwrap(), [4.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 6.0]);
    assert_eq!(text(&frames[0], "pbc").unwrap(), "T T T");
    let slanted = array(&[3, 3], &[4.0, 1.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 6.0]);
    let message = of_bytes(&archive("lattice.npz", &[("lattice", slanted)])).unwrap_err().to_string();
    assert!(message.contains("`lattice` may have its vectors in rows or in columns"), "{message}");
}

#[test]
fn archives_that_are_not_understood_are_explained() {
    let message_of = |name: &str| message(fixture(name));
    let other = message_of("other.npz");
    assert!(other.contains("other.npz: holds the arrays positions [2, 3, 3], charges [3]; expected"), "{other}");
    assert!(other.contains("coords [M, N, 3]") && other.contains("(rMD17)") && other.contains("(sGDML)"), "{other}");
    let fortran = message_of("fortran.npz");
    assert!(fortran.contains("fortran.npz: `R` has the shape [2, 3, 3] in Fortran order"), "{fortran}");
    let objects = message_of("objects.npz");
    assert!(objects.contains("objects.npz: frame 0: `E` holds items of the type `|O`"), "{objects}");
    assert!(objects.contains("never loaded"), "{objects}");
    for (name, bytes, expected) in [
        ("coords", array(&[2, 9], &[0.0; 18]), "`coords` has the shape [2, 9], expected [M, N, 3]"),
        ("coords", array(&[3, 2, 3], &[0.0; 18]), "expected [M, 3, 3], as `nuclear_charges` has 3 atoms"),
        ("energies", array(&[3], &[0.0; 3]), "`energies` has the shape [3], expected [2] or [2, 1]"),
        ("energies", array(&[1, 2], &[0.0; 2]), "expected [2] or [2, 1]"),
        ("forces", array(&[2, 3], &[0.0; 6]), "`forces` has the shape [2, 3], expected [2, 3, 3]"),
        ("nuclear_charges", array(&[3, 1], &[8.0, 1.0, 1.0]), "expected [N] for N atoms"),
        ("nuclear_charges", array(&[0], &[]), "expected 1 to 4194304 atoms"),
        ("nuclear_charges", array(&[3], &[8.0, 1.5, 1.0]), "`nuclear_charges` holds 1.5, expected whole numbers"),
        ("nuclear_charges", array(&[3], &[8.0, 1.0, 0.0]), "`nuclear_charges`: 0 is no atomic number"),
        ("cell", array(&[3, 3], &[0.0; 9]), "holds `cell` beside the arrays of rMD17"),
        ("e_unit", array(&[1], &[0.0]), "`e_unit` holds items of the type `<f8`, expected text"),
        ("forces", b"no array".to_vec(), "`forces` is no NumPy array"),
        ("coords", array(&[2, 3, 3], &[0.0; 17]), "claims the shape [2, 3, 3] of 8 bytes each, but has 136 bytes"),
    ] {
        let message = of_bytes(&archive("rmd17.npz", &[(name, bytes)])).unwrap_err().to_string();
        assert!(message.starts_with("a.npz: ") && message.contains(expected), "{message}");
    }
    let unit = |name: &str, unit: &str| {
        let header = format!("{{'descr': '|S{}', 'fortran_order': False, 'shape': (), }}", unit.len());
        let length = (header.len() as u16).to_le_bytes();
        let bytes = [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), unit.as_bytes()].concat();
        of_bytes(&archive("rmd17.npz", &[(name, bytes)]))
    };
    assert!(unit("e_unit", "cal").unwrap_err().to_string().contains("`e_unit` is `cal`, expected kcal/mol, kJ/mol"));
    assert!(unit("r_unit", "pm").unwrap_err().to_string().contains("`r_unit` is `pm`, expected Ang, bohr or nm"));
    assert_relative_eq!(
        numbers(&unit("e_unit", "kJ/mol").unwrap()[0], "energy").unwrap()[0],
        -1.036_427,
        max_relative = 1e-6
    );
    assert_eq!(numbers(&unit("e_unit", "eV").unwrap()[0], "energy").unwrap(), [-100.0]);
    assert_eq!(vectors(&unit("r_unit", "nm").unwrap()[0], "pos")[1], [7.5, 0.0, -5.0]);
    // Without energies and forces there are positions at least.
    let bare = of_bytes(&archive("rmd17.npz", &[("energies", vec![]), ("forces", vec![])])).unwrap();
    assert!(bare.len() == 2 && bare[0].header.get("energy").is_none() && bare[0].column("forces").is_none());
}

#[test]
fn a_changed_number_is_found_by_the_checksum() {
    let mut bytes = fs::read(fixture("rmd17.npz")).unwrap();
    let wanted: Vec<u8> = [-100.0f64, -99.5].iter().flat_map(|energy| energy.to_le_bytes()).collect();
    let place = bytes.windows(16).position(|window| window == wanted).unwrap();
    bytes[place + 6] ^= 1;
    let bytes = move || Ok(Cursor::new(bytes.clone()));
    let mut frames = read_archive(bytes, "a.npz").unwrap();
    assert!(frames.next().unwrap().is_ok() && frames.next().unwrap().is_ok());
    let message = frames.next().unwrap().unwrap_err().to_string();
    assert!(message.starts_with("a.npz: `energies` has not the checksum"), "{message}");
    assert!(frames.next().is_none());
}

#[test]
fn packed_archives_are_to_be_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz.zst");
    fs::write(&path, zstd::encode_all(&fs::read(fixture("rmd17.npz")).unwrap()[..], 3).unwrap()).unwrap();
    assert!(message(path).contains("is compressed, or no file"));
}

#[test]
fn a_system_of_two_sets() {
    let frames = frames("water");
    assert_eq!(frames.iter().map(|frame| frame.index).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(frames[0].converted_from, Some("eV and angstrom"));
    for frame in &frames {
        assert_eq!(elements(frame), [8, 1, 1]);
        assert_eq!(numbers(frame, "Lattice").unwrap(), [2.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 5.0]);
        assert_eq!(text(frame, "pbc").unwrap(), "T T T");
        assert_eq!(text(frame, "system").unwrap(), "water");
    }
    assert_eq!(vectors(&frames[0], "pos")[1], [0.75, 0.0, -0.5]);
    assert_eq!(vectors(&frames[2], "pos")[1], [1.0, 0.0, -0.5]);
    assert_eq!(
        frames.iter().map(|frame| numbers(frame, "energy").unwrap()[0]).collect::<Vec<_>>(),
        [-100.0, -99.5, -99.5]
    );
    assert_eq!(vectors(&frames[1], "forces")[1], [-4.0, 0.25, 0.0]);
    assert_eq!(frames[1].column("atom_ener").unwrap().data, Data::Real(vec![-90.0, -5.0, -4.5]));
    // A virial of 40 eV pushes a box of 40 cubic angstrom apart: a stress of -1, tension positive.
    assert_eq!(numbers(&frames[0], "stress").unwrap(), [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0, -9.0]);
    assert_eq!(numbers(&frames[1], "stress").unwrap()[5], 6.0);
    assert!(frames[0].header.get("virial").is_none());
    // The second set has fewer labels.
    assert!(frames[2].header.get("stress").is_none() && frames[2].column("forces").is_none());
    let structures: Vec<_> = Source::default().read_file(&fixture("water")).unwrap().collect::<Result<_>>().unwrap();
    assert_eq!(structures[0].stress.unwrap()[1], [-4.0, -5.0, -6.0]);
}

#[test]
fn a_molecule_has_no_cell_whatever_its_box() {
    let frames = frames("molecule");
    assert_eq!(frames.len(), 2);
    assert!(["Lattice", "pbc", "stress", "virial"].iter().all(|key| frames[0].header.get(key).is_none()));
    assert_eq!(vectors(&frames[1], "forces")[2], [2.0, -0.25, 0.0]);
    assert_eq!(Source::default().read_file(&fixture("molecule")).unwrap().flatten().count(), 2);
}

#[test]
fn mixed_types_with_padding() {
    let frames = frames("mixed");
    assert_eq!(elements(&frames[0]), [8, 1, 1]);
    assert_eq!(elements(&frames[1]), [8, 1]);
    assert_eq!(vectors(&frames[1], "pos"), [[0.0, 0.0, 0.25], [-0.75, 0.0, -0.5]]);
    assert_eq!(vectors(&frames[1], "forces"), [[2.0, 0.0, 0.0], [2.0, -0.25, 0.0]]);
    assert_eq!(frames[1].column("atom_ener").unwrap().data, Data::Real(vec![4.0, 6.0]));
}

#[test]
fn systems_that_are_not_understood_are_explained() {
    type Change = fn(&Path);
    let changes: [(&str, Change, &str); 15] = [
        ("water", |s| fs::remove_file(s.join("type_map.raw")).unwrap(), "water: has no type_map.raw, without which"),
        ("water", |s| fs::write(s.join("type_map.raw"), "H Ow").unwrap(), "frame 0: row 0 of "),
        ("water", |s| fs::write(s.join("type_map.raw"), "H Ow").unwrap(), "the type 1 is `Ow` in type_map.raw"),
        ("water", |s| fs::write(s.join("type_map.raw"), "H").unwrap(), "an atom has the type 1, of 1 types"),
        ("water", |s| fs::write(s.join("type.raw"), "1 0 -1").unwrap(), "an atom has the type -1"),
        ("water", |s| fs::write(s.join("type.raw"), "1 0 x").unwrap(), "type.raw: `x` is not the number of a type"),
        ("water", |s| fs::write(s.join("type.raw"), " \n").unwrap(), "type.raw: has no atoms"),
        (
            "water",
            |s| fs::write(s.join("type.raw"), "1 0").unwrap(),
            "coord.npy: has the shape [2, 9], expected 2 frames of 6",
        ),
        (
            "water",
            |s| fs::remove_file(s.join("set.001/box.npy")).unwrap(),
            "set.001: has no box.npy; expected one, or a file nopbc",
        ),
        ("water", |s| fs::remove_file(s.join("set.001/coord.npy")).unwrap(), "coord.npy: cannot read"),
        (
            "water",
            |s| fs::write(s.join("set.001/coord.npy"), array(&[1, 6], &[0.0; 6])).unwrap(),
            "set.001/coord.npy: has the shape [1, 6], expected 1 frames of 9",
        ),
        (
            "water",
            |s| fs::write(s.join("set.000/force.npy"), array(&[1, 9], &[0.0; 9])).unwrap(),
            "force.npy: has the shape [1, 9], expected 2 frames of 9",
        ),
        (
            "water",
            |s| fs::write(s.join("set.000/box.npy"), array(&[2, 9], &[0.0; 18])).unwrap(),
            "virial.npy needs a box with a volume",
        ),
        (
            "water",
            |s| fs::write(s.join("set.000/real_atom_types.npy"), array(&[2, 3], &[0.0; 6])).unwrap(),
            "expected it in all sets or in none",
        ),
        (
            "mixed",
            |s| fs::write(s.join("set.000/real_atom_types.npy"), array(&[2, 3], &[0.5; 6])).unwrap(),
            "real_atom_types.npy holds 0.5, expected whole",
        ),
    ];
    for (name, change, expected) in changes {
        let (_kept, system) = copied(name);
        change(&system);
        let message = message(&system);
        assert!(message.contains(expected) && message.contains(name), "{message}");
    }
    let (_kept, system) = copied("mixed");
    fs::remove_dir_all(system.join("set.000")).unwrap();
    assert!(message(&system).contains("has type.raw and no folder set.*"));
    // A folder of systems is no system, and neither is a folder of something else.
    assert!(message(fixture("")).contains("is a directory"));
}

#[test]
fn one_frame_without_an_axis_of_frames() {
    let (_kept, system) = copied("water");
    fs::remove_dir_all(system.join("set.000")).unwrap();
    fs::write(system.join("set.001/coord.npy"), array(&[9], &[0.5; 9])).unwrap();
    fs::write(system.join("set.001/energy.npy"), array(&[], &[-3.0])).unwrap();
    let frames = read(&system).unwrap();
    assert!(frames.len() == 1 && numbers(&frames[0], "energy").unwrap() == [-3.0]);
    // Types may be real numbers, as some writers save all arrays.
    let (_kept, system) = copied("mixed");
    fs::write(system.join("set.000/real_atom_types.npy"), array(&[2, 3], &[2.0, 0.0, 0.0, 2.0, 0.0, -1.0])).unwrap();
    assert_eq!(elements(&read(&system).unwrap()[1]), [8, 1]);
}

#[test]
fn no_frame_of_no_atoms_is_read_for_ever() {
    let claimed = array(&[usize::MAX / 4, 0, 3], &[]);
    let others = [("nuclear_charges", array(&[0], &[])), ("coords", claimed), ("energies", vec![]), ("forces", vec![])];
    assert!(of_bytes(&archive("rmd17.npz", &others)).is_err());
}

#[test]
fn cut_archives_are_errors() {
    for name in ["rmd17.npz", "sgdml.npz"] {
        let whole = fs::read(fixture(name)).unwrap();
        for length in 0..whole.len() {
            assert!(of_bytes(&whole[..length]).is_err(), "{name} cut to {length}");
        }
    }
}

#[test]
fn cut_arrays_are_errors() {
    for name in ["coord", "box", "energy", "force", "virial", "atom_ener"] {
        let (_kept, system) = copied("water");
        let path = system.join(format!("set.000/{name}.npy"));
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let message = message(&system);
            assert!(message.contains(&format!("{name}.npy")), "{message}");
        }
    }
}

#[test]
fn flipped_bits_end_in_frames_or_errors() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for name in ["rmd17.npz", "sgdml.npz", "lattice.npz"] {
        let whole = fs::read(fixture(name)).unwrap();
        for _ in 0..3000 {
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..4) {
                let place = rng.random_range(0..bytes.len());
                bytes[place] ^= 1u8 << rng.random_range(0..8u32);
            }
            match of_bytes(&bytes) {
                Ok(frames) => assert!(frames.len() <= 2),
                Err(Error::Path { message, .. } | Error::Frame { message, .. }) => assert!(!message.contains('\n')),
                Err(other) => panic!("{other}"),
            }
        }
    }
    for (name, file) in
        [("water", "set.000/coord.npy"), ("water", "type.raw"), ("mixed", "set.000/real_atom_types.npy")]
    {
        let (_kept, system) = copied(name);
        let whole = fs::read(system.join(file)).unwrap();
        for _ in 0..500 {
            let mut bytes = whole.clone();
            let place = rng.random_range(0..bytes.len());
            bytes[place] ^= 1u8 << rng.random_range(0..8u32);
            fs::write(system.join(file), &bytes).unwrap();
            drop(read(&system));
        }
    }
}
