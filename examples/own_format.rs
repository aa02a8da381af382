//! A file format of your own: told by its first line, read as a stream, trained on as any other.
//!
//!     cargo run --release --example own_format
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use std::io::BufRead;

use isograd::data::formats::{Column, Format, Formats, Frame, Frames, Header, Input};
use isograd::data::{Error, Result, Source};
use isograd::prelude::*;

/// A line for each dimer: the symbol of its atoms, their distance (angstrom), and its energy (eV).
struct Dimers;

impl Format for Dimers {
    fn name(&self) -> &'static str {
        "dimers"
    }
    fn recognises(&self, start: &[u8]) -> bool {
        start.starts_with(b"# dimers\n")
    }
    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        let file = input.name().to_owned();
        Ok(Box::new(input.into_bytes().lines().skip(1).enumerate().map(move |(index, text)| {
            let line = index + 2;
            let text = text.map_err(Error::io(&file, "read"))?;
            let (header, columns) = dimer(&text).map_err(Error::frame(&file, line, index))?;
            Ok(Frame { atoms: 2, header, columns, line, header_line: line, index, ..Frame::default() })
        })))
    }
}

fn dimer(text: &str) -> Result<(Header, Vec<Column>), String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let &[symbol, distance, energy] = &words[..] else { return Err("expected symbol, distance, energy".into()) };
    let distance = distance.parse().map_err(|_| format!("`{distance}` is not a number"))?;
    let positions = Column::vectors("pos", &[[0.0; 3], [distance, 0.0, 0.0]]);
    Ok((Header::from([("energy", energy)]), vec![Column::words("species", &[symbol; 2]), positions]))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = tempfile::NamedTempFile::new()?;
    let line = |r: f64| format!("Ar {r} {}\n", 0.0416 * ((3.4 / r).powi(12) - (3.4 / r).powi(6)));
    let lines: String = (330..530).map(|k| line(0.01 * f64::from(k))).collect();
    std::fs::write(&file, format!("# dimers\n{lines}"))?;
    let data = Data::open_with(&Formats::default().with(Dimers), &file, &Source::default())?;
    let fitted = Trainer::new(PaiNN { width: 16, layers: 2, ..PaiNN::default() }, PotentialTask::default())
        .config(|config| (config.loss.force_weight, config.train.learning_rate) = (0.0, 1e-2))
        .epochs(60)
        .fit(&data.split(Split::by_frame(0.1))?)?;
    let errors = [&fitted.best().validation, &fitted.summary().baseline].map(|of| of.get("energy_mae_mev_per_atom"));
    println!("mean error of the energy, and of predicting nothing (meV per atom): {errors:.2?}");
    assert!(errors[0] < errors[1], "nothing was learned");
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn std::error::Error>> {
    main()
}
