//! Parquet files of ColabFit and LeMat, as a user reads them.

use std::fs;
use std::path::{Path, PathBuf};

use approx::assert_relative_eq;
use isograd_data::formats::{Data, Formats, Frame};
use isograd_data::{Error, Keys, Result, Source};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet").join(name)
}

fn read(path: impl AsRef<Path>) -> Result<Vec<Frame>> {
    Formats::default().open(path.as_ref())?.collect()
}

fn frames(name: &str) -> Vec<Frame> {
    read(fixture(name)).unwrap()
}

fn numbers(frame: &Frame, key: &str) -> Option<Vec<f64>> {
    frame.header.get(key)?.numbers()
}

fn text(frame: &Frame, key: &str) -> Option<String> {
    Some(frame.header.get(key)?.text().into_owned())
}

fn vectors(frame: &Frame, name: &str) -> Option<Vec<[f64; 3]>> {
    frame.column(name)?.as_vectors()
}

fn elements(frame: &Frame) -> Vec<i64> {
    let Data::Integer(numbers) = &frame.column("numbers").unwrap().data else { panic!("no numbers") };
    numbers.clone()
}

const CELL: [f64; 9] = [2.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 5.0];
const SALT: [[f64; 3]; 2] = [[0.0, 0.0, 0.0], [1.0, 2.0, 2.5]];
const PULLS: [[f64; 3]; 2] = [[0.5, 0.0, -0.25], [-0.5, 0.0, 0.25]];
const STRESS: [f64; 9] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];

#[test]
fn colabfit() {
    let frames = frames("colabfit.parquet");
    assert_eq!(frames.iter().map(|frame| frame.index).collect::<Vec<_>>(), [0, 1, 2]);
    let [salt, strained, water] = &frames[..] else { panic!("{} frames", frames.len()) };
    assert_eq!(salt.converted_from, Some("eV and angstrom"));
    assert_eq!(elements(salt), [11, 17]);
    assert_eq!(vectors(salt, "pos").unwrap(), SALT);
    assert_eq!(numbers(salt, "Lattice").unwrap(), CELL);
    assert_eq!(text(salt, "pbc").unwrap(), "T T T");
    assert_eq!(numbers(salt, "energy").unwrap(), [-6.5]);
    assert_eq!(vectors(salt, "forces").unwrap(), PULLS);
    // The sign is the source's: it is for a config to name this key.
    assert_eq!(numbers(salt, "cauchy_stress").unwrap(), STRESS);
    assert!(salt.header.get("stress").is_none());
    for (key, value) in [
        ("dataset_id", "DS_a_0"),
        ("property_id", "PO_1"),
        ("property_hash", "11"),
        ("configuration_hash", "c1"),
        ("method", "DFT-PBE"),
        ("software", "VASP"),
        ("names", "salt"),
        ("labels", "bulk"),
    ] {
        assert_eq!(text(salt, key).as_deref(), Some(value), "{key}");
    }
    assert!(salt.header.get("formation_energy").is_none());
    // Nulls are labels that are not there; a stress times 40 cubic angstrom is divided by them.
    assert_eq!(text(strained, "pbc").unwrap(), "T T F");
    assert_eq!(text(strained, "names").unwrap(), "salt, strained");
    assert_eq!(numbers(strained, "formation_energy").unwrap(), [-1.5]);
    assert!(vectors(strained, "forces").is_none() && strained.header.get("labels").is_none());
    assert_eq!(numbers(strained, "cauchy_stress").unwrap(), STRESS);
    // A molecule, whose forces have a null among them.
    assert_eq!(elements(water), [8, 1, 1]);
    assert_eq!(vectors(water, "pos").unwrap()[1], [0.75, 0.0, -0.5]);
    for key in ["Lattice", "pbc", "energy", "cauchy_stress", "software", "names"] {
        assert!(water.header.get(key).is_none(), "{key}");
    }
    assert!(water.column("forces").is_none());
}

#[test]
fn colabfit_with_lists_in_text() {
    let (new, old) = (frames("colabfit.parquet"), frames("colabfit_text.parquet"));
    assert_eq!(new, old);
}

#[test]
fn the_stress_of_colabfit_is_used_where_a_config_names_it() {
    let source = Source { keys: Keys { stress: "cauchy_stress".into(), ..Keys::default() }, ..Source::default() };
    let of = |source: &Source| source.read_file(&fixture("colabfit.parquet")).unwrap().next().unwrap().unwrap();
    assert_eq!(of(&source).stress.unwrap()[1], [4.0, 5.0, 6.0]);
    assert!(of(&Source::default()).stress.is_none());
}

#[test]
fn lemat() {
    let frames = frames("lemat.parquet");
    let [bulk, slab, other] = &frames[..] else { panic!("{} frames", frames.len()) };
    assert_eq!(bulk.converted_from, Some("eV and angstrom"));
    assert_eq!(elements(bulk), [11, 17]);
    assert_eq!(vectors(bulk, "pos").unwrap(), SALT);
    assert_eq!(numbers(bulk, "Lattice").unwrap(), CELL);
    assert_eq!(text(bulk, "pbc").unwrap(), "T T T");
    assert_eq!(numbers(bulk, "energy").unwrap(), [-6.5]);
    assert_eq!(numbers(bulk, "energy_corrected").unwrap(), [-7.5]);
    assert_eq!(vectors(bulk, "forces").unwrap(), PULLS);
    // 1602.176634 kbar are 1 eV/angstrom^3, and VASP's compression is positive.
    for (stress, expected) in numbers(bulk, "stress").unwrap().into_iter().zip(STRESS) {
        assert_relative_eq!(stress, -expected, max_relative = 1e-12);
    }
    assert_eq!(bulk.column("magmoms").unwrap().data, Data::Real(vec![0.0, 1.25]));
    assert_eq!(text(bulk, "immutable_id").unwrap(), "mp-1");
    assert_eq!(text(bulk, "functional").unwrap(), "pbe");
    assert_eq!(numbers(bulk, "relaxation_step").unwrap(), [0.0]);
    // Two directions repeat, and the third vector is null. Forces are an empty list.
    assert_eq!(numbers(slab, "Lattice").unwrap(), [2.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(text(slab, "pbc").unwrap(), "T T F");
    assert!(slab.column("forces").is_none() && slab.column("magmoms").is_none());
    assert!(slab.header.get("stress").is_none() && slab.header.get("energy_corrected").is_none());
    // Without dimension types a crystal repeats everywhere.
    assert_eq!(text(other, "pbc").unwrap(), "T T T");
    assert!(other.header.get("energy").is_none() && other.column("forces").is_none());
}

#[test]
fn other_columns_are_listed() {
    let message = read(fixture("other.parquet")).unwrap_err().to_string();
    assert!(message.contains("other.parquet: has the columns smiles, energy; expected among them"), "{message}");
    assert!(message.contains("atomic_numbers, positions, cell, pbc, dataset_id (ColabFit)"), "{message}");
    assert!(message.contains("functional (LeMat)"), "{message}");
}

fn changed(change: impl Fn(&mut Vec<u8>), name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let mut bytes = fs::read(fixture(name)).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[test]
fn cut_files_are_errors() {
    let whole = fs::read(fixture("lemat.parquet")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    // Of fewer bytes nothing can be recognised.
    for length in 4..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("a.parquet: cannot be read") && message.contains("complete"), "{message}");
    }
}

/// A file with another text of the same length where one stands first.
fn replaced(from: &str, to: &str) -> (tempfile::TempDir, PathBuf) {
    let replace = |bytes: &mut Vec<u8>| {
        let place = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        bytes[place..place + from.len()].copy_from_slice(to.as_bytes());
    };
    changed(replace, "colabfit.parquet")
}

#[test]
fn a_table_without_one_of_its_columns_is_another() {
    let (_kept, path) = replaced("dataset_id", "dataset_no");
    assert!(read(path).unwrap_err().to_string().contains("expected among them"));
}

#[test]
fn packed_files_are_to_be_unpacked() {
    let (_kept, path) = changed(|bytes| *bytes = zstd::encode_all(&bytes[..], 3).unwrap(), "lemat.parquet");
    assert!(read(path).unwrap_err().to_string().contains("is compressed, or no file"));
}

#[test]
fn flipped_bits_end_in_frames_or_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for name in ["colabfit.parquet", "colabfit_text.parquet", "lemat.parquet"] {
        let whole = fs::read(fixture(name)).unwrap();
        for _ in 0..1500 {
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..4) {
                let place = rng.random_range(4..bytes.len());
                bytes[place] ^= 1u8 << rng.random_range(0..8u32);
            }
            fs::write(&path, &bytes).unwrap();
            match read(&path) {
                Ok(frames) => assert_eq!(frames.len(), 3),
                Err(Error::Path { message, .. } | Error::Frame { message, .. }) => assert!(!message.is_empty()),
                Err(other) => panic!("{other}"),
            }
        }
    }
}
