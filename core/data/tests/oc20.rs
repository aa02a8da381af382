//! OC20's pairs of files, in a folder and alone, through what the crate offers.

use std::path::{Path, PathBuf};

use isograd_data::Source;
use isograd_data::formats::oc20::S2ef;
use isograd_data::formats::{Data, Formats, Frame};
use isograd_structure::{EnergyUnit, Units};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oc20")
}

fn open(path: &Path) -> Result<Vec<Frame>, String> {
    let frames = Formats::default().open(path).map_err(|error| error.to_string())?;
    frames.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// A folder with files in it.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| std::fs::write(folder.path().join(name), text).unwrap());
    folder
}

fn numbers(frames: &[Frame], key: &str) -> Vec<f64> {
    frames.iter().map(|frame| frame.header.get(key).unwrap().number().unwrap()).collect()
}

fn texts(frames: &[Frame], key: &str) -> Vec<String> {
    frames.iter().map(|frame| frame.header.get(key).unwrap().text().into_owned()).collect()
}

const ONE: &str = "1\nenergy=-3.5\nH 0 0 0\n";

#[test]
fn a_folder_has_the_frames_of_all_pairs_in_the_order_of_their_numbers() {
    let frames = open(&fixtures()).unwrap();
    assert_eq!(texts(&frames, "sid"), ["random11", "random12", "random11", "random12", "random11"]);
    assert_eq!(numbers(&frames, "fid"), [5.0, 0.0, 3.0, 7.0, 4.0]);
    assert_eq!(numbers(&frames, "energy"), [-100.0, -101.0, -102.0, -103.0, -104.0]);
    assert_eq!(numbers(&frames, "reference_energy"), [-90.0, -90.25, -90.5, -90.75, -91.0]);
    assert_eq!(numbers(&frames, "adsorption_energy"), [-10.0, -10.75, -11.5, -12.25, -13.0]);
    for (index, frame) in frames.iter().enumerate() {
        assert_eq!((frame.index, frame.line, frame.header_line), (index, 0, 0));
        assert_eq!(frame.column("tags").unwrap().data, Data::Integer(vec![0, 1, 2]));
        assert_eq!(frame.column("move_mask").unwrap().data, Data::Logical(vec![false, true, true]));
        let height = 4.0 + 0.125 * index as f64;
        assert_eq!(frame.column("pos").unwrap().as_vectors().unwrap()[2], [1.25, 0.0, height]);
        assert_eq!(frame.column("forces").unwrap().as_vectors().unwrap()[1], [0.5, -0.5, 0.125]);
    }
}

#[test]
fn a_file_gets_the_same_from_the_one_beside_it() {
    let all = open(&fixtures()).unwrap();
    for (name, start) in [("2.extxyz.xz", 0), ("10.extxyz", 3)] {
        let frames = open(&fixtures().join(name)).unwrap();
        assert!(frames.len() == if start == 0 { 3 } else { 2 });
        for (index, frame) in frames.iter().enumerate() {
            // Of a file, lines say where a frame is.
            assert_eq!((frame.index, frame.line), (index, 1 + 5 * index));
            let same = Frame { index: start + index, line: 0, header_line: 0, ..frame.clone() };
            assert_eq!(same, all[start + index]);
        }
    }
}

#[test]
fn both_energies_can_be_trained_on_and_systems_stay_together() {
    let mut source = Source::default();
    source.keys.group = Some("sid".into());
    let total: Vec<_> = source.read_file(&fixtures()).unwrap().collect::<Result<_, _>>().unwrap();
    source.keys.energy = "adsorption_energy".into();
    let adsorption: Vec<_> = source.read_file(&fixtures()).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!((total[1].energy, adsorption[1].energy), (Some(-101.0), Some(-10.75)));
    assert_eq!(total[4].group.as_deref(), Some("random11"));
    source.units = Units { energy: EnergyUnit::Hartree, ..Units::default() };
    let message = source.read_file(&fixtures()).unwrap().next().unwrap().unwrap_err().to_string();
    assert!(message.contains("in eV and angstrom, which is known without `units`"), "{message}");
}

#[test]
fn lines_that_do_not_fit_are_named() {
    let two = ONE.repeat(2);
    for (lines, at, expected) in [
        ("random1,frame0,-1\n", "0.txt:2: frame 1: ", "the file ends before a line for this frame of"),
        ("", "0.txt:1: frame 0: ", "the file ends before a line for this frame of"),
        ("a,frame0,1\nb,frame0,2\n\nc,frame0,3\n", "0.txt:4: frame 2: ", "the file goes on, and"),
        ("a,frame0,1\nb,frame0\n", "0.txt:2: frame 1: ", "as in `random1,frame0,-1.5`, found `b,frame0`"),
        ("a,frame0,1\nb,frame0,x\n", "0.txt:2: frame 1: ", "found `b,frame0,x`"),
        ("a,frame0,1\nb,frame0,nan\n", "0.txt:2: frame 1: ", "found `b,frame0,nan`"),
        ("a,frame0,1\nb,frame-1,1\n", "0.txt:2: frame 1: ", "found `b,frame-1,1`"),
        ("a,frame0,1\n,frame1,1\n", "0.txt:2: frame 1: ", "found `,frame1,1`"),
        ("a,frame0,1\nb,frame1,1,1\n", "0.txt:2: frame 1: ", "found `b,frame1,1,1`"),
    ] {
        let folder = folder(&[("0.extxyz", two.as_str()), ("0.txt", lines)]);
        let message = open(folder.path()).unwrap_err();
        assert!(message.contains(at) && message.contains(expected), "{message}");
    }
    // An error of a frame names its own file.
    let folder = folder(&[("0.extxyz", "1\n\nH 0 0\n"), ("0.txt", "a,frame0,1\n")]);
    let message = open(folder.path()).unwrap_err();
    assert!(message.contains("0.extxyz:3: frame 0: 3 values"), "{message}");
}

#[test]
fn a_bare_frame_number_and_blank_lines_at_the_end_pass() {
    let folder =
        folder(&[("7.extxyz", ONE), ("7.txt", "system 1,12, -1.5\n\n \n"), ("notes.txt", "x"), ("7.json", "{}")]);
    let frames = open(folder.path()).unwrap();
    assert_eq!((texts(&frames, "sid")[0].as_str(), numbers(&frames, "fid")[0]), ("system 1", 12.0));
    assert_eq!(numbers(&frames, "adsorption_energy"), [-2.0]);
    // Without a total there is no difference.
    std::fs::write(folder.path().join("7.extxyz"), "1\n\nH 0 0 0\n").unwrap();
    assert!(open(folder.path()).unwrap()[0].header.get("adsorption_energy").is_none());
}

#[test]
fn files_without_the_other_and_two_of_a_number_are_errors() {
    let line = "a,frame0,1\n";
    for (more, at, expected) in [
        ("1.extxyz", "1.extxyz: ", "has no .txt of the same number"),
        ("1.txt.xz", "1.txt.xz: ", "has no .extxyz of the same number"),
        ("00.extxyz", "", "has the same number as"),
        ("0.txt.gz", "", "has the same number as"),
    ] {
        let folder = folder(&[("0.extxyz", ONE), ("0.txt", line), (more, "")]);
        let message = open(folder.path()).unwrap_err();
        assert!(message.contains(at) && message.contains(expected), "{message}");
    }
}

#[test]
fn what_is_not_of_this_format_is_let_be() {
    for files in [
        &[("0.extxyz", ONE), ("1.txt", "a,frame0,1\n")][..],
        &[("a.extxyz", ONE), ("a.txt", "a,frame0,1\n")],
        &[("0.xyz", ONE), ("0.txt", "a,frame0,1\n")],
    ] {
        let folder = folder(files);
        assert!(open(folder.path()).unwrap_err().ends_with("is a directory; expected a structure file"));
        assert!(open(&folder.path().join(files[0].0)).unwrap()[0].header.get("sid").is_none());
    }
    // A text of another kind beside a file says nothing of it.
    let folder = folder(&[("0.extxyz", ONE), ("0.txt", "some notes\n")]);
    let frame = &open(&folder.path().join("0.extxyz")).unwrap()[0];
    assert!(frame.header.get("sid").is_none() && frame.converted_from.is_none());
    // In a folder it is taken for what should be there.
    assert!(open(folder.path()).unwrap_err().contains("0.txt:1: frame 0: expected system"));
}

#[test]
fn damaged_files_are_errors_or_frames() {
    let [frames, lines] = ["10.extxyz", "10.txt"].map(|name| std::fs::read(fixtures().join(name)).unwrap());
    let read = |frames: &[u8], lines: &[u8]| -> (usize, bool) {
        let items: Vec<_> = S2ef::new(frames, lines, ["f".into(), "l".into()]).collect();
        let errors = items.iter().filter(|item| item.is_err()).count();
        assert!(errors == 0 || errors == 1 && items[items.len() - 1].is_err());
        (items.len() - errors, errors == 0)
    };
    assert_eq!(read(&frames, &lines), (2, true));
    for length in 0..frames.len() - 1 {
        let (count, whole) = read(&frames[..length], &lines);
        // Cut within the digits of its last number, a frame looks whole.
        assert!(!whole || count == 2, "{length}");
    }
    for length in 0..lines.len() - 1 {
        let (count, whole) = read(&frames, &lines[..length]);
        assert!(!whole || count == 2, "{length}");
    }
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..5000 {
        let mut damaged = [frames.clone(), lines.clone()];
        for bytes in &mut damaged {
            let place = random.random_range(0..bytes.len());
            bytes[place] ^= 1 << random.random_range(0..8);
        }
        assert!(read(&damaged[0], &damaged[1]).0 <= 2);
    }
    // Truncated as compressed files, they are errors.
    let packed = std::fs::read(fixtures().join("2.txt.xz")).unwrap();
    let folder = folder(&[("2.extxyz", ONE.repeat(3).as_str())]);
    for length in (0..packed.len()).step_by(7) {
        std::fs::write(folder.path().join("2.txt.xz"), &packed[..length]).unwrap();
        assert!(open(folder.path()).is_err(), "{length}");
    }
}
