#![no_main]
//! Any bytes through the HDF5 reader: errors, never panics; and what was read becomes a structure, or an error again.

use isograd_data::Source;
use isograd_data::formats::hdf5::FrameReader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(frames) = FrameReader::of_bytes(bytes.to_vec(), "fuzz") else { return };
    for frame in frames.map_while(Result::ok) {
        let atoms = Source::default().structure(&frame, "fuzz").map_or(frame.atoms, |structure| structure.len());
        assert_eq!(atoms, frame.atoms);
    }
});
