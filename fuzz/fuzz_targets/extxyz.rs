#![no_main]
//! Any bytes through the extended-XYZ reader: errors, never panics; and what was read, written and
//! read again is the same.

use isograd_data::Source;
use isograd_data::audit::{Limits, inspect};
use isograd_data::formats::Frame;
use isograd_data::formats::extxyz::{FrameReader, write_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let frames: Vec<Frame> = FrameReader::new(bytes, "fuzz").map_while(Result::ok).collect();
    for frame in &frames {
        let mut text = Vec::new();
        write_frame(&mut text, frame).unwrap();
        let again = FrameReader::new(text.as_slice(), "again").next().expect("a frame was written").unwrap();
        assert_eq!(again.atoms, frame.atoms);
        let keys = |frame: &Frame| {
            let pairs = frame.header.iter().filter(|(key, _)| *key != "Properties");
            pairs.map(|(key, value)| (key.to_owned(), value.text().into_owned())).collect::<Vec<_>>()
        };
        assert_eq!(keys(&again), keys(frame));
        let names = |frame: &Frame| frame.columns.iter().map(|c| (c.name.clone(), c.width)).collect::<Vec<_>>();
        assert_eq!(names(&again), names(frame));
        if let Ok(structure) = Source::default().structure(frame, "fuzz")
            && structure.len() < 64
        {
            inspect(&structure, &Limits::default(), 5.0);
        }
    }
});
