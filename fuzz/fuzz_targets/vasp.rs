#![no_main]
//! Any bytes through the readers of VASP's OUTCAR and vasprun.xml: errors, never panics.

use isograd_data::Source;
use isograd_data::formats::vasp::{OutcarReader, VaspRunReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let outcar = OutcarReader::new(bytes, "fuzz").map_while(Result::ok);
    let vasprun = VaspRunReader::new(bytes, "fuzz").map_while(Result::ok);
    for frame in outcar.chain(vasprun) {
        let _ = Source::default().structure(&frame, "fuzz");
    }
});
