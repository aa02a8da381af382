//! LMDB databases: those that the libraries wrote, those that they cannot write, and damaged ones.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use isograd_data::formats::lmdb::FrameReader;
use isograd_data::formats::{Data, Formats, Frame};
use isograd_data::{Error, Keys, Source};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

/// A fixture, unpacked.
fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lmdb").join(format!("{name}.gz"));
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A folder with files of these names, and the fixtures that are in them.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, of)| fs::write(folder.path().join(name), fixture(of)).unwrap());
    folder
}

fn read(bytes: impl AsRef<[u8]>) -> Result<Vec<Frame>, Error> {
    FrameReader::new(Cursor::new(bytes), "t.lmdb")?.collect()
}

fn message(bytes: Vec<u8>) -> String {
    read(bytes).unwrap_err().to_string()
}

fn open(path: &Path) -> Vec<Frame> {
    Formats::default().open(path).unwrap().collect::<Result<_, _>>().unwrap()
}

fn number(frame: &Frame, key: &str) -> Option<f64> {
    frame.header.get(key).map(|value| value.number().unwrap())
}

fn text(frame: &Frame, key: &str) -> Option<String> {
    frame.header.get(key).map(|value| value.text().into_owned())
}

fn vectors(frame: &Frame, name: &str) -> Vec<[f64; 3]> {
    frame.column(name).unwrap().as_vectors().unwrap()
}

fn names(frame: &Frame) -> Vec<&str> {
    frame.columns.iter().map(|column| column.name.as_str()).collect()
}

/// The first graph of the new and of the old kind.
fn is_water_on_copper(frame: &Frame) {
    assert_eq!((frame.atoms, frame.line, frame.converted_from), (4, 0, Some("eV and angstrom")));
    assert_eq!(frame.column("numbers").unwrap().data, Data::Integer(vec![8, 1, 1, 29]));
    assert_eq!(vectors(frame, "pos"), [[0.0, 0.0, 0.5], [0.75, 0.0, 1.0], [-0.75, 0.0, 1.0], [0.0, 0.0, -1.5]]);
    let forces = [[0.25, 0.0, 0.0], [0.0, -0.5, 0.0], [0.0, 0.0, 0.125], [-0.25, 0.5, -0.125]];
    assert_eq!(vectors(frame, "forces"), forces);
    assert_eq!(frame.column("tags").unwrap().data, Data::Integer(vec![2, 2, 2, 0]));
    assert_eq!(frame.column("move_mask").unwrap().data, Data::Logical(vec![true, true, true, false]));
    // Of edges, which are as many as atoms here, there is nothing.
    assert_eq!(names(frame), ["numbers", "pos", "tags", "move_mask", "forces"]);
    let cell = [4.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.5, 0.0, 20.0];
    assert_eq!(frame.header.get("Lattice").unwrap().numbers().unwrap(), cell);
    assert_eq!(text(frame, "pbc").unwrap(), "T T T");
    assert_eq!((text(frame, "sid").unwrap(), number(frame, "energy")), ("17914".into(), Some(-12.5)));
    assert_eq!(["fid", "nads", "oc22"].map(|key| number(frame, key)), [Some(24.0), Some(1.0), Some(1.0)]);
    assert_eq!(["y", "natoms", "edge_index"].map(|key| text(frame, key)), [None, None, None]);
}

/// The third graph of the new kind, the second of the old one.
fn is_nitrous_oxide(frame: &Frame) {
    assert_eq!(frame.column("numbers").unwrap().data, Data::Integer(vec![7, 7, 8]));
    assert_eq!(vectors(frame, "pos"), [[0.0, 0.0, 0.0], [1.125, 0.0, 0.0], [2.25, 0.0, 0.5]]);
    assert_eq!(vectors(frame, "pos_relaxed"), [[0.0, 0.0, 0.0], [1.25, 0.0, 0.0], [2.5, 0.0, 0.0]]);
    assert_eq!(names(frame), ["numbers", "pos", "pos_relaxed"]);
    assert_eq!(["energy", "y_init", "fid"].map(|key| number(frame, key)), [Some(-1.5), Some(0.25), Some(2.0)]);
    assert_eq!(text(frame, "sid").unwrap(), "5");
    assert_eq!(frame.header.get("stress").unwrap().numbers().unwrap(), [1.0, 6.0, 5.0, 6.0, 2.0, 4.0, 5.0, 4.0, 3.0]);
    // A cell of zeros is none.
    assert_eq!((text(frame, "Lattice"), text(frame, "pbc")), (None, None));
}

#[test]
fn graphs_of_today() {
    let folder = folder(&[("oc22", "graphs.lmdb")]);
    let frames = open(&folder.path().join("oc22"));
    assert_eq!(frames.iter().map(|frame| frame.index).collect::<Vec<_>>(), [0, 1, 2]);
    is_water_on_copper(&frames[0]);
    is_nitrous_oxide(&frames[2]);
    let frame = &frames[1];
    assert_eq!(frame.column("numbers").unwrap().data, Data::Integer(vec![17, 1]));
    // A transposed tensor, and one that begins within its storage.
    assert_eq!(vectors(frame, "pos"), [[0.0, 0.0, 0.5], [1.0, 0.0, 1.5]]);
    assert_eq!(vectors(frame, "forces"), [[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]]);
    assert_eq!(frame.column("tags").unwrap().data, Data::Integer(vec![1, 2]));
    assert_eq!(text(frame, "pbc").unwrap(), "T T F");
    assert_eq!(frame.header.get("stress").unwrap().numbers().unwrap(), [1.0, 2.0, 3.0, 2.0, 4.0, 5.0, 3.0, 5.0, 6.0]);
    assert_eq!(["energy", "y_relaxed", "y_init"].map(|key| number(frame, key)), [Some(-3.25), Some(-4.5), Some(-2.75)]);
    assert_eq!(["sid", "relaxed"].map(|key| text(frame, key).unwrap()), ["random7", "T"]);
    assert_eq!((text(frame, "adsorbate"), names(frame)), (None, vec!["numbers", "pos", "tags", "forces"]));
}

#[test]
fn graphs_of_before_in_the_order_of_numbers() {
    let frames = read(fixture("old_graphs.lmdb")).unwrap();
    is_water_on_copper(&frames[0]);
    is_nitrous_oxide(&frames[1]);
    for (index, frame) in frames.iter().enumerate().skip(2) {
        let place = index as f64;
        assert_eq!((frame.index, number(frame, "energy")), (index, Some(-place)));
        assert_eq!(vectors(frame, "pos"), [[0.0, 0.0, place / 4.0]]);
    }
    assert_eq!(frames.len(), 12);
}

#[test]
fn labels_become_a_structure() {
    let folder = folder(&[("oc22", "graphs.lmdb")]);
    let keys = Keys { energy: "y_init".into(), group: Some("sid".into()), ..Keys::default() };
    for (keys, energies) in
        [(Keys::default(), [Some(-12.5), Some(-3.25), Some(-1.5)]), (keys, [None, Some(-2.75), Some(0.25)])]
    {
        let structures = Source { keys, ..Source::default() }.read_file(&folder.path().join("oc22")).unwrap();
        let structures: Vec<_> = structures.collect::<Result<_, _>>().unwrap();
        assert_eq!(structures.iter().map(|structure| structure.energy).collect::<Vec<_>>(), energies);
        assert_eq!(structures[0].forces.as_ref().unwrap()[3], [-0.25, 0.5, -0.125]);
        assert_eq!(structures[1].geometry.periodic, [true, true, false]);
        assert_eq!(structures[1].stress.unwrap()[1], [2.0, 4.0, 5.0]);
        assert!(structures[2].forces.is_none() && structures[2].geometry.cell.is_none());
    }
}

#[test]
fn a_deep_tree_that_grew_and_shrank() {
    let frames = read(fixture("tree.lmdb")).unwrap();
    let found: Vec<_> =
        frames.iter().map(|frame| (frame.index, frame.atoms, number(frame, "energy").unwrap())).collect();
    let atoms = [1, 2, 3, 400, 5, 6, 7, 8, 9];
    let expected: Vec<_> = atoms.iter().enumerate().map(|(index, &atoms)| (index, atoms, -(index as f64))).collect();
    assert_eq!(found, expected);
    assert_eq!(vectors(&frames[3], "pos")[399], [0.375, 0.0, 0.0]);
}

#[test]
fn rows_of_ase_without_those_that_were_deleted() {
    let folder = folder(&[("omat", "rows.aselmdb"), ("old", "old_rows.aselmdb")]);
    let structures = |name| -> Vec<_> {
        Source::default().read_file(&folder.path().join(name)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    for (name, ids) in [("omat", &[1, 2, 4, 5, 6, 7, 8, 9, 10, 11][..]), ("old", &[1, 2][..])] {
        let structures = structures(name);
        assert_eq!(structures.len(), ids.len());
        for (structure, id) in structures.iter().zip(ids) {
            let id = f64::from(*id);
            assert_eq!(structure.elements[1].symbol(), "N");
            assert_eq!(structure.geometry.positions, [[0.0; 3], [1.0 + id / 16.0, 0.0, 0.0]]);
            assert_eq!(structure.energy, Some(-id / 2.0));
            assert_eq!(structure.forces.as_ref().unwrap()[..], [[id / 4.0, 0.0, 0.0], [-id / 4.0, 0.0, 0.0]]);
            assert_eq!(structure.geometry.periodic, [id == 2.0; 3]);
        }
    }
    assert_eq!(
        open(&folder.path().join("omat")).iter().map(|frame| frame.index).collect::<Vec<_>>(),
        (0..10).collect::<Vec<_>>()
    );
}

#[test]
fn a_folder_is_one_set() {
    let folder = folder(&[
        ("data.0001.lmdb", "graphs.lmdb"),
        ("data.0000.lmdb", "old_graphs.lmdb"),
        ("data.0002.aselmdb", "rows.aselmdb"),
        ("data.0000.lmdb-lock", "pairs.lmdb"),
    ]);
    let path = |name: &str| folder.path().join(name);
    fs::write(path("metadata.npz"), "no database").unwrap();
    fs::create_dir(path("a.lmdb")).unwrap();
    let frames = open(folder.path());
    assert_eq!(frames.iter().map(|frame| frame.index).collect::<Vec<_>>(), (0..25).collect::<Vec<_>>());
    is_nitrous_oxide(&frames[1]);
    is_water_on_copper(&frames[12]);
    assert_eq!(frames[24].atoms, 2);
    // What is wrong with the second file is said after the frames of the first, and ends the set.
    let damaged = fixture("graphs.lmdb");
    fs::write(path("data.0001.lmdb"), &damaged[..9000]).unwrap();
    let mut frames = Formats::default().open(folder.path()).unwrap();
    assert!(frames.by_ref().take(12).all(|frame| frame.is_ok()));
    let message = frames.next().unwrap().unwrap_err().to_string();
    assert!(message.starts_with(&path("data.0001.lmdb").display().to_string()), "{message}");
    assert!(message.contains("beyond the 9000 bytes of the file: is it complete?"), "{message}");
    assert!(frames.next().is_none());
}

#[test]
fn the_folder_of_lmdb_itself_and_folders_that_are_none() {
    let folder = folder(&[("data.mdb", "graphs.lmdb"), ("lock.mdb", "empty.lmdb")]);
    assert_eq!(open(folder.path()).len(), 3);
    fs::remove_file(folder.path().join("data.mdb")).unwrap();
    let message = Formats::default().open(folder.path()).err().unwrap().to_string();
    assert!(message.ends_with("is a directory; expected a structure file"), "{message}");
}

#[test]
fn databases_that_are_no_sets() {
    assert!(read(fixture("empty.lmdb")).unwrap().is_empty());
    for (name, expected) in [
        (
            "pairs.lmdb",
            "t.lmdb: has the keys `alpha`, `beta` and so on, expected `0`, `1` and so on (graphs of fairchem 1)",
        ),
        ("nested.lmdb", "t.lmdb: page 4: `inner` is a database of its own, expected one value for each key"),
        (
            "dicts.lmdb",
            "t.lmdb: frame 0: key `0`: found a dict, expected an object of `torch_geometric.data.data.Data`",
        ),
    ] {
        let message = message(fixture(name));
        assert!(message.starts_with(expected), "{message}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graphs.lmdb.gz");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lmdb/graphs.lmdb.gz"), &path).unwrap();
    let message = Formats::default().open(&path).err().unwrap().to_string();
    assert!(message.contains("graphs.lmdb.gz: is compressed") && message.ends_with("decompress it"), "{message}");
    for start in ["1\n\nH 0 0 0\n", "", "SQLite format 3\0", "PK\u{3}\u{4}", "- of Ulm", "\u{89}HDF\r\n"] {
        let path: PathBuf = folder.path().join("other");
        fs::write(&path, start).unwrap();
        let other = Formats::default().open(&path).map(|mut frames| frames.next());
        if let Ok(Some(Err(error))) | Err(error) = other {
            assert!(!error.to_string().contains("LMDB"), "{error}");
        }
    }
}

/// A database as LMDB writes it, with all keys on page 2, and larger values after it.
fn database(page_size: usize, entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0; 3 * page_size];
    let mut entries = entries.to_vec();
    entries.sort();
    let mut end = page_size;
    for (place, (key, value)) in entries.iter().enumerate() {
        let large = value.len() > page_size / 8;
        let on_page = if large { (bytes.len() / page_size).to_le_bytes().to_vec() } else { value.clone() };
        if large {
            let (at, pages) = (bytes.len(), (16 + value.len()).div_ceil(page_size));
            bytes.resize(at + pages * page_size, 0);
            set(&mut bytes, at, &(at / page_size).to_le_bytes());
            set(&mut bytes, at + 10, &4_u16.to_le_bytes());
            set(&mut bytes, at + 12, &(pages as u32).to_le_bytes());
            set(&mut bytes, at + 16, value);
        }
        end -= (8 + key.len() + on_page.len()).next_multiple_of(2);
        let at = 2 * page_size + end;
        set(&mut bytes, at, &(value.len() as u32).to_le_bytes());
        set(&mut bytes, at + 4, &u16::from(large).to_le_bytes());
        set(&mut bytes, at + 6, &(key.len() as u16).to_le_bytes());
        set(&mut bytes, at + 8, key.as_bytes());
        set(&mut bytes, at + 8 + key.len(), &on_page);
        set(&mut bytes, 2 * page_size + 16 + 2 * place, &(end as u16).to_le_bytes());
    }
    set(&mut bytes, 2 * page_size, &2_u64.to_le_bytes());
    set(&mut bytes, 2 * page_size + 10, &2_u16.to_le_bytes());
    set(&mut bytes, 2 * page_size + 12, &(16 + 2 * entries.len() as u16).to_le_bytes());
    set(&mut bytes, 2 * page_size + 14, &(end as u16).to_le_bytes());
    let last = (bytes.len() / page_size - 1) as u64;
    for meta in 0..2 {
        let at = meta * page_size;
        set(&mut bytes, at, &(meta as u64).to_le_bytes());
        set(&mut bytes, at + 10, &8_u16.to_le_bytes());
        set(&mut bytes, at + 16, &0xbeef_c0de_u32.to_le_bytes());
        set(&mut bytes, at + 20, &1_u32.to_le_bytes());
        set(&mut bytes, at + 40, &(page_size as u32).to_le_bytes());
        set(&mut bytes, at + 94, &1_u16.to_le_bytes());
        set(&mut bytes, at + 120, &(entries.len() as u64).to_le_bytes());
        set(&mut bytes, at + 128, &2_u64.to_le_bytes());
        set(&mut bytes, at + 136, &last.to_le_bytes());
        set(&mut bytes, at + 144, &(meta as u64).to_le_bytes());
    }
    bytes
}

fn set(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn with(mut bytes: Vec<u8>, at: usize, value: &[u8]) -> Vec<u8> {
    set(&mut bytes, at, value);
    bytes
}

fn packed(json: &str) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(json.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A helium atom; the numbers after it make its row so long that it does not fit on a page.
fn helium(energy: f64, more: usize) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let more: Vec<String> = (0..more).map(|_| random.random::<u32>().to_string()).collect();
    packed(&format!(
        r#"{{"numbers": [2], "positions": [[0.0, 0.0, 0.5]], "cell": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
            "pbc": [false, false, false], "energy": {energy:?}, "data": {{"more": [{}]}}}}"#,
        more.join(", ")
    ))
}

fn two_rows(page_size: usize) -> Vec<u8> {
    database(page_size, &[("1", helium(-1.5, 0)), ("2", helium(-2.5, 10_000)), ("nextid", packed("3"))])
}

#[test]
fn any_page_size() {
    for page_size in [512, 1024, 4096, 16384, 32768] {
        let frames = read(two_rows(page_size)).unwrap_or_else(|error| panic!("{page_size}: {error}"));
        assert_eq!(frames.iter().map(|frame| number(frame, "energy").unwrap()).collect::<Vec<_>>(), [-1.5, -2.5]);
    }
    for page_size in [0_u32, 256, 3000, 65536, u32::MAX] {
        let message = message(with(two_rows(4096), 40, &page_size.to_le_bytes()));
        assert!(message.ends_with(&format!("expected a page size from 512 to 32768, found {page_size}")), "{message}");
    }
}

#[test]
fn databases_of_other_machines_are_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let rows = two_rows(4096);
    let big_endian = with(rows.clone(), 16, &0xbeef_c0de_u32.to_be_bytes());
    let narrow = with(rows, 12, &0xbeef_c0de_u32.to_le_bytes());
    for bytes in [big_endian, with(narrow, 16, &[0; 4])] {
        fs::write(folder.path().join("other"), bytes).unwrap();
        let message = Formats::default().open(&folder.path().join("other")).err().unwrap().to_string();
        assert!(message.contains("page 0: no page of an LMDB database of 64 bits, little-endian"), "{message}");
    }
}

#[test]
fn the_later_of_two_transactions_counts() {
    for (newer, expected) in [(0_usize, 0), (1, 2)] {
        let mut bytes = two_rows(4096);
        // The first meta page has an empty tree.
        set(&mut bytes, 94, &0_u16.to_le_bytes());
        set(&mut bytes, 120, &0_u64.to_le_bytes());
        set(&mut bytes, 128, &u64::MAX.to_le_bytes());
        set(&mut bytes, newer * 4096 + 144, &7_u64.to_le_bytes());
        assert_eq!(read(bytes).unwrap().len(), expected);
    }
}

#[test]
fn damaged_pages_are_named() {
    let rows = || two_rows(4096);
    let leaf = 2 * 4096;
    let node =
        |place: usize| leaf + usize::from(u16::from_le_bytes(rows()[leaf + 16 + 2 * place..][..2].try_into().unwrap()));
    let word = |number: u16| number.to_le_bytes();
    let pointer = |number: u64| number.to_le_bytes();
    for (at, value, expected) in [
        (10, &word(0)[..], "page 0: of flags 0x0 and version 1, expected 0x8 and 1 (LMDB 0.9)"),
        (20, &word(2), "page 0: of flags 0x8 and version 2"),
        (4096 + 16, &word(0), "page 1: no page of an LMDB database"),
        (4096 + 40, &word(8192), "has pages of 4096 and of 8192 bytes"),
        (4096 + 92, &word(4), "has keys of flags 0x4, expected plain keys with one value each (no MDB_DUPSORT"),
        (4096 + 94, &word(33), "has a tree of depth 33"),
        (4096 + 94, &word(2), "page 2 is a leaf where the tree has a branch"),
        (4096 + 128, &pointer(1), "points to page 1, expected one from 2 to"),
        (4096 + 128, &pointer(1 << 60), "points to page 1152921504606846976, expected one from 2 to"),
        (4096 + 136, &pointer(2), "points to page 3, expected one from 2 to 2"),
        (4096 + 136, &pointer(3), "pages, up to page 3"),
        (leaf, &pointer(3), "page 2: expected a branch or a leaf, found page 3 of flags 0x2"),
        (leaf + 10, &word(0x22), "page 2: expected a branch or a leaf, found page 2 of flags 0x22"),
        (leaf + 12, &word(5000), "page 2: its free space is from byte 5000 to"),
        (leaf + 14, &word(14), "page 2: its free space is from byte 22 to 14 of 4096"),
        (leaf + 16, &word(4094), "page 2: its node at byte 4094 does not fit"),
        (leaf + 16, &word(24), "page 2: its node at byte 24 does not fit"),
        (node(2), &word(4000), "does not fit"),
        (node(2), &word(22), "page 2: its nodes at bytes"),
        (node(0) + 8, b"3", "page 2: its keys `3` and `2` are out of order"),
        (node(1) + 4, &word(3), "page 2: `2` is a database of its own"),
        (node(1) + 4, &word(4), "page 2: `2` is several values"),
        (node(1) + 4, &word(0), "does not fit"),
        (node(1) + 9, &pointer(2), "page 2: expected a value, found page 2 of flags 0x2"),
        (node(1) + 9, &pointer(90), "points to page 90, expected one from 2 to"),
        (node(1), &u32::MAX.to_le_bytes(), "page 3: a value of 4294967295 bytes on"),
        (3 * 4096 + 12, &word(1), "bytes on 1 pages, up to page"),
        (3 * 4096 + 10, &word(2), "page 3: expected a value, found page 3 of flags 0x2"),
    ] {
        let message = message(with(rows(), at, value));
        assert!(message.starts_with("t.lmdb: ") && message.contains(expected), "{message}");
    }
}

/// A branch whose pages below it are itself.
#[test]
fn a_cycle_in_the_tree_ends() {
    for depth in [2_u16, 32] {
        let mut bytes = database(4096, &[("", Vec::new()), ("m", Vec::new())]);
        set(&mut bytes, 4096 + 94, &depth.to_le_bytes());
        set(&mut bytes, 2 * 4096 + 10, &1_u16.to_le_bytes());
        for place in 0..2 {
            let at =
                2 * 4096 + usize::from(u16::from_le_bytes(bytes[2 * 4096 + 16 + 2 * place..][..2].try_into().unwrap()));
            set(&mut bytes, at, &2_u32.to_le_bytes());
        }
        assert!(message(bytes).contains("page 2 is a branch where the tree has a leaf"));
    }
}

#[test]
fn what_a_database_says_of_itself_holds() {
    let row = || helium(-1.0, 0);
    for (entries, expected) in [
        (vec![("1", row()), ("nextid", packed("3"))], "t.lmdb: has no key `2`, but `nextid` says 3"),
        (vec![("1", row()), ("2", row()), ("nextid", packed("2"))], "t.lmdb: has a key `2`, but `nextid` says 2"),
        (
            vec![("2", row()), ("nextid", packed("3"))],
            "t.lmdb: frame 0: key `1`: is not there: is the database complete?",
        ),
        (vec![("1", row()), ("nextid", packed("\"2\""))], "t.lmdb: key `nextid`: is no whole number"),
        (vec![("1", row()), ("nextid", b"2".to_vec())], "t.lmdb: key `nextid`: cannot be decompressed with zlib"),
        (
            vec![("nextid", packed("2")), ("deleted_ids", packed("[0.5]"))],
            "t.lmdb: key `deleted_ids`: has 0.5, expected",
        ),
        (vec![("nextid", packed("1")), ("deleted_ids", packed("{}"))], "t.lmdb: key `deleted_ids`: is no list"),
        (vec![("0", graph(&[])), ("length", b"K\x02.".to_vec())], "t.lmdb: has no key `1`, but `length`"),
        (vec![("0", graph(&[])), ("length", b"K\x00.".to_vec())], "t.lmdb: has a key `0`, but `length`"),
        (vec![("0", graph(&[])), ("length", b"J\xff\xff\xff\xff.".to_vec())], "t.lmdb: key `length`: is no count"),
        (vec![("0", graph(&[])), ("length", b"N.".to_vec())], "t.lmdb: key `length`: is no count"),
        (vec![("0", graph(&[])), ("more", Vec::new())], "t.lmdb: has no key `1`, but `length`, or without it"),
        (vec![("0", b"I1\n.".to_vec())], "t.lmdb: frame 0: key `0`: byte 0 of the pickle: unknown opcode 0x49 (INT"),
    ] {
        let message = message(database(4096, &entries));
        assert!(message.starts_with(expected), "{message}");
    }
    // Many ids, of which none is there, take no time.
    let gone =
        database(4096, &[("nextid", packed("9223372036854775807")), ("deleted_ids", packed("[9223372036854775806]"))]);
    assert!(message(gone).contains("key `1`: is not there"));
}

#[test]
fn a_row_that_decompresses_to_too_much_is_refused() {
    let bomb = packed(&" ".repeat(65 << 20));
    let message = message(database(4096, &[("1", bomb), ("nextid", packed("2"))]));
    assert_eq!(message, "t.lmdb: frame 0: key `1`: decompresses to more than 64 MiB");
}

/// A pickled graph of PyTorch Geometric 1 with these attributes, each of a name and what a pickle has for it.
fn graph(attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\x80\x04ctorch_geometric.data.data\nData\n)\x81}(".to_vec();
    for (name, value) in attributes {
        bytes.extend([b"\x8c", &[name.len() as u8][..], name.as_bytes(), value].concat());
    }
    bytes.extend(b"ub.");
    bytes
}

/// An array of NumPy in a pickle.
fn array(kind: &str, order: &str, shape: &[u8], bytes: &[u8]) -> Vec<u8> {
    let shape: Vec<u8> = shape.iter().flat_map(|&extent| [b'K', extent]).collect();
    let name = [&b"\x8c\x02"[..], kind.as_bytes()].concat();
    let kind = [&b"cnumpy\ndtype\n("[..], &name, b"\x89\x88tR(K\x03\x8c\x01", order.as_bytes(), b"NNNtb"].concat();
    let size = (bytes.len() as u32).to_le_bytes();
    let start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n)C\x01btR(K\x01(";
    [&start[..], &shape, b"t", &kind, b"\x89B", &size, bytes, b"tb"].concat()
}

fn reals(shape: &[u8], numbers: &[f64]) -> Vec<u8> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    array("f8", "<", shape, &bytes)
}

/// A tensor in a pickle, of a storage with this stream.
fn tensor(stream: &[u8], offset: u8, size: &[u8], stride: &[u8]) -> Vec<u8> {
    let numbers = |all: &[u8]| all.iter().flat_map(|&number| [b'K', number]).collect::<Vec<u8>>();
    let start = b"ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\nB";
    let length = (stream.len() as u32).to_le_bytes();
    let (size, stride) = (numbers(size), numbers(stride));
    [&start[..], &length, stream, b"\x85RK", &[offset], b"(", &size, b"t(", &stride, b"t\x89NtR"].concat()
}

/// The stream of a storage.
fn stream(class: &str, count: u8, there: u64, elements: &[u8]) -> Vec<u8> {
    let start =
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.M\xe9\x03.}\x8c\x0dlittle_endian\x88s.(\x8c\x07storagectorch\n";
    let name = b"\n\x8c\x017\x8c\x03cpuK";
    [&start[..], class.as_bytes(), name, &[count], b"NtQ.](\x8c\x017e.", &there.to_le_bytes(), elements].concat()
}

#[test]
fn graphs_that_cannot_be_are_explained() {
    let good = stream("FloatStorage", 3, 3, &[0; 12]);
    let one = |attributes: &[(&str, Vec<u8>)]| {
        let atom =
            [("atomic_numbers", array("i8", "<", &[1], &2_i64.to_le_bytes())), ("pos", reals(&[1, 3], &[0.0; 3]))];
        let mut all = atom.to_vec();
        all.extend_from_slice(attributes);
        database(4096, &[("0", graph(&all))])
    };
    assert_eq!(read(one(&[("force", tensor(&good, 0, &[1, 3], &[3, 1]))])).unwrap()[0].columns.len(), 3);
    assert_eq!(read(one(&[("unknown", b"cbuiltins\nobject\n)R".to_vec())])).unwrap()[0].columns.len(), 2);
    // Of a single atom too, what is of atoms is a column and no key.
    let frame = read(one(&[("tags", reals(&[1], &[1.0])), ("fixed", reals(&[1], &[1.0]))])).unwrap().remove(0);
    assert_eq!(frame.column("move_mask").unwrap().data, Data::Logical(vec![false]));
    assert_eq!((frame.column("tags").unwrap().data.len(), frame.header.iter().count()), (1, 0));
    let force = |stream: &[u8], offset, size: &[u8], stride: &[u8]| ("force", tensor(stream, offset, size, stride));
    let of = |class, count, there, elements: &[u8]| force(&stream(class, count, there, elements), 0, &[1, 3], &[3, 1]);
    let text = |text: &str| [b"\x8c", &[text.len() as u8][..], text.as_bytes()].concat();
    for (attribute, expected) in [
        (("atomic_numbers", array("i8", "<", &[1], &119_i64.to_le_bytes())), "119 is no atomic number (1 to 118)"),
        (("atomic_numbers", reals(&[1], &[1.5])), "`atomic_numbers` has a 1.5, expected whole numbers"),
        (("atomic_numbers", b"N".to_vec()), "no `atomic_numbers`"),
        (("atomic_numbers", reals(&[2], &[1.0; 2])), "`pos` is of shape [1, 3], expected [2, 3]"),
        (("pos", reals(&[3, 1], &[0.0; 3])), "`pos` is of shape [3, 1], expected [1, 3]"),
        (("pos", text("here")), "`pos` is text, expected numbers"),
        (("pos", b"]".to_vec()), "`pos` is a list, expected numbers"),
        (("pos", array("f8", ">", &[1, 3], &[0; 24])), "`pos` is an array of type `f8` that is not little-endian"),
        (("pos", array("f2", "<", &[1, 3], &[0; 6])), "`pos` is an array of type `f2`"),
        (("pos", array("f8", "<", &[1, 3], &[0; 23])), "`pos` is an array of shape [1, 3] over 2 elements"),
        (("pos", array("f8", "<", &[255; 8], &[0; 24])), "`pos` is an array of shape [255, 255,"),
        (("pos", array("f8", "<", &[1; 9], &[0; 8])), "`pos` is an array of 9 dimensions and 9 strides"),
        (("natoms", b"K\x02".to_vec()), "`natoms` is 2, but there are 1 `atomic_numbers`"),
        (("natoms", reals(&[2], &[1.0; 2])), "`natoms` is of shape [2], expected one number"),
        (("cell", reals(&[3], &[1.0; 3])), "`cell` is of shape [3], expected [3, 3]"),
        (("pbc", reals(&[2], &[1.0; 2])), "`pbc` has 2 values, expected three"),
        (("pbc", b"\x88".to_vec()), "`pbc` is true, but there is no `cell`"),
        (("tags", reals(&[2], &[1.0; 2])), "`tags` is of shape [2], expected one number for each of 1 atoms"),
        (("fixed", reals(&[1], &[2.0])), "`fixed` has a 2, expected 0 (free) and 1 (fixed)"),
        (("y", reals(&[2], &[1.0; 2])), "`y` is no number, expected the energy"),
        (("y", text("low")), "`y` is text, expected numbers"),
        (("stress", reals(&[3], &[1.0; 3])), "`stress` has 3 numbers, expected 9, or 6 in Voigt order"),
        (("sid", reals(&[2], &[1.0; 2])), "`sid` is of shape [2], expected one number"),
        (force(&good, 1, &[1, 3], &[3, 1]), "`force` is an array of shape [1, 3] over 3 elements"),
        (force(&good, 0, &[1, 3], &[3, 2]), "`force` is an array of shape [1, 3] over 3 elements"),
        (force(&good, 0, &[255, 3], &[0, 0]), "`force` is an array of shape [255, 3] over 3 elements"),
        (force(&good, 0, &[1, 3], &[1]), "`force` is an array of 2 dimensions and 1 strides"),
        (force(b"PK\x03\x04", 0, &[1, 3], &[3, 1]), "`force` is a storage in a zip archive, expected the stream"),
        (force(b"K\x01.K\x01.K\x01.K\x01.K\x01.", 0, &[1, 3], &[3, 1]), "a storage's stream without its magic number"),
        (force(&good[..20], 0, &[1, 3], &[3, 1]), "`force` is a storage's stream: byte"),
        (of("HalfStorage", 3, 3, &[0; 6]), "`force` is a tensor of a `HalfStorage`"),
        (of("FloatStorage", 3, 4, &[0; 16]), "`force` is a storage of contradicting lengths"),
        (of("FloatStorage", 3, 3, &[0; 11]), "`force` is a storage of 3 elements in 11 bytes"),
    ] {
        let message = message(one(std::slice::from_ref(&attribute)));
        assert!(message.starts_with("t.lmdb: frame 0: key `0`: ") && message.contains(expected), "{message}");
    }
}

/// Tuples of a thousand times the tuple before, a state that refers to its object, and lists in lists without end.
#[test]
fn pickles_that_would_blow_up_do_not() {
    let start = Instant::now();
    let mut bomb = b"N\x94".to_vec();
    for level in 0..40_u8 {
        bomb.extend([&b"("[..], &[b'h', level].repeat(1000), b"t\x94"].concat());
    }
    let deep = [b"]".repeat(500_000), b"a".repeat(499_999)].concat();
    let many = [b"(".to_vec(), b"N".repeat(1 << 21), b"t".to_vec()].concat();
    for (value, expected) in
        [(bomb, "no `atomic_numbers`"), (deep, "no `atomic_numbers`"), (many, "more than 1048576 opcodes")]
    {
        let message = message(database(4096, &[("0", graph(&[("x", value)]))]));
        assert!(message.contains(expected), "{message}");
    }
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn files_that_were_cut_short() {
    for (name, used) in [("graphs.lmdb", 5), ("old_graphs.lmdb", 7), ("rows.aselmdb", 3), ("nested.lmdb", 3)] {
        let whole = fixture(name);
        for length in 0..whole.len() {
            // Pages that follow the last one in use are free.
            let cut = read(&whole[..length]);
            assert!(cut.is_err() || length >= used * 4096, "{name}: {length} bytes of {}", whole.len());
        }
    }
}

/// Whatever bits are wrong, reading ends, with frames or with one error.
#[test]
fn files_with_wrong_bits() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for name in ["graphs.lmdb", "old_graphs.lmdb", "rows.aselmdb", "tree.lmdb"] {
        let whole = fixture(name);
        let used: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != 0).collect();
        for round in 0..4000 {
            let mut bytes = whole.clone();
            for _ in 0..random.random_range(1..4) {
                let anywhere = random.random_range(0..whole.len());
                let at = if round % 2 == 0 { used[random.random_range(0..used.len())] } else { anywhere };
                bytes[at] ^= 1 << random.random_range(0..8);
            }
            if let Ok(reader) = FrameReader::new(Cursor::new(bytes), "t.lmdb") {
                assert!(reader.take(100).filter(Result::is_err).count() <= 1);
            }
        }
    }
}
