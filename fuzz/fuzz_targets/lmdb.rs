#![no_main]
//! Any bytes as an LMDB database, and as the value of a pickled graph in one: errors, never panics, and at most one error.

use std::io::Cursor;

use isograd_data::Source;
use isograd_data::formats::lmdb::{FrameReader, graph_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = graph_frame(bytes) {
        let _ = Source::default().structure(&frame, "fuzz");
    }
    let Ok(reader) = FrameReader::new(Cursor::new(bytes), "fuzz") else { return };
    assert!(reader.take(100).filter(Result::is_err).count() <= 1);
});
