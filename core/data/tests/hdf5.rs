//! HDF5 files of known layouts, through the public API. What is expected is written by hand; `fixtures/hdf5/make.py` writes
//! the files.

use std::io::Read;
use std::path::{Path, PathBuf};

use approx::assert_relative_eq;
use isograd_data::formats::hdf5::{FrameReader, Hdf5};
use isograd_data::formats::{Data, Format, Formats, Frame};
use isograd_data::{Keys, Result, Source};
use isograd_structure::{EnergyUnit, Structure, Units};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const HARTREE: f64 = 27.211_386_245_988;
const BOHR: f64 = 0.529_177_210_903;

fn packed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hdf5").join(format!("{name}.h5.gz"))
}

fn bytes(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(packed(name)).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The file in a folder of its own.
fn unpacked(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{name}.h5"));
    std::fs::write(&path, bytes(name)).unwrap();
    (folder, path)
}

fn frames(name: &str) -> Vec<Frame> {
    let (_folder, path) = unpacked(name);
    Formats::default().open(&path).unwrap().collect::<Result<_>>().unwrap()
}

fn number(frame: &Frame, key: &str) -> f64 {
    frame.header.get(key).unwrap_or_else(|| panic!("no `{key}`")).number().unwrap()
}

fn text(frame: &Frame, key: &str) -> String {
    frame.header.get(key).unwrap_or_else(|| panic!("no `{key}`")).text().into_owned()
}

fn vectors(frame: &Frame, name: &str) -> Vec<[f64; 3]> {
    frame.column(name).unwrap_or_else(|| panic!("no `{name}`")).as_vectors().unwrap()
}

fn atomic_numbers(frame: &Frame) -> Data {
    frame.column("numbers").unwrap().data.clone()
}

fn has(frame: &Frame, name: &str) -> bool {
    frame.header.get(name).is_some() || frame.column(name).is_some()
}

#[test]
fn ani_1x() {
    let frames = frames("ani1x");
    let [hydrogen, whole, other, energy] = &frames[..] else { panic!("{} frames", frames.len()) };
    // A conformer without any label is left out, and counts.
    assert_eq!([0, 1, 2, 4], [hydrogen, whole, other, energy].map(|frame| frame.index));
    assert_eq!(hydrogen.converted_from, Some("Hartree and angstrom"));
    assert_eq!(vectors(hydrogen, "pos"), [[0.0; 3], [0.0, 0.0, 0.75]]);
    assert_relative_eq!(number(hydrogen, "energy"), -HARTREE, max_relative = 1e-15);
    assert!(!has(hydrogen, "forces") && !has(hydrogen, "pbc"));

    assert_eq!(atomic_numbers(whole), Data::Integer(vec![8, 1, 1]));
    assert_eq!(text(whole, "formula"), "H2O1");
    assert_relative_eq!(number(whole, "energy"), -54.422_772_491_976, max_relative = 1e-14);
    assert_relative_eq!(vectors(whole, "forces")[0][0], 13.605_693_122_994, max_relative = 1e-14);
    assert_relative_eq!(vectors(whole, "forces")[1][0], -6.802_846_561_497, max_relative = 1e-14);
    assert_relative_eq!(number(whole, "ccsd(t)_cbs.energy"), -81.634_158_737_964, max_relative = 1e-14);
    assert_relative_eq!(number(whole, "mp2_dz.corr_energy"), -13.605_693_122_994, max_relative = 1e-14);
    // Three numbers in a molecule of three atoms: of the whole, not of the atoms.
    assert_eq!(whole.header.get("wb97x_dz.dipole").unwrap().numbers(), Some(vec![0.25, 0.5, 0.75]));
    assert!(!has(whole, "remarks") && !has(whole, "wb97x_dz.hirshfeld_charges") && !has(whole, "wb97x_dz.energy"));

    // Not computed is not there, for each label by itself.
    assert_eq!(vectors(other, "pos")[1], [1.25, 0.0, 0.0]);
    assert!(!has(other, "energy") && !has(other, "forces") && !has(other, "wb97x_dz.dipole"));
    assert_relative_eq!(number(other, "ccsd(t)_cbs.energy"), -95.239_851_860_958, max_relative = 1e-14);
    let charges = other.column("wb97x_dz.hirshfeld_charges").unwrap();
    assert_eq!((charges.width, &charges.data), (1, &Data::Real(vec![-0.5, 0.25, 0.25])));

    // Forces of which one number is there are not there.
    assert_eq!(vectors(energy, "pos")[1], [1.75, 0.0, 0.0]);
    assert_relative_eq!(number(energy, "energy"), -68.028_465_614_97, max_relative = 1e-14);
    assert!(!has(energy, "forces"));
}

#[test]
fn conformers_of_which_nothing_was_to_be_computed_are_read_all_the_same() {
    let mut bytes = bytes("ani1x");
    let place = (0..bytes.len()).find(|&place| bytes[place..].starts_with(b"wb97x_dz.energy")).unwrap();
    bytes[place + 14] = b'_';
    let (frames, message) = read(bytes);
    assert_eq!((frames.len(), message), (4, None));
    assert_eq!((text(&frames[0], "formula"), has(&frames[0], "energy")), ("H2".into(), false));
}

#[test]
fn ani_2x() {
    let frames = frames("ani2x");
    assert_eq!(frames.len(), 2101);
    for (k, frame) in frames[..2100].iter().enumerate() {
        assert_eq!((frame.index, frame.atoms), (k, 2));
        assert_eq!(atomic_numbers(frame), Data::Integer(vec![if k % 2 == 0 { 1 } else { 17 }, 1]));
        assert_eq!(vectors(frame, "pos")[1], [0.0, 0.0, 1.0 + (k % 4) as f64 / 4.0]);
        assert_relative_eq!(number(frame, "energy"), -HARTREE * (k + 1) as f64, max_relative = 1e-14);
        assert_relative_eq!(vectors(frame, "forces")[0][2], HARTREE * (k % 8) as f64 / 8.0, max_relative = 1e-14);
    }
    assert_eq!(atomic_numbers(&frames[2100]), Data::Integer(vec![8, 1, 1]));
    assert_relative_eq!(number(&frames[2100], "energy"), -76.0 * HARTREE, max_relative = 1e-14);
}

#[test]
fn qm7_x() {
    let frames = frames("qm7x");
    let places: Vec<String> =
        frames.iter().map(|frame| format!("{}/{}", text(frame, "molecule"), text(frame, "name"))).collect();
    let of_one = ["1", "10", "11", "2", "3", "4", "5", "6", "7", "8", "9"].map(|k| format!("1/Geom-m1-i1-c1-{k}"));
    assert_eq!(places[..11], of_one);
    assert_eq!(places[11..], ["10/Geom-m1-i1-c1-opt", "2/Geom-m1-i1-c1-1", "2/Geom-m1-i1-c1-2", "2/Geom-m1-i1-c1-opt"]);
    assert!(frames.iter().enumerate().all(|(k, frame)| frame.index == k));
    let [.., hydrogen, with, without, whole] = &frames[..] else { panic!() };
    assert_eq!((number(&frames[0], "energy"), number(&frames[1], "energy")), (-1.0, -10.0));

    // Big-endian numbers, and one that is no array.
    assert_eq!(atomic_numbers(hydrogen), Data::Integer(vec![1, 1]));
    assert_eq!(vectors(hydrogen, "pos")[1], [0.0, 0.0, 0.75]);
    assert_eq!((number(hydrogen, "energy"), number(hydrogen, "eAT")), (-1.0, 2.5));

    // An energy and forces of another level are no pair.
    assert_eq!((number(with, "energy"), has(with, "forces"), vectors(with, "pbe0FOR")[0][0]), (-8.0, false, 0.5));
    assert_eq!(
        (has(without, "energy"), number(without, "ePBE0"), vectors(without, "forces")[0][0]),
        (false, -7.0, 0.5)
    );

    assert_eq!(whole.converted_from, Some("eV and angstrom"));
    assert_eq!((number(whole, "energy"), number(whole, "ePBE0")), (-10.0, -9.5));
    assert_eq!((vectors(whole, "forces")[1][0], vectors(whole, "pbe0FOR")[1][0]), (-0.5, -1.0));
    assert_eq!(whole.column("hCHG").unwrap().numbers(), Some(vec![-0.5, 0.25, 0.25]));
    assert_eq!(vectors(whole, "hVDIP")[2], [6.0, 7.0, 8.0]);
    assert_eq!(whole.header.get("vDIP").unwrap().numbers(), Some(vec![0.25, 0.5, 0.75]));
    assert_eq!(whole.header.get("KSE").unwrap().numbers(), Some(vec![-20.0, -10.0]));
    // The one length that is in bohr.
    let radii = whole.column("vdwR").unwrap().numbers().unwrap();
    assert_relative_eq!(radii[..], [BOHR, 1.058_354_421_806, 1.058_354_421_806], max_relative = 1e-15);
    assert!(!has(whole, "remarks"));
}

#[test]
fn spice() {
    let frames = frames("spice");
    let [first, second, water] = &frames[..] else { panic!("{} frames", frames.len()) };
    assert_eq!((text(first, "molecule"), text(water, "molecule")), ("103924378".into(), "water".into()));
    assert_eq!((text(first, "smiles"), text(first, "subset")), ("[H:1][Cl:2]".into(), "SPICE Invented Set 1".into()));
    assert_eq!(first.converted_from, Some("Hartree and bohr"));
    assert_eq!(atomic_numbers(first), Data::Integer(vec![1, 17]));
    assert_relative_eq!(vectors(first, "pos")[1][..], [1.058_354_421_806, BOHR, 0.0], max_relative = 1e-15);
    assert_relative_eq!(vectors(second, "pos")[1][..], [1.587_531_632_709, BOHR, 0.0], max_relative = 1e-15);
    assert_relative_eq!(number(first, "energy"), -2_721.138_624_598_8, max_relative = 1e-14);
    assert_relative_eq!(number(second, "energy"), -2_748.350_010_844_788, max_relative = 1e-14);
    assert_relative_eq!(number(first, "formation_energy"), -13.605_693_122_994, max_relative = 1e-14);
    // Half a Hartree per bohr up the gradient is as much down it.
    assert_relative_eq!(vectors(first, "forces")[0][0], -25.711_033_738_15, max_relative = 1e-11);
    assert_relative_eq!(vectors(first, "forces")[1][0], 25.711_033_738_15, max_relative = 1e-11);
    assert_eq!(first.column("mbis_charges").unwrap().numbers(), Some(vec![0.25, 0.25]));
    assert_eq!(first.header.get("scf_dipole").unwrap().numbers(), Some(vec![0.75; 3]));
    assert!(!has(first, "mayer_indices") && !has(first, "dft_total_gradient"));
}

#[test]
fn keys_pick_another_level_and_units_are_known() {
    let read = |name: &str, source: &Source| -> Vec<Structure> {
        let (_folder, path) = unpacked(name);
        source.read_file(&path).unwrap().collect::<Result<_>>().unwrap()
    };
    let plain = read("spice", &Source::default());
    assert_relative_eq!(plain[0].energy.unwrap(), -2_721.138_624_598_8, max_relative = 1e-14);
    assert_eq!(plain[2].elements.iter().map(|element| element.symbol()).collect::<Vec<_>>(), ["O", "H", "H"]);
    assert!(plain[0].geometry.cell.is_none());

    let keys =
        Keys { energy: "ePBE0".into(), forces: "pbe0FOR".into(), group: Some("molecule".into()), ..Keys::default() };
    let other = read("qm7x", &Source { keys, ..Source::default() }).pop().unwrap();
    assert_eq!((other.energy, other.forces.unwrap()[0][0], other.group), (Some(-9.5), 1.0, Some("2".into())));

    let units = Units { energy: EnergyUnit::Hartree, ..Units::default() };
    let (_folder, path) = unpacked("ani1x");
    let message = Source { units, ..Source::default() }.read_file(&path).unwrap().next().unwrap().unwrap_err();
    assert!(message.to_string().contains("in Hartree and angstrom, which is known without `units`"), "{message}");
}

#[test]
fn content_tells_hdf5_wherever_it_begins() {
    assert!(Hdf5.recognises(&bytes("ani1x")[..4096]));
    assert!(Hdf5.recognises(&bytes("spice")[..4096]));
    assert!(!Hdf5.recognises(b"2\n\nH 0 0 0\nH 0 0 1\n") && !Hdf5.recognises(b"") && !Hdf5.recognises(b"\x89HDF"));
    let message = Formats::default().open(&packed("ani1x")).err().unwrap().to_string();
    assert!(message.contains("ani1x.h5.gz: is compressed") && message.contains("decompress it"), "{message}");
}

/// The frames of bytes up to the first error, and that.
fn read(bytes: Vec<u8>) -> (Vec<Frame>, Option<String>) {
    let mut frames = Vec::new();
    match FrameReader::of_bytes(bytes, "t.h5") {
        Err(error) => return (frames, Some(error.to_string())),
        Ok(reader) => {
            for frame in reader {
                match frame {
                    Ok(frame) => frames.push(frame),
                    Err(error) => return (frames, Some(error.to_string())),
                }
            }
        }
    }
    (frames, None)
}

/// The bytes with some of them replaced, wherever they stand.
fn patched(name: &str, old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = bytes(name);
    let places: Vec<usize> = (0..bytes.len()).filter(|&place| bytes[place..].starts_with(old)).collect();
    assert!(!places.is_empty(), "nothing to replace in {name}");
    places.into_iter().for_each(|place| bytes[place..place + new.len()].copy_from_slice(new));
    bytes
}

/// A shape as the file has it.
fn shape(sizes: &[u64]) -> Vec<u8> {
    sizes.iter().flat_map(|size| size.to_le_bytes()).collect()
}

#[test]
fn other_layouts_are_named() {
    let (frames, message) = read(bytes("unknown"));
    assert!(frames.is_empty());
    let known = "ANI (`/<formula>` {atomic_numbers, coordinates, wb97x_dz.energy, ..} or `/<atoms>` {species, coordinates, \
                 energies, ..}), QM7-X (`/<molecule>/<conformation>` {atNUM, atXYZ, ePBE0+MBD, totFOR, ..}), SPICE \
                 (`/<molecule>` {atomic_numbers, conformations, dft_total_energy, dft_total_gradient, ..})";
    let found = "t.h5: is HDF5 of an unknown layout: found `/other` {}, `/set` {energies, inner/}";
    assert_eq!(message.unwrap(), format!("{found}; known are {known}"));
    // The first group is of a layout, and the second one is not.
    let mut half = bytes("ani1x");
    let place = (0..half.len()).rfind(|&place| half[place..].starts_with(b"coordinates")).unwrap();
    half[place] = b'k';
    let (frames, message) = read(half);
    let message = message.unwrap();
    let expected = "t.h5: frame 1: no data set `coordinates` in `/H2O1` {ccsd(t)_cbs.energy, koordinates, ";
    assert!(frames.len() == 1 && message.starts_with(expected), "{message}");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (bytes, expected) in [
        (bytes("unwritten"), "frame 0: `/H1/wb97x_dz.energy`: was never written: is the file complete?"),
        (bytes("lzf"), "filter id 32000; write it anew with `h5repack -f GZIP=4`"),
        (bytes("linked"), "links to the file `ani1x.h5`, expected all data in one file: read that file itself"),
        (bytes("ani1x")[..9000].to_vec(), "t.h5: is cut short: it has 9000 bytes, expected 9200"),
        (
            patched("ani1x", &shape(&[4, 3, 3]), &shape(&[4_000_000, 3, 3])),
            "frame 1: `/H2O1/coordinates`: claims 144000000 bytes, more than a file of 9200 bytes can hold",
        ),
        (
            patched("ani1x", &shape(&[4, 3, 3]), &shape(&[4_000_000_000_000, 0, 3])),
            "frame 1: `/H2O1/coordinates`: has no atoms",
        ),
        (
            patched("ani1x", &shape(&[1, 2, 3]), &shape(&[1, 3, 2])),
            "frame 0: `/H2/coordinates`: has the shape [1, 3, 2], expected [conformers, atoms, 3]",
        ),
        (
            patched("spice", &shape(&[2, 2, 1]), &shape(&[2, 1, 2])),
            "frame 0: `/103924378/mbis_charges`: has the shape [2, 1, 2], expected [2, 2, ..]",
        ),
        (
            patched("spice", &[1, 0, 17, 0], &[1, 0, 119, 0]),
            "frame 0: `/103924378/atomic_numbers`: 119 is no atomic number (1 to 118)",
        ),
        (
            patched("spice", b"bohr", b"angs"),
            "frame 0: `/103924378/conformations`: is in `angs` by its attribute `units`, expected `bohr`",
        ),
    ] {
        let message = read(bytes).1.unwrap_or_else(|| panic!("read, expected {expected}"));
        assert!(message.starts_with("t.h5: ") && message.contains(expected), "{message}");
    }
}

/// ANI-1x with a root whose tree leads, `nodes` times, to a node with `links` times the same link.
fn listed_again(nodes: usize, links: u16) -> Vec<u8> {
    let mut bytes = bytes("ani1x");
    let at = |bytes: &[u8], place: usize| u64::from_le_bytes(bytes[place..place + 8].try_into().unwrap());
    let tree = (0..bytes.len()).find(|&place| bytes[place..].starts_with(b"TREE")).unwrap();
    let node = usize::try_from(at(&bytes, tree + 32)).unwrap();
    let link = bytes[node + 8..node + 48].to_vec();
    let new_node = bytes.len() as u64;
    bytes.extend([&b"SNOD\x01\0"[..], &links.to_le_bytes(), &link.repeat(links.into())].concat());
    let new_tree = bytes.len() as u64;
    bytes.extend([&b"TREE\0\0"[..], &u16::try_from(nodes).unwrap().to_le_bytes(), &[0xff; 16]].concat());
    bytes.extend([0, new_node].map(u64::to_le_bytes).concat().repeat(nodes));
    bytes.extend([8; 8]);
    for place in 0..tree - 8 {
        if at(&bytes, place) == tree as u64 {
            bytes[place..place + 8].copy_from_slice(&new_tree.to_le_bytes());
        }
    }
    let length = bytes.len() as u64;
    bytes[40..48].copy_from_slice(&length.to_le_bytes());
    bytes
}

#[test]
fn a_short_file_does_not_list_a_million_groups() {
    assert_eq!(read(listed_again(1, 1)).0.len(), 1);
    for (nodes, links) in [(2000, 500), (1, 500), (500, 1)] {
        let message = read(listed_again(nodes, links)).1.unwrap();
        assert_eq!(message, "t.h5: `/` cannot be read: invalid data: it lists the same names more than once");
    }
}

#[test]
fn a_file_that_was_cut_short_is_an_error_wherever_it_was() {
    for name in ["ani1x", "ani2x", "qm7x", "spice"] {
        let bytes = bytes(name);
        for length in 0..bytes.len() {
            let (frames, message) = read(bytes[..length].to_vec());
            assert!(frames.is_empty() && message.is_some(), "{name} of {length} bytes");
        }
    }
    // And where the file does not say how long it was.
    for (name, start) in [("ani1x", 0), ("spice", 512)] {
        let whole = bytes(name);
        for length in start + 96..whole.len() {
            let mut bytes = whole[..length].to_vec();
            bytes[start + 40..start + 48].copy_from_slice(&(length as u64).to_le_bytes());
            read(bytes);
        }
    }
}

#[test]
fn damaged_bytes_are_read_or_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for name in ["ani1x", "ani2x", "qm7x", "spice"] {
        let whole = bytes(name);
        for _ in 0..3000 {
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..=8) {
                let place = rng.random_range(0..bytes.len());
                bytes[place] ^= 1 << rng.random_range(0..8);
            }
            read(bytes);
        }
    }
}
