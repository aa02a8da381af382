#![no_main]
//! Any bytes through the JSON reader: frames and then at most one error, never panics.

use isograd_data::Source;
use isograd_data::formats::{Format, Input, Json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut frames = Json.frames(Input::new(bytes, "fuzz")).expect("what is wrong is an item");
    for frame in frames.by_ref().map_while(Result::ok) {
        let _ = Source::default().structure(&frame, "fuzz");
    }
    assert!(frames.next().is_none(), "after an error nothing follows");
});
