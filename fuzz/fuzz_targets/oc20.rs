#![no_main]
//! Any frames and any lines, apart by the first byte 0, through the reader of OC20's pairs: errors, never panics.

use isograd_data::Source;
use isograd_data::formats::oc20::S2ef;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (frames, lines) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    for frame in S2ef::new(frames, lines, ["frames".into(), "lines".into()]).map_while(Result::ok) {
        let _ = Source::default().structure(&frame, "fuzz");
    }
});
