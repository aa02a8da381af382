#![no_main]
//! Any bytes as an archive of arrays: frames or errors, never panics, and an end. An archive has a directory and checksums that
//! random bytes never meet, and so the bytes are also those of its arrays.

use std::io::{Cursor, Write};

use isograd_data::Source;
use isograd_data::formats::numpy::read_archive;
use libfuzzer_sys::fuzz_target;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn read(bytes: &[u8]) {
    let Ok(frames) = read_archive(|| Ok(Cursor::new(bytes.to_vec())), "fuzz") else { return };
    for frame in frames {
        let Ok(frame) = frame else { return };
        let _ = Source::default().structure(&frame, "fuzz");
    }
}

/// An archive of four arrays, the bytes of which are a quarter of those that there are.
fn archive(bytes: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let names = ["z.npy", "R.npy", "E.npy", "F.npy"];
    for (name, part) in names.into_iter().zip(bytes.chunks((bytes.len() / names.len()).max(1))) {
        writer.start_file(name, stored).expect("memory can be written to");
        writer.write_all(part).expect("memory can be written to");
    }
    writer.finish().expect("memory can be written to").into_inner()
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    read(&archive(bytes));
});
