//! ASE's databases, trajectories and rows, against files that ASE wrote; `fixtures/ase/make.py` says what is in them.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use approx::assert_relative_eq;
use isograd_data::formats::ase::{DatabaseReader, TrajectoryReader, read_row};
use isograd_data::formats::{Data, Formats, Frame};
use isograd_data::{Keys, Result, Source};
use isograd_structure::{EnergyUnit, Units};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rusqlite::Connection;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ase").join(name)
}

fn open(path: &Path) -> Result<Vec<Frame>> {
    Formats::default().open(path)?.collect()
}

fn read(name: &str) -> Vec<Frame> {
    open(&fixture(name)).unwrap()
}

fn message(path: &Path) -> String {
    open(path).unwrap_err().to_string()
}

/// All keys and their values as text.
fn keys(frame: &Frame) -> Vec<(String, String)> {
    frame.header.iter().map(|(key, value)| (key.to_owned(), value.text().into_owned())).collect()
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
}

fn column_names(frame: &Frame) -> Vec<&str> {
    frame.columns.iter().map(|column| column.name.as_str()).collect()
}

fn data<'a>(frame: &'a Frame, name: &str) -> &'a Data {
    &frame.column(name).unwrap_or_else(|| panic!("no column {name}")).data
}

fn vectors(frame: &Frame, name: &str) -> Vec<[f64; 3]> {
    frame.column(name).unwrap_or_else(|| panic!("no column {name}")).as_vectors().unwrap()
}

const STRESS: &str = "0.01 0.06 0.05 0.06 0.02 0.04 0.05 0.04 0.03";

fn check_water(frame: &Frame) {
    assert_eq!(data(frame, "numbers"), &Data::Integer(vec![8, 1, 1]));
    assert_eq!(vectors(frame, "pos"), [[0.0, 0.0, 0.125], [0.0, 0.75, -0.5], [0.0, -0.75, -0.5]]);
    assert_eq!(vectors(frame, "forces"), [[0.0, 0.0, 0.5], [0.0, 0.25, -0.25], [0.0, -0.25, -0.25]]);
    assert_eq!(data(frame, "charges"), &Data::Real(vec![-0.75, 0.5, 0.25]));
    assert_eq!(frame.header.get("Lattice"), None);
    assert_eq!(frame.header.get("pbc"), None);
}

fn check_slab(frame: &Frame, height: f64) {
    assert_eq!(data(frame, "numbers"), &Data::Integer(vec![29, 29, 1]));
    assert_eq!(vectors(frame, "pos"), [[0.0; 3], [1.25, 1.25, 1.75], [0.0, 0.0, height]]);
    assert_eq!(data(frame, "tags"), &Data::Integer(vec![2, 1, 0]));
    assert_eq!(data(frame, "move_mask"), &Data::Logical(vec![false, true, true]));
    let header = |key| frame.header.get(key).unwrap().text();
    assert_eq!(header("Lattice"), "2.5 0 0 0.5 2.5 0 0 0 0");
    assert_eq!(header("pbc"), "T T F");
    assert_eq!(header("other_constraints"), "FixBondLengths FixedPlane");
}

#[test]
fn rows_of_a_database_with_all_that_they_have() {
    for name in ["version9.db", "version8.db"] {
        let frames = read(name);
        let [water, slab, crystal, unlabelled] = &frames[..] else { panic!("{name}: {} frames", frames.len()) };
        check_water(water);
        let expected = [
            ("energy", "-14.25"),
            ("free_energy", "-14.5"),
            ("dipole", "0 0 0.375"),
            ("id", "1"),
            ("unique_id", "row-1"),
            ("calculator", "made-up"),
            ("functional", "PBE"),
            ("relaxed", "1"),
            ("gap", "6.5"),
            ("steps", "12"),
            ("charge", "-1"),
            ("spin", "2"),
            ("source", "made up"),
            ("data_id", "9007199254740993"),
            ("mulliken", "-0.5 0.25 0.25"),
            ("orders", "0 1 1 0 1 0"),
            ("single", "0.5 0.25"),
            ("data.energy", "-99"),
            ("dft.converged", "1"),
            ("dft.levels", "-1.5 -0.5"),
            ("phase", "1.5 -2"),
            ("words", r#"["a","b"]"#),
        ];
        assert_eq!(keys(water), pairs(expected), "{name}");
        assert_eq!(column_names(water), ["numbers", "pos", "forces", "charges", "mulliken", "orders"]);
        assert_eq!(water.column("orders").unwrap().width, 2);
        assert_eq!(data(water, "orders"), &Data::Integer(vec![0, 1, 1, 0, 1, 0]));

        check_slab(slab, 3.25);
        assert_eq!(column_names(slab), ["numbers", "pos", "tags", "forces", "move_mask"]);
        let names: Vec<_> = slab.header.iter().map(|(key, _)| key).collect();
        assert_eq!(names, ["Lattice", "pbc", "energy", "id", "unique_id", "calculator", "other_constraints"]);

        let expected = [
            ("Lattice", "4 0 0 0 4.5 0 0.25 0 5"),
            ("pbc", "T T T"),
            ("energy", "-12.5"),
            ("stress", STRESS),
            ("magmom", "3.5"),
            ("id", "4"),
            ("unique_id", "row-4"),
            ("calculator", "made-up"),
            ("functional", "PBE+U"),
            ("data.pbc", "an odd name"),
            ("data.numbers", "1 2"),
        ];
        assert_eq!(keys(crystal), pairs(expected), "{name}");
        assert_eq!(column_names(crystal), ["numbers", "pos", "initial_magmoms", "forces", "magmoms", "data.numbers"]);
        assert_eq!(data(crystal, "magmoms"), &Data::Real(vec![3.75, -0.25]));
        assert_eq!(data(crystal, "initial_magmoms"), &Data::Real(vec![4.0, 0.0]));

        assert_eq!(keys(unlabelled), pairs([("id", "5"), ("unique_id", "row-5")]));
        assert_eq!(column_names(unlabelled), ["numbers", "pos", "initial_charges"]);
        for (index, frame) in frames.iter().enumerate() {
            assert_eq!((frame.index, frame.converted_from), (index, Some("eV and angstrom")));
        }
    }
}

#[test]
fn structures_of_a_database() {
    let structures = |source: Source| source.read_file(&fixture("version9.db")).unwrap().collect::<Result<Vec<_>>>();
    let found = structures(Source::default()).unwrap();
    assert_eq!(
        found.iter().map(|structure| structure.energy).collect::<Vec<_>>(),
        [Some(-14.25), Some(-7.5), Some(-12.5), None]
    );
    assert_eq!(found[1].geometry.periodic, [true, true, false]);
    assert!(found[1].geometry.spanning_lattice().is_some());
    assert_eq!(found[2].stress, Some([[0.01, 0.06, 0.05], [0.06, 0.02, 0.04], [0.05, 0.04, 0.03]]));
    assert_eq!(found[3].forces, None);
    let keys = Keys { energy: "data.energy".into(), group: Some("functional".into()), ..Keys::default() };
    let found = structures(Source { keys, ..Source::default() }).unwrap();
    assert_eq!(found[0].energy, Some(-99.0));
    assert_eq!(
        found.iter().map(|structure| structure.group.as_deref()).collect::<Vec<_>>(),
        [Some("PBE"), None, Some("PBE+U"), None]
    );
    let units = Units { energy: EnergyUnit::Hartree, ..Units::default() };
    let message = structures(Source { units, ..Source::default() }).unwrap_err().to_string();
    assert!(message.contains("frame 0: files of this format are in eV and angstrom"), "{message}");
}

#[test]
fn declared_units_are_converted() {
    let frame = read("declared_units.db").remove(0);
    assert_relative_eq!(vectors(&frame, "pos")[1][2], 2.0 * 0.529_177_210_903, max_relative = 1e-12);
    let header = |key: &str| frame.header.get(key).unwrap().numbers().unwrap();
    assert_relative_eq!(header("Lattice")[0], 5.291_772_109_03, max_relative = 1e-12);
    assert_eq!(frame.header.get("pbc").unwrap().text(), "F F F");
    assert_relative_eq!(header("energy")[0], -2_721.138_624_598_8, max_relative = 1e-12);
    assert_relative_eq!(vectors(&frame, "forces")[1][2], -51.422_067_476, max_relative = 1e-9);
    assert_eq!(header("dipole"), [0.0, 0.0, 2.0]);
    let copy = Changed::of("declared_units.db");
    copy.change(
        "UPDATE information SET value = '{\"_property_unit_dict\": {\"energy\": \"furlong\"}}' WHERE name = 'metadata'",
    );
    assert!(message(&copy.path).ends_with(
        "declares the unit `\"furlong\"` for `energy`, expected units as in `eV`, `kcal/mol`, `Hartree/Bohr`, `Ang`"
    ));
}

/// A fixture that may be changed.
struct Changed {
    path: PathBuf,
    folder: tempfile::TempDir,
}

impl Changed {
    fn of(name: &str) -> Self {
        Self::named(name, "copy.db".as_ref())
    }

    fn named(name: &str, new: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(new);
        fs::copy(fixture(name), &path).unwrap();
        Self { path, folder }
    }

    fn change(&self, sql: &str) {
        Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }
}

#[test]
fn wrong_rows_are_named() {
    for (sql, expected) in [
        ("numbers = NULL", "`numbers` is null"),
        ("numbers = 5", "`numbers` is of type Integer, expected numbers"),
        ("numbers = x'0000000001000000'", "`numbers`: 0 is no atomic number (1 to 118)"),
        ("numbers = x'0100'", "`numbers` has 2 bytes, expected int32 numbers"),
        ("positions = NULL", "`positions` is null"),
        ("positions = zeroblob(48)", "`positions` are of size [6], expected 3 for each of 3 atoms"),
        ("cell = zeroblob(48)", "`cell` is of size [6], expected [3, 3]"),
        ("pbc = 8", "`pbc` is 8, expected three bits"),
        ("pbc = 7", "`pbc` is true in some direction, but there is no `cell`"),
        // As a calculator in single precision leaves them.
        ("forces = zeroblob(36)", "`forces` has 36 bytes, expected float64 numbers"),
        ("forces = zeroblob(24)", "`forces` is of size [3], expected 3 numbers for each of 3 atoms, of float64"),
        ("stress = zeroblob(24)", "`stress` is of size [3], expected 6 or 9 numbers, of float64"),
        ("magmoms = zeroblob(48)", "`magmoms` is of size [6], expected 1 or 3 numbers for each of 3 atoms, of float64"),
        ("tags = zeroblob(8)", "`tags` is of size [2], expected 1 numbers for each of 3 atoms, of int32"),
        ("energy = 'low'", "`energy` is of type Text, expected numbers"),
        ("unique_id = x'00'", "`unique_id` is of type Blob, expected text"),
        ("constraints = '[{'", "`constraints` is no JSON: "),
        ("constraints = '[1]'", "a constraint is `1`, expected an object with name and kwargs"),
        ("key_value_pairs = '[]'", "`key_value_pairs` is `[]`, expected a dictionary"),
        ("key_value_pairs = 'x'", "`key_value_pairs` is no JSON: "),
        ("data = 'x'", "`data` is no JSON: "),
        ("data = x'00'", "`data` of 1 bytes: its JSON begins behind them"),
        ("data = x'ffffffffffffffff'", "`data` of 8 bytes: its JSON begins behind them"),
        ("data = x'080000000000000000'", "`data` is no JSON: "),
        (
            "data = CAST(x'0800000000000000' || '{\"a\": {\"__ndarray__\": [[9], \"float64\", 8]}}' AS BLOB)",
            "`data.a`: an array of 9 float64 from byte 8 on is not within 51 bytes",
        ),
    ] {
        let copy = Changed::of("version9.db");
        copy.change(&format!("UPDATE systems SET {sql} WHERE id = 1"));
        let found = message(&copy.path);
        let place = format!("{}: frame 0: row 1: ", copy.path.display());
        assert!(found.starts_with(&place) && found.contains(expected), "{sql}: {found}");
    }
}

#[test]
fn what_is_missing_or_empty_is_left_out() {
    let copy = Changed::of("version9.db");
    copy.change(
        "UPDATE systems SET energy = NULL, forces = NULL, magmom = x'0000c03f', key_value_pairs = '', data = 'null', \
         cell = NULL, pbc = NULL, constraints = '', calculator = NULL, charges = NULL WHERE id = 1",
    );
    let frame = open(&copy.path).unwrap().remove(0);
    let expected = [("free_energy", "-14.5"), ("dipole", "0 0 0.375"), ("id", "1"), ("unique_id", "row-1")];
    assert_eq!(keys(&frame), pairs(expected));
    assert_eq!(column_names(&frame), ["numbers", "pos"]);
    // Nothing but a calculator's numbers that are none.
    copy.change("UPDATE systems SET stress = x'000000000000f87f000000000000f87f000000000000f87f000000000000f87f000000000000f87f000000000000f87f'");
    assert_eq!(open(&copy.path).unwrap()[0].header.get("stress"), None);
}

/// Adds rows with the ids from 200 down to 11.
const MANY: &str = "WITH RECURSIVE n(i) AS (SELECT 200 UNION ALL SELECT i - 1 FROM n WHERE i > 11) \
    INSERT INTO systems (id, numbers, positions, cell, pbc, energy, key_value_pairs, data) \
    SELECT i, numbers, positions, cell, pbc, -i, '{}', 'null' FROM n, systems WHERE systems.id = 1";

#[test]
fn many_rows_come_in_the_order_of_their_ids() {
    let copy = Changed::of("version9.db");
    copy.change(MANY);
    let frames = open(&copy.path).unwrap();
    assert_eq!(frames.len(), 4 + 190);
    for (index, frame) in frames.iter().enumerate().skip(4) {
        assert_eq!(frame.index, index);
        assert_eq!(frame.header.get("energy").unwrap().number(), Some(-(index as f64 + 7.0)));
    }
    copy.change("UPDATE systems SET numbers = NULL WHERE id = 100");
    let mut frames = Formats::default().open(&copy.path).unwrap();
    let error = frames.by_ref().find_map(Result::err).unwrap().to_string();
    assert!(error.ends_with("frame 93: row 100: `numbers` is null"), "{error}");
    assert!(frames.next().is_none() && frames.next().is_none());
}

#[test]
fn pages_that_lead_in_circles() {
    let copy = Changed::of("version9.db");
    copy.change(MANY);
    let root = "SELECT rootpage FROM sqlite_master WHERE name = 'systems'";
    let root: u32 = Connection::open(&copy.path).unwrap().query_row(root, [], |row| row.get(0)).unwrap();
    let mut bytes = fs::read(&copy.path).unwrap();
    let page = &mut bytes[512 * (root as usize - 1)..][..512];
    assert_eq!(page[0], 5, "not a page that leads to others");
    // What comes last is what comes first.
    let first = usize::from(u16::from_be_bytes([page[12], page[13]]));
    page.copy_within(first..first + 4, 8);
    let found = database(&bytes).unwrap_err().to_string();
    assert!(found.contains("cannot be read as a database of SQLite: row 1 follows row "), "{found}");
}

#[test]
fn other_databases_are_refused() {
    for (sql, expected) in [
        (
            "UPDATE information SET value = '7' WHERE name = 'version'",
            "is a database of ASE of version 7, expected 8 or 9: `python3 -m ase.db.convert` rewrites it",
        ),
        (
            "UPDATE information SET value = 10 WHERE name = 'version'",
            "is a database of ASE of version 10, expected 8 or 9: it is too new",
        ),
        (
            "UPDATE information SET value = 'nine' WHERE name = 'version'",
            "its version is Some(\"nine\"), expected 8 or 9",
        ),
        ("DELETE FROM information", "its version is None, expected 8 or 9"),
        ("DROP TABLE information", "of version 2, expected 8 or 9"),
        ("INSERT INTO information VALUES ('metadata', '{')", "its metadata is no JSON: "),
        ("ALTER TABLE systems DROP COLUMN forces", "its table `systems` has no column `forces`"),
        (
            "ALTER TABLE systems DROP COLUMN forces; ALTER TABLE systems ADD COLUMN forces AS (zeroblob(72))",
            "its table `systems` has no column `forces`",
        ),
        (
            "ALTER TABLE systems RENAME TO s; CREATE VIEW systems AS SELECT * FROM s",
            "expected a table `systems`, found information, keys",
        ),
    ] {
        let copy = Changed::of("version9.db");
        copy.change(sql);
        let found = message(&copy.path);
        assert!(found.starts_with(&format!("{}: ", copy.path.display())) && found.contains(expected), "{found}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA user_version = 1").unwrap();
    let none = "is a database of SQLite, but none of ASE: expected a table `systems`, found";
    assert!(message(&path).ends_with(&format!("{none} none")));
    other.execute_batch("CREATE TABLE molecules (id)").unwrap();
    assert!(message(&path).ends_with(&format!("{none} molecules")));
    for (text, expected) in [
        (&b"SQLite format 3\0"[..], "cannot be read as a database of SQLite: it ends within its head"),
        (
            b"SQLite format 3\0\x02\0 and then nothing",
            "has 35 bytes, no multiple of its pages of 512: is the file complete?",
        ),
        (&[b"SQLite format 3\0\x02\0", &[7; 494][..]].concat(), "cannot be read as a database of SQLite: "),
    ] {
        fs::write(&path, text).unwrap();
        assert!(message(&path).contains(expected), "{}", message(&path));
    }
}

#[test]
fn databases_with_a_log_beside_them() {
    let copy = Changed::of("version9.db");
    let writer = Connection::open(&copy.path).unwrap();
    writer.execute_batch("PRAGMA journal_mode = WAL; UPDATE systems SET energy = -1 WHERE id = 1").unwrap();
    let found = message(&copy.path);
    assert!(
        found.contains("has a log beside it, ") && found.contains("copy.db-wal, with what is not yet in it"),
        "{found}"
    );
    drop(writer);
    let energy = |frames: &[Frame]| frames[0].header.get("energy").unwrap().number();
    assert_eq!(energy(&open(&copy.path).unwrap()), Some(-1.0));
    let journal = copy.folder.path().join("copy.db-journal");
    for (start, hot) in [(&[0u8; 8][..], false), (b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7 and pages", true), (b"", false)] {
        fs::write(&journal, start).unwrap();
        assert_eq!(open(&copy.path).is_err(), hot);
    }
    fs::remove_file(&journal).unwrap();
    // Reading leaves nothing behind.
    open(&copy.path).unwrap();
    assert_eq!(fs::read_dir(copy.folder.path()).unwrap().count(), 1);
}

#[test]
fn databases_of_any_name() {
    for name in ["a b.db", "50%41.db", "what?mode=rwc", "#1.db", "äé.db", "a'b\"c\\d", "file:x"] {
        assert_eq!(open(&Changed::named("version9.db", name.as_ref()).path).unwrap().len(), 4, "{name}");
    }
    let folder = Changed::of("version9.db");
    let twice = PathBuf::from(format!("/{}", folder.path.display()));
    assert_eq!(open(&twice).unwrap().len(), 4);
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"\xff.db");
        assert_eq!(open(&Changed::named("version9.db", name.as_ref()).path).unwrap().len(), 4);
    }
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("packed.db");
    fs::write(&packed, zstd::encode_all(&fs::read(fixture("version9.db")).unwrap()[..], 3).unwrap()).unwrap();
    assert!(message(&packed).contains("is compressed"));
}

#[test]
fn steps_of_a_trajectory_with_all_that_they_have() {
    let frames = read("relaxation.traj");
    let [first, unlabelled, energy, water, missing] = &frames[..] else { panic!("{} frames", frames.len()) };
    check_slab(first, 3.25);
    let expected = [
        ("Lattice", "2.5 0 0 0.5 2.5 0 0 0 0"),
        ("pbc", "T T F"),
        ("calculator", "emt"),
        ("energy", "-7.5"),
        ("stress", STRESS),
        ("free_energy", "-7.75"),
        ("other_constraints", "FixBondLengths FixedPlane"),
        ("source", "made up"),
        ("charge", "1"),
        ("vector", "1 2"),
        ("of_atoms", "1 2 3"),
    ];
    assert_eq!(keys(first), pairs(expected));
    assert_eq!(
        column_names(first),
        ["numbers", "pos", "tags", "initial_magmoms", "forces", "magmoms", "move_mask", "of_atoms"]
    );
    assert_eq!(vectors(first, "forces"), [[0.0, 0.0, 1.0], [0.0, 0.0, -0.5], [0.0, 0.0, -0.5]]);
    assert_eq!(vectors(first, "magmoms"), [[0.0, 0.0, 1.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.25]]);
    assert_eq!(data(first, "initial_magmoms"), &Data::Real(vec![2.0, 1.0, 0.0]));
    // What the first step has stands for the next.
    check_slab(unlabelled, 3.5);
    assert_eq!(
        keys(unlabelled).iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(),
        ["Lattice", "pbc", "other_constraints"]
    );
    assert_eq!(column_names(unlabelled), ["numbers", "pos", "tags", "initial_magmoms", "move_mask"]);
    check_slab(energy, 3.75);
    assert_eq!(energy.header.get("energy").unwrap().number(), Some(-8.0));
    assert_eq!(energy.column("forces"), None);
    // Other atoms, without constraints.
    check_water(water);
    assert_eq!(column_names(water), ["numbers", "pos", "forces", "charges"]);
    assert_eq!(water.header.get("dipole").unwrap().text(), "0 0 0.375");
    // NaN and infinity are no labels.
    check_slab(missing, 4.0);
    assert_eq!(column_names(missing), ["numbers", "pos", "tags", "move_mask"]);
    assert!(["energy", "magmom"].iter().all(|key| missing.header.get(key).is_none()));
    for (index, frame) in frames.iter().enumerate() {
        assert_eq!((frame.index, frame.converted_from), (index, Some("eV and angstrom")));
    }
}

#[test]
fn the_highest_byte_first() {
    let frames = read("big_endian.traj");
    let [frame] = &frames[..] else { panic!("{} frames", frames.len()) };
    assert_eq!(data(frame, "numbers"), &Data::Integer(vec![1, 17]));
    assert_eq!(vectors(frame, "pos"), [[0.0; 3], [0.0, 0.0, 1.25]]);
    assert_eq!(vectors(frame, "forces"), [[0.0, 0.0, 0.5], [0.0, 0.0, -0.5]]);
    assert_eq!(keys(frame), pairs([("calculator", "made-up"), ("energy", "-3.5")]));
}

/// A file of ULM with these items.
fn ulm(tag: &str, items: &[&str]) -> Vec<u8> {
    let mut bytes = format!("- of Ulm{tag:<16}").into_bytes();
    let mut place = 48 + 8 * items.len() as u64;
    let mut head = vec![3, items.len() as u64, 48];
    let mut texts = Vec::new();
    for item in items {
        head.push(place);
        place += 8 + item.len() as u64;
        texts.extend_from_slice(&(item.len() as u64).to_le_bytes());
        texts.extend_from_slice(item.as_bytes());
    }
    bytes.extend(head.into_iter().flat_map(u64::to_le_bytes));
    bytes.extend(texts);
    bytes
}

fn trajectory(bytes: &[u8]) -> Result<Vec<Frame>> {
    TrajectoryReader::new(Cursor::new(bytes), "t.traj")?.collect()
}

fn database(bytes: &[u8]) -> Result<Vec<Frame>> {
    DatabaseReader::of_bytes(bytes, "t.db")?.collect()
}

const HYDROGEN: &str = r#"{"numbers": [1], "positions": [[0, 0, 0]], "pbc": [false, false, false]}"#;

#[test]
fn wrong_steps_are_named() {
    for (item, expected) in [
        ("{}", "no `numbers`"),
        (r#"{"pbc": [true, true, true]}"#, "`pbc` without `numbers`"),
        ("[1]", "an item is `[1]`, expected a dictionary"),
        ("{", "the item at byte 144 is no JSON: "),
        (r#"{"numbers": [1]}"#, "no `positions`"),
        (r#"{"numbers": [119], "positions": [[0, 0, 0]]}"#, "`numbers`: 119 is no atomic number"),
        (r#"{"numbers": [1.5], "positions": [[0, 0, 0]]}"#, "`numbers` [1] are not whole"),
        (r#"{"numbers": ["H"], "positions": [[0, 0, 0]]}"#, "`numbers`: `[\"H\"]` is no array of numbers"),
        (
            r#"{"numbers": [1], "positions": [[0, 0]]}"#,
            "`positions` are of size [1, 2], expected 3 for each of 1 atoms",
        ),
        (
            r#"{"numbers": [1], "positions.": {"ndarray": [[1, 3], "float64", 300]}}"#,
            "`positions`: 24 bytes from byte 300 on are not within the file",
        ),
        (
            r#"{"numbers": [1], "positions.": {"ndarray": [[9e9], "float64", 0]}}"#,
            "`positions`: `[9000000000.0]` is no shape",
        ),
        (
            r#"{"numbers": [1], "positions.": {"ndarray": [[9999999999999999], "float64", 0]}}"#,
            "are not within the file",
        ),
        (
            r#"{"numbers": [1], "positions.": {"ndarray": [[1, 3], "float16", 0]}}"#,
            "an array of `float16`, expected bool, int8 to int64",
        ),
        (r#"{"numbers": [1], "positions.": {"ndarray": [[1, 3], "float64", -8]}}"#, "`-8` is no place"),
        (r#"{"numbers": [1], "positions.": {"ndarray": [1]}}"#, "expected the shape, the type and the place"),
        (r#"{"numbers": [1], "positions.": {"x": 1}}"#, "`positions`: a group of entries, expected an array"),
        (r#"{"numbers": [1], "positions": [[0, 0, 0]], "pbc": 3}"#, "`pbc` is of size [], expected three truth values"),
        (r#"{"numbers": [1], "positions": [[0, 0, 0]], "cell": [1, 1, 1]}"#, "`cell` is of size [3], expected [3, 3]"),
        (r#"{"numbers": [1], "positions": [[0, 0, 0]], "constraints": "["}"#, "`constraints`: is no JSON"),
        (r#"{"numbers": [1], "positions": [[0, 0, 0]], "version": 2}"#, "a step of version `2`, expected 1"),
        (
            r#"{"numbers": [1], "positions": [[0, 0, 0]], "calculator.": {"forces": [[1, 2]]}}"#,
            "calculator: `forces` is of size [1, 2]",
        ),
        (
            r#"{"numbers": [1], "positions": [[0, 0, 0]], "calculator.": {"energy": "low"}}"#,
            "`calculator.energy`: `\"low\"` is no array",
        ),
        (r#"{"numbers": [1], "positions": [[0, 0, 0]], "info": 3}"#, "`info` is `3`, expected a dictionary"),
    ] {
        let found = trajectory(&ulm("ASE-Trajectory", &[HYDROGEN, item])).unwrap_err().to_string();
        // Of the first step, numbers stand for the second.
        if item == "{}" {
            assert_eq!(found, "t.traj: frame 1: no `positions`");
            let found = trajectory(&ulm("ASE-Trajectory", &[item])).unwrap_err().to_string();
            assert_eq!(found, format!("t.traj: frame 0: {expected}"));
        } else {
            assert!(found.starts_with("t.traj: frame 1: ") && found.contains(expected), "{item}: {found}");
        }
    }
}

#[test]
fn what_a_step_leaves_out_is_as_in_the_first() {
    let first = r#"{"numbers": [1], "pbc": [true, false, false], "positions": [[0, 0, 0]], "cell": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        "constraints": "[{\"name\": \"FixAtoms\", \"kwargs\": {\"indices\": [0]}}]"}"#;
    let other = r#"{"numbers": [8], "positions": [[0, 0, 1]]}"#;
    let third = r#"{"positions": [[0, 0, 2]], "cell": [[2, 0, 0], [0, 2, 0], [0, 0, 2]]}"#;
    let frames = trajectory(&ulm("ASE-Trajectory", &[first, other, third])).unwrap();
    assert_eq!(keys(&frames[2]), pairs([("Lattice", "2 0 0 0 2 0 0 0 2"), ("pbc", "T F F")]));
    assert_eq!(data(&frames[2], "numbers"), &Data::Integer(vec![1]));
    assert_eq!(data(&frames[2], "move_mask"), &Data::Logical(vec![false]));
    assert_eq!((keys(&frames[1]).len(), column_names(&frames[1])), (0, vec!["numbers", "pos"]));
}

#[test]
fn results_of_no_meaning_are_notes() {
    let item = r#"{"numbers": [1], "positions": [[0, 0, 0]], "calculator.": {"name": "mine", "parameters": {"a": 1}, "energy": 1,
        "forces": null, "uncertainty": 0.5, "level": "low"}, "info": {"energy": 2, "Lattice": "x"}}"#;
    let frame = trajectory(&ulm("ASE-Trajectory", &[item])).unwrap().remove(0);
    let expected = [
        ("calculator", "mine"),
        ("energy", "1"),
        ("uncertainty", "0.5"),
        ("level", "low"),
        ("info.energy", "2"),
        ("info.Lattice", "x"),
    ];
    assert_eq!(keys(&frame), pairs(expected));
    assert_eq!(column_names(&frame), ["numbers", "pos"]);
}

#[test]
fn other_files_of_ulm_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let found = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        message(&path)
    };
    let whole = ulm("ASE-Trajectory", &[HYDROGEN]);
    fs::write(&path, &whole).unwrap();
    assert_eq!(open(&path).unwrap().len(), 1);
    let old = [b"AFFormat", &whole[8..]].concat();
    fs::write(&path, old).unwrap();
    assert_eq!(open(&path).unwrap().len(), 1);
    fs::write(&path, ulm("ASE-Trajectory", &[])).unwrap();
    assert!(open(&path).unwrap().is_empty());

    let name = path.display();
    assert_eq!(
        found(b"PickleTrajectory and what follows"),
        format!(
            "{name}: is an old trajectory of ASE, which is a pickle: `python3 -m ase.io.trajectory {name}` rewrites it"
        )
    );
    assert_eq!(
        found(&ulm("gpaw", &["{}"])),
        format!("{name}: is a file of ULM for `gpaw`, expected one for `ASE-Trajectory`")
    );
    let with = |at: usize, number: u64| [&whole[..at], &number.to_le_bytes(), &whole[at + 8..]].concat();
    assert!(found(&with(24, 4)).ends_with("is of version 4 of ULM, expected 1 to 3"));
    for items in [1000, 1 << 61, u64::MAX] {
        let claim = format!("claims to have {items} items, whose places are listed from byte 48 on, but has only");
        assert!(found(&with(32, items)).contains(&claim));
    }
    assert!(found(&with(40, u64::MAX - 3)).contains("is the file complete?"));
    assert!(found(&with(48, u64::MAX)).contains("frame 0: the item is said to begin at byte 18446744073709551615"));
    assert!(found(&with(48, 1 << 40)).contains("frame 0: 8 bytes from byte 1099511627776 on are not within the file"));
    assert!(found(&with(56, 1 << 40)).contains("frame 0: 1099511627776 bytes from byte 64 on are not within the file"));
    assert!(found(&whole[..40]).contains("ends within its head: it has 40 bytes"));
}

#[test]
fn both_encodings_of_a_row() {
    let arrays = br#"{"numbers": {"__ndarray__": [[2], "int64", [8, 1]]},
        "positions": {"__ndarray__": [[2, 3], "float64", [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]},
        "cell": {"array": {"__ndarray__": [[3, 3], "float64", [9.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 9.0]]}, "__ase_objtype__": "cell"},
        "pbc": {"__ndarray__": [[3], "bool", [true, true, true]]},
        "initial_magmoms": {"__ndarray__": [[2], "float64", [2.0, 0.0]]}, "initial_charges": [-1, 0], "tags": [1, 0],
        "momenta": [[0, 0, 0], [0, 0, 0]], "masses": [16, 1], "unique_id": "abc", "calculator": "unknown",
        "calculator_parameters": {"xc": "PBE"}, "energy": -10.5, "free_energy": -10.75, "magmom": NaN,
        "forces": {"__ndarray__": [[2, 3], "float64", [0.0, 0.0, 0.5, 0.0, 0.0, NaN]]},
        "stress": {"__ndarray__": [[6], "float64", [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]]},
        "magmoms": {"__ndarray__": [[2], "float64", [1.75, 0.25]]}, "charges": {"__ndarray__": [[2], "float64", [-0.5, 0.5]]},
        "dipole": {"__ndarray__": [[3], "float64", [0.0, 0.0, 1.5]]}, "ctime": 24.5, "mtime": 24.5, "user": "me",
        "constraints": [{"name": "FixAtoms", "kwargs": {"indices": {"__ndarray__": [[1], "int64", [1]]}}}, {"name": "FixCom", "kwargs": {}}],
        "key_value_pairs": {"level": "low"},
        "data": {"charge": 1, "spin": 3, "source": "made up", "data_id": "x1", "homo": [-5.5], "when": {"__datetime__": "2024-01-02T03:04:05.000006"},
            "z": {"__complex__": [0.5, -1.0]}, "loewdin": {"__ndarray__": [[2], "float64", [0.1, -0.1]]}, "unknown": NaN}}"#;
    let lists = br#"{"numbers": [8, 1], "positions": [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
        "cell": [[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]], "pbc": [true, true, true],
        "initial_magmoms": [2.0, 0.0], "initial_charges": [-1.0, 0.0], "tags": [1, 0], "unique_id": "abc", "calculator": "unknown",
        "energy": -10.5, "free_energy": -10.75, "magmom": null, "forces": [[0.0, 0.0, 0.5], [0.0, 0.0, null]],
        "stress": [0.01, 0.02, 0.03, 0.04, 0.05, 0.06], "magmoms": [1.75, 0.25], "charges": [-0.5, 0.5], "dipole": [0.0, 0.0, 1.5],
        "constraints": [{"name": "FixAtoms", "kwargs": {"indices": [1]}}, {"name": "FixCom", "kwargs": {}}],
        "key_value_pairs": {"level": "low"}, "data": {"charge": 1, "spin": 3, "source": "made up", "data_id": "x1", "homo": [-5.5],
        "when": "2024-01-02T03:04:05.000006", "z": [0.5, -1.0], "loewdin": [0.1, -0.1], "unknown": null}}"#;
    let expected = [
        ("Lattice", "9 0 0 0 9 0 0 0 9"),
        ("pbc", "T T T"),
        ("unique_id", "abc"),
        ("calculator", "unknown"),
        ("energy", "-10.5"),
        ("free_energy", "-10.75"),
        ("stress", STRESS),
        ("dipole", "0 0 1.5"),
        ("other_constraints", "FixCom"),
        ("level", "low"),
        ("charge", "1"),
        ("spin", "3"),
        ("source", "made up"),
        ("data_id", "x1"),
        ("homo", "-5.5"),
        ("when", "2024-01-02T03:04:05.000006"),
        ("z", "0.5 -1"),
        ("loewdin", "0.1 -0.1"),
    ];
    let columns =
        ["numbers", "pos", "initial_magmoms", "initial_charges", "tags", "forces", "magmoms", "charges", "move_mask"];
    for text in [&arrays[..], lists] {
        let frame = read_row(text).unwrap();
        assert_eq!(keys(&frame), pairs(expected));
        assert_eq!(column_names(&frame)[..9], columns);
        assert_eq!(data(&frame, "numbers"), &Data::Integer(vec![8, 1]));
        assert_eq!(vectors(&frame, "pos"), [[0.0; 3], [0.0, 0.0, 1.0]]);
        assert_eq!(data(&frame, "initial_charges"), &Data::Real(vec![-1.0, 0.0]));
        assert_eq!(data(&frame, "tags"), &Data::Integer(vec![1, 0]));
        assert_eq!(data(&frame, "move_mask"), &Data::Logical(vec![true, false]));
        assert_eq!(data(&frame, "magmoms"), &Data::Real(vec![1.75, 0.25]));
        assert_eq!(data(&frame, "loewdin"), &Data::Real(vec![0.1, -0.1]));
        // One number that is not there is left for the audit to find.
        let forces = vectors(&frame, "forces");
        assert!(forces[0] == [0.0, 0.0, 0.5] && forces[1][2].is_nan());
        assert_eq!(frame.converted_from, Some("eV and angstrom"));
    }
}

#[test]
fn rows_without_labels_or_without_atoms() {
    let text =
        br#"{"numbers": [1], "positions": [[0, 0, 0]], "energy": null, "forces": [[null, null, null]], "stress": null,
        "constraints": [], "key_value_pairs": null, "tags": null}"#;
    let frame = read_row(text).unwrap();
    assert_eq!(column_names(&frame), ["numbers", "pos"]);
    assert!(keys(&frame).is_empty());
    let frame = read_row(br#"{"numbers": [], "positions": [], "forces": [], "data": {"a": []}}"#).unwrap();
    assert_eq!((frame.atoms, column_names(&frame)), (0, vec!["numbers", "pos"]));
    let huge =
        r#"{"numbers": [], "positions": [], "data": {"a": {"__ndarray__": [[0, 9999999999999], "float64", []]}}}"#;
    assert_eq!(read_row(huge.as_bytes()).unwrap().columns.len(), 2);
}

#[test]
fn wrong_rows_of_json_are_named() {
    for (text, expected) in [
        ("[]", "a row is `[]`, expected a dictionary"),
        ("{", "is no JSON"),
        ("{}", "a row without `numbers`"),
        (r#"{"numbers": [1]}"#, "a row without `positions`"),
        (r#"{"numbers": [1], "positions": "x"}"#, "`positions` is `\"x\"`, expected an array of numbers"),
        (r#"{"numbers": [1], "positions": [[0, 0, null], 1]}"#, "expected an array of numbers"),
        (
            r#"{"numbers": [1], "positions": {"__ndarray__": [[1, 3], "float64", [0]]}}"#,
            "`positions`: an array of shape [1, 3] has 1 values",
        ),
        (
            r#"{"numbers": [1], "positions": [[0, 0, 0]], "energy": [1, 2]}"#,
            "`energy` is of size [2], expected 1 numbers",
        ),
        (r#"{"numbers": [1], "positions": [[0, 0, 0]], "tags": [0.5]}"#, "`tags` are not whole numbers"),
        (r#"{"numbers": [1], "positions": [[0, 0, 0]], "data": [1]}"#, "`data` is `[1]`, expected a dictionary"),
        (
            r#"{"numbers": [1], "positions": [[0, 0, 0]], "data": {"a": {"__ndarray__": [[1], "int8", 0]}}}"#,
            "not within 0 bytes",
        ),
    ] {
        let found = read_row(text.as_bytes()).unwrap_err();
        assert!(found.contains(expected), "{text}: {found}");
    }
}

#[test]
fn dictionaries_of_very_many_entries_stay_text() {
    let entries = |count: usize| (0..count).map(|k| format!("\"k{k}\": {k}")).collect::<Vec<_>>().join(", ");
    let row =
        |count| format!(r#"{{"numbers": [1], "positions": [[0, 0, 0]], "data": {{"d": {{{}}}}}}}"#, entries(count));
    let frame = read_row(row(100).as_bytes()).unwrap();
    assert_eq!(frame.header.get("d.k99").unwrap().number(), Some(99.0));
    let frame = read_row(row(100_000).as_bytes()).unwrap();
    assert!(frame.header.get("d").unwrap().text().starts_with(r#"{"k0":0,"k1":1,"#));
    assert_eq!(keys(&frame).len(), 1);
}

#[test]
fn files_that_were_cut_are_errors() {
    for (name, read) in [
        ("relaxation.traj", trajectory as fn(&[u8]) -> Result<Vec<Frame>>),
        ("big_endian.traj", trajectory),
        ("declared_units.db", database),
        ("version8.db", database),
    ] {
        let whole = fs::read(fixture(name)).unwrap();
        read(&whole).unwrap();
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{name}: {length} of {} bytes", whole.len());
        }
    }
}

#[test]
fn flipped_bits_are_no_panic() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for (name, read) in [
        ("relaxation.traj", trajectory as fn(&[u8]) -> Result<Vec<Frame>>),
        ("big_endian.traj", trajectory),
        ("version8.db", database),
        ("version9.db", database),
    ] {
        let whole = fs::read(fixture(name)).unwrap();
        let mut fine = 0;
        for _ in 0..2000 {
            let mut bytes = whole.clone();
            for _ in 0..random.random_range(1..8) {
                let bit = random.random_range(0..8 * bytes.len());
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            fine += usize::from(read(&bytes).is_ok_and(|frames| frames.len() <= 8));
        }
        assert!((1..2000).contains(&fine), "{name}: {fine} of 2000 were fine");
    }
}
