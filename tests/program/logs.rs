//! The log in other forms: whatever a run goes through, they say what `metrics.jsonl` says.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::common::Workspace;
use serde_json::Value;

const CONFIG: &str = "[model]
width = 8
layers = 1
cutoff = 3.0
[train]
epochs = 2
batch_graphs = 8
[run]
out = \"run\"
log_every = 2
";

/// The lines of `metrics.jsonl`.
fn lines(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rows of `metrics.csv`, by the names of columns; all rows are as long as the header.
fn rows(run: &Path) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(run.join("metrics.csv")).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let header = lines.next().unwrap();
    lines
        .map(|fields| {
            assert_eq!(fields.len(), header.len(), "{text}");
            header.iter().cloned().zip(fields).collect()
        })
        .collect()
}

/// Checks that the table has the numbers of the JSON, to the last digit, and no others.
#[track_caller]
fn assert_table_is_log(run: &Path) {
    let (lines, rows) = (lines(run), rows(run));
    assert_eq!(lines.len(), rows.len());
    for (line, row) in lines.iter().zip(&rows) {
        for (name, field) in row {
            let found = name.split('.').try_fold(line, |value, key| value.get(key));
            match found.and_then(Value::as_f64) {
                Some(number) => assert_eq!(field.parse::<f64>().unwrap(), number, "{name}"),
                None => assert_eq!(field, "", "{name}"),
            }
        }
        let numbers = |value: &Value| match value {
            Value::Object(entries) => entries.values().filter(|value| value.is_number()).count(),
            value => usize::from(value.is_number()),
        };
        let expected: usize = line.as_object().unwrap().values().map(numbers).sum();
        assert_eq!(row.values().filter(|field| !field.is_empty()).count(), expected);
    }
}

/// An event: its step, its scalars by tag, and whether a session starts with it.
#[derive(Debug, Default)]
struct Event {
    time: f64,
    step: u64,
    version: String,
    scalars: Vec<(String, f32)>,
    starts: bool,
}

/// The event files of a run.
fn event_files(run: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.to_string_lossy().contains("tfevents")).collect();
    paths.sort();
    paths
}

/// The events of all event files of a run, whose checksums must be right.
fn events(run: &Path) -> Vec<Event> {
    let bytes: Vec<u8> = event_files(run).iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    let mut rest = bytes.as_slice();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_at(8);
        let (own, after) = after.split_at(4);
        assert_eq!(own, checksum(length));
        let (message, after) = after.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
        let (own, after) = after.split_at(4);
        assert_eq!(own, checksum(message));
        found.push(event(message));
        rest = after;
    }
    found
}

/// The masked CRC-32C of TensorFlow's records, by polynomial division from the highest bit.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(byte.reverse_bits()) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 { (crc << 1) ^ 0x1edc_6f41 } else { crc << 1 };
        }
    }
    let crc = !crc.reverse_bits();
    crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// A field of a message: its number and its bytes, of a varint those of the number.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (own, rest) = bytes.split_at(length);
        found.push((key >> 3, own.to_vec()));
        bytes = rest;
    }
    found
}

/// An `Event`, by the numbers of fields in `event.proto` and `summary.proto`.
fn event(message: &[u8]) -> Event {
    let mut event = Event::default();
    for (number, bytes) in fields(message) {
        match number {
            1 => event.time = f64::from_le_bytes(bytes.try_into().unwrap()),
            2 => event.step = u64::from_le_bytes(bytes.try_into().unwrap()),
            3 => event.version = String::from_utf8(bytes).unwrap(),
            5 => {
                for (number, value) in fields(&bytes) {
                    assert_eq!(number, 1);
                    let value: BTreeMap<u64, Vec<u8>> = fields(&value).into_iter().collect();
                    let tag = String::from_utf8(value[&1].clone()).unwrap();
                    event.scalars.push((tag, f32::from_le_bytes(value[&2].as_slice().try_into().unwrap())));
                }
            }
            7 => event.starts = fields(&bytes) == [(1, 1u64.to_le_bytes().to_vec())],
            other => panic!("field {other}"),
        }
    }
    event
}

/// Checks that the events have the numbers of the JSON, and each tag each step once.
#[track_caller]
fn assert_events_are_log(run: &Path) {
    let events = events(run);
    assert_eq!(events[0].version, "brain.Event:2");
    assert!(events[1].starts && events[1].step == 0, "{:?}", events[1]);
    let lines = lines(run);
    assert_eq!(events.len(), 2 + lines.len());
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut validations = 0;
    for (event, line) in events[2..].iter().zip(&lines) {
        assert_eq!(Some(event.step), line["step"].as_u64());
        for (tag, value) in &event.scalars {
            let name = tag.strip_prefix("training/").unwrap_or(tag);
            let number = name.split('/').fold(line, |value, key| &value[key]).as_f64();
            assert_eq!(number.map(|number| number as f32), Some(*value), "{tag}");
            let before = last.insert(tag, event.step);
            assert!(before.is_none_or(|before| before < event.step), "{tag} has step {} twice", event.step);
            validations += usize::from(tag == "validation/force_mae_mev_per_angstrom");
        }
    }
    assert_eq!(validations, lines.iter().filter(|line| line.get("validation").is_some()).count());
    assert!(last.contains_key("training/loss") && last.contains_key("validation_raw/energy_mae_mev_per_atom"));
    assert!(events.windows(2).all(|pair| pair[0].time <= pair[1].time));
}

#[test]
fn table_and_events_say_what_the_log_says_also_after_a_crash() {
    let space = Workspace::new(80, CONFIG);
    let run = space.path("run");
    space.succeed(&["train", "config.toml", "--log", "csv,tensorboard"]);
    let before = lines(&run);
    assert!(before.len() > 6);
    assert_table_is_log(&run);
    assert_events_are_log(&run);
    let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(config.contains("log = [\"csv\", \"tensorboard\"]"), "{config}");

    // What a run writes behind its last snapshot before it is killed, the last line of each file not to its end.
    let append = |path: &Path, bytes: &[u8]| {
        std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
    };
    let mut later = before.last().unwrap().clone();
    later["step"] = (later["step"].as_u64().unwrap() + 1).into();
    append(&run.join("metrics.jsonl"), format!("{later}\n{{\"step\":").as_bytes());
    append(&run.join("metrics.csv"), format!("{}{}\n{},0", later["step"], ",".repeat(9), later["step"]).as_bytes());
    append(&event_files(&run)[0], &[24, 0, 0, 0, 0]);

    // Forms that there are go on, whether they are asked for again or not.
    space.succeed(&["train", "config.toml", "--resume", "--set", "train.epochs=3"]);
    let after = lines(&run);
    assert!(after.len() > before.len() && after[..before.len()] == before);
    assert_table_is_log(&run);
    assert_events_are_log(&run);

    // A TensorBoard that has read a file to its end finds another behind it, however often; the last one but one is emptied.
    let files = event_files(&run);
    space.succeed(&["train", "config.toml", "--resume", "--set", "train.epochs=4"]);
    assert_events_are_log(&run);
    let sizes: Vec<(PathBuf, u64)> =
        event_files(&run).into_iter().map(|path| (path.clone(), path.metadata().unwrap().len())).collect();
    assert!(sizes.len() == 2 && sizes[0] == (files[1].clone(), 0) && sizes[1].1 > 0, "{files:?}: {sizes:?}");
}

#[test]
fn a_log_that_begins_late_has_what_was_before() {
    let space = Workspace::new(40, CONFIG);
    space.succeed(&["train", "config.toml"]);
    let run = space.path("run");
    assert!(!run.join("metrics.csv").exists() && event_files(&run).is_empty());
    let more = ["train", "config.toml", "--resume", "--set", "train.epochs=3", "--set", "run.log=[\"csv\"]"];
    space.succeed(&[&more[..], &["--log", "tensorboard", "--log", "csv"]].concat());
    assert_table_is_log(&run);
    assert_events_are_log(&run);
    let (code, _, said) = space.run(&["train", "config.toml", "--log", "xml"]);
    assert!(code == 2 && said.contains("csv, tensorboard"), "{said}");
    let (code, _, said) = space.run(&["train", "config.toml", "--set", "run.log=[\"xml\"]"]);
    assert!(code == 2 && said.contains("unknown variant `xml`, expected `csv` or `tensorboard`"), "{said}");
}
