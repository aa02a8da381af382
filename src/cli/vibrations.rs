//! `isograd vibrations`.

use std::path::PathBuf;

use isograd::data::formats::Formats;
use isograd::train::{Error, Result};
use isograd::{Mode, Potential, Vibrations};

use super::predict::UseOptions;
use super::print_json;
use super::tables::table;

/// Forces above this, in eV/angstrom, are not those of a relaxed structure.
const RELAXED: f64 = 0.05;

/// Rows and columns of the plot.
const PLOT: (usize, usize) = (8, 72);

/// Width of a line in 1/cm, as in the plots of spectra.
const LINE: f64 = 15.0;

#[derive(clap::Args)]
#[command(after_help = "Example:
  isograd vibrations runs/quickstart relaxed.xyz

Frequencies are harmonic, of the last structure of the file, which should be relaxed; of a crystal they are those at the Gamma
point of the cell as it is. Imaginary ones, along which the energy falls, are shown as negative.")]
pub(crate) struct Args {
    /// Run directory of a conservative potential
    run: PathBuf,
    /// Structure file; the last structure counts
    input: PathBuf,
    #[command(flatten)]
    options: UseOptions,
    /// Print one JSON object, with how atoms move in each mode
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Report {
    formula: String,
    largest_force: f64,
    modes: Vec<ModeReport>,
}

#[derive(serde::Serialize)]
struct ModeReport {
    wavenumber: f64,
    energy_mev: f64,
    displacements: Vec<[f64; 3]>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let (model, source) = args.options.model(&args.run)?;
    let potential = Potential::try_from(model)?;
    let mut last = None;
    for structure in source.read_file_with(&Formats::default(), &args.input)? {
        last = Some(structure?);
    }
    let Some(structure) = last else {
        return Err(Error::Structure(format!("{} has no structure", args.input.display())));
    };
    let Vibrations { modes, largest_force, .. } = potential.vibrations(&structure)?;
    if largest_force > RELAXED {
        eprintln!(
            "warning: the largest force is {largest_force:.3} eV/Å; frequencies are those of a relaxed structure, with forces \
             below {RELAXED}"
        );
    }
    if args.json {
        let mode = |mode: Mode| ModeReport {
            wavenumber: mode.wavenumber,
            energy_mev: mode.energy(),
            displacements: mode.displacements,
        };
        let modes = modes.into_iter().map(mode).collect();
        return print_json(&Report { formula: structure.formula(), largest_force, modes });
    }
    let row = |(number, mode): (usize, &Mode)| {
        let moving = structure.elements.iter().zip(&mode.displacements);
        let share = |(element, moved): (&_, &[f64; 3])| (*element, moved.iter().map(|x| x * x).sum::<f64>());
        let mut shares: Vec<(isograd::structure::Element, f64)> = Vec::new();
        for (element, share) in moving.map(share) {
            match shares.iter_mut().find(|(own, _)| *own == element) {
                Some(own) => own.1 += share,
                None => shares.push((element, share)),
            }
        }
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        let shares: Vec<String> = shares.iter().map(|(own, share)| format!("{own} {:.0} %", 100.0 * share)).collect();
        vec![
            (number + 1).to_string(),
            format!("{:.1}", mode.wavenumber),
            format!("{:.2}", mode.energy()),
            shares.join(", "),
        ]
    };
    let rows = modes.iter().enumerate().map(row).collect();
    println!("{}", table(&["mode", "1/cm", "meV", "moving"], rows));
    println!("{}", spectrum(&modes));
    Ok(())
}

/// The density of modes over wavenumbers, as bars of characters.
fn spectrum(modes: &[Mode]) -> String {
    let (rows, columns) = PLOT;
    let all = || modes.iter().map(|mode| mode.wavenumber);
    let (low, high) = (all().fold(0.0, f64::min), all().fold(1.0, f64::max));
    let (low, high) = (low - 2.0 * LINE, high + 2.0 * LINE);
    let step = (high - low) / columns as f64;
    let width = LINE.max(step);
    let density = |column: usize| -> f64 {
        let at = low + (column as f64 + 0.5) * step;
        all().map(|own| (-0.5 * ((at - own) / width).powi(2)).exp()).sum()
    };
    let heights: Vec<f64> = (0..columns).map(density).collect();
    let most = heights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut text = String::from("density of modes\n");
    for row in (0..rows).rev() {
        let bar = |height: &f64| {
            let eighths = 8.0 * (height / most * rows as f64 - row as f64);
            BARS[(eighths.round() as usize).min(8)]
        };
        let line: String = heights.iter().map(bar).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(&"─".repeat(columns));
    let (left, right) = (format!("{low:.0}"), format!("{high:.0} 1/cm"));
    let gap = columns.saturating_sub(left.len() + right.len());
    text.push_str(&format!("\n{left}{}{right}", " ".repeat(gap)));
    text
}
