#![no_main]
//! Any bytes as a table: frames or errors, and an end. Panics of the crate that reads Parquet are errors by then, but libFuzzer
//! stops at each: run it with the hook taken away, as below, to look for others.

use bytes::Bytes;
use isograd_data::Source;
use isograd_data::formats::parquet::read_table;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |bytes: &[u8]| {
    let Ok(frames) = read_table(Bytes::copy_from_slice(bytes), "fuzz") else { return };
    for frame in frames {
        let Ok(frame) = frame else { return };
        let _ = Source::default().structure(&frame, "fuzz");
    }
});
