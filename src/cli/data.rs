//! `isograd data`.

use std::path::PathBuf;

use isograd::data::Source;
use isograd::data::audit::{Limits, Summary};
use isograd::data::formats::Formats;
use isograd::data::store::Store;
use isograd::tasks::{PotentialTask, Task};
use isograd::train::config::Config;

use isograd::train::{Error, Result};
use isograd::train::{survey, unused_stresses};

use super::tables::summary_table;
use super::{audit, convert, pack, print_json};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Find what is wrong with data: copies, leaks, contradicting labels, signs and units
    Audit(audit::Args),
    /// Write structure files of any format as extended XYZ
    Convert(convert::Args),
    /// Pack structure files of any size into a store that training maps into memory
    Pack(pack::Args),
    /// What structure files, or the sources of a config, hold
    #[command(after_help = "Examples:\n  isograd data info molecules.extxyz.xz\n  isograd data info --config my.toml")]
    Info {
        /// Structure files in any format that is read, patterns, and folders
        #[arg(required_unless_present = "config")]
        files: Vec<PathBuf>,
        /// Look at the sources of this config instead, with their keys and units
        #[arg(long, conflicts_with = "files")]
        config: Option<PathBuf>,
        /// Comment key of the energy
        #[arg(long, default_value = "energy")]
        energy_key: String,
        /// Column of the forces
        #[arg(long, default_value = "forces")]
        forces_key: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(serde::Serialize)]
struct Entry {
    name: String,
    summary: Summary,
    warnings: Vec<String>,
}

#[derive(serde::Serialize)]
struct Entries {
    sources: Vec<Entry>,
}

pub(crate) fn run(command: Command) -> Result<()> {
    let (files, config, energy_key, forces_key, json) = match command {
        Command::Audit(args) => return audit::run(&args),
        Command::Convert(args) => return convert::run(&args),
        Command::Pack(args) => return pack::run(&args),
        Command::Info { files, config, energy_key, forces_key, json } => (files, config, energy_key, forces_key, json),
    };
    let mut sources = Vec::new();
    match config {
        Some(path) => {
            let config = Config::load(&path, &[])?;
            let task = config.task()?;
            for entry in &config.data.sources {
                let source = entry.source(&config.data.split_by, task.columns());
                sources.push(look(&entry.name, &source, &entry.files, &config.data.limits(), &task)?);
            }
        }
        None => {
            let mut source = Source::default();
            (source.keys.energy, source.keys.forces) = (energy_key, forces_key);
            let name: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            let task = PotentialTask::default().into();
            sources.push(look(&name.join(", "), &source, &files, &Limits::default(), &task)?);
        }
    }
    if json {
        return print_json(&Entries { sources });
    }
    for entry in &sources {
        println!("{}", summary_table(&entry.name, &entry.summary));
        for warning in &entry.warnings {
            println!("warning: {warning}");
        }
    }
    Ok(())
}

fn look(name: &str, source: &Source, files: &[PathBuf], limits: &Limits, task: &Task) -> Result<Entry, Error> {
    // Nobody asks for edges here; a store has those of its cutoffs.
    let cutoff = match files {
        [only] if Store::is_at(only) => Store::open(only)?.header().cutoffs.first().copied(),
        _ => None,
    };
    let (_, summary) = survey(&Formats::default(), source, files, limits, cutoff.unwrap_or(1.0))?;
    let warnings = summary.warnings().into_iter().chain(unused_stresses(&summary, task)).collect();
    Ok(Entry { name: name.to_owned(), summary, warnings })
}
