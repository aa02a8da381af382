#![no_main]
//! Any bytes through the readers of ASE's files, by what they begin with: errors, never panics.

use std::io::Cursor;

use isograd_data::Source;
use isograd_data::formats::ase::{Database, DatabaseReader, Trajectory, TrajectoryReader, read_row};
use isograd_data::formats::{Format, Frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let frames: Vec<Frame> = if Database.recognises(bytes) {
        DatabaseReader::of_bytes(bytes, "fuzz").into_iter().flatten().map_while(Result::ok).collect()
    } else if Trajectory.recognises(bytes) {
        TrajectoryReader::new(Cursor::new(bytes), "fuzz").into_iter().flatten().map_while(Result::ok).collect()
    } else {
        read_row(bytes).into_iter().collect()
    };
    for frame in &frames {
        assert!(frame.columns.iter().all(|column| column.data.len() == frame.atoms * column.width));
        let _ = Source::default().structure(frame, "fuzz");
    }
});
