//! `isograd data pack`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use isograd::data::formats::{Formats, Inputs};
use isograd::data::store::{Header, PackOptions, Packing, Statistics};
use isograd::data::{ColumnKey, Source};
use isograd::train::config::Config;
use isograd::train::{Error, Result};

use super::print_json;
use super::tables::{bytes, grouped, table};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  isograd data pack ani1x.h5 -o ani1x.store
  isograd data pack s2ef_train_2M -o oc20.store --cutoff 6
  isograd data pack --config my.toml --source metals -o metals.store

A store is read wherever a structure file is. Packing that was broken off goes on where it was; a store that is complete gets
what is not in it yet. In Python: `pyarrow.ipc.open_file(pyarrow.memory_map('ani1x.store/shards/000000-0000.arrow')).read_all()`.")]
pub(crate) struct Args {
    /// Structure files in any format that is read, patterns, and folders
    #[arg(required_unless_present = "config")]
    inputs: Vec<PathBuf>,
    /// Pack a source of this config instead, with its keys and units and the columns of its task
    #[arg(long, conflicts_with = "inputs")]
    config: Option<PathBuf>,
    /// The source of the config; by default the only one
    #[arg(long, requires = "config")]
    source: Option<String>,
    /// The folder of the store
    #[arg(short, long)]
    output: PathBuf,
    /// Length within which edges are counted, in angstrom; may be given several times
    #[arg(long = "cutoff", value_name = "ANGSTROM", default_values_t = [5.0])]
    cutoffs: Vec<f64>,
    /// Key of the energy, where the inputs are not packed as a config says
    #[arg(long, default_value = "energy")]
    energy_key: String,
    /// Column of the forces
    #[arg(long, default_value = "forces")]
    forces_key: String,
    /// Key whose equal values stay together in a split
    #[arg(long)]
    group_key: Option<String>,
    /// Column of the atoms whose forces are labels, such as `move_mask`
    #[arg(long, value_name = "COLUMN")]
    force_mask: Option<String>,
    /// Key of what frames count in the loss
    #[arg(long, value_name = "KEY")]
    weight_key: Option<String>,
    /// Key of other numbers to keep; may be given several times
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// Column of other numbers of atoms to keep; may be given several times
    #[arg(long = "column", value_name = "COLUMN")]
    columns: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (source, named) = source(args)?;
    let formats = Formats::default();
    let Inputs { found, ignored } = formats.inputs(&named)?;
    if let Some(first) = ignored.first() {
        eprintln!("warning: {} files hold no structures and are left out (first: {})", ignored.len(), first.display());
    }
    if let Some(cutoff) = args.cutoffs.iter().find(|cutoff| !(**cutoff > 0.0 && **cutoff <= 100.0)) {
        let message = format!("is {cutoff}, expected more than 0 and at most 100 angstrom");
        return Err(Error::Config { place: "--cutoff".into(), message });
    }
    let options = PackOptions { cutoffs: args.cutoffs.clone(), ..PackOptions::default() };
    let bar = bar();
    let header = source.pack(&formats, &found, &args.output, &options, &|packing| show(&bar, packing))?;
    bar.finish_and_clear();
    let Statistics { with_masked, with_weight, .. } = &header.statistics;
    if let Some(name) = source.keys.force_mask.as_ref().filter(|_| *with_masked == 0) {
        eprintln!("warning: no frame has a column `{name}` in which an atom is F: all forces are labels");
    }
    if let Some(name) = source.keys.weight.as_ref().filter(|_| *with_weight == 0) {
        eprintln!("warning: no frame has a weight other than 1 under the key `{name}`: all count alike");
    }
    if args.json {
        return print_json(&header);
    }
    println!("{}", summary(&header));
    Ok(())
}

/// How inputs are read, and which.
fn source(args: &Args) -> Result<(Source, Vec<PathBuf>)> {
    if let Some(path) = &args.config {
        let config = Config::load(path, &[])?;
        let sources = &config.data.sources;
        let names = || sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", ");
        let chosen = match &args.source {
            Some(name) => sources.iter().find(|source| &source.name == name),
            None if sources.len() == 1 => sources.first(),
            None => None,
        };
        let chosen = chosen.ok_or_else(|| Error::Config {
            place: "--source".into(),
            message: format!("is to name one of the sources of {}: {}", path.display(), names()),
        })?;
        return Ok((chosen.source(&config.data.split_by, config.task()?.columns()), chosen.files.clone()));
    }
    let mut source = Source::default();
    (source.keys.energy, source.keys.forces) = (args.energy_key.clone(), args.forces_key.clone());
    source.keys.group.clone_from(&args.group_key);
    source.keys.force_mask.clone_from(&args.force_mask);
    source.keys.weight.clone_from(&args.weight_key);
    let column = |of_nodes| move |key: &String| ColumnKey { key: key.clone(), of_nodes };
    source.columns = args.keys.iter().map(column(false)).chain(args.columns.iter().map(column(true))).collect();
    Ok((source, args.inputs.clone()))
}

/// How far packing is.
pub(crate) fn show(bar: &ProgressBar, packing: Packing) {
    bar.set_length(packing.all_bytes);
    bar.set_position(packing.bytes);
    bar.set_message(format!("{} graphs", grouped(packing.graphs)));
}

pub(crate) fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{spinner} [{bar:28}] {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left, {msg}",
    );
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─");
    let bar = ProgressBar::new(0).with_style(style);
    if std::io::stderr().is_terminal() {
        bar.enable_steady_tick(Duration::from_millis(125));
    }
    bar
}

/// A store in a table.
fn summary(header: &Header) -> String {
    let statistics = &header.statistics;
    let number = |value: Option<f64>, unit: &str| value.map_or("-".into(), |value| format!("{value:.3} {unit}"));
    let size: u64 = header.units.iter().flat_map(|unit| &unit.shards).map(|shard| shard.bytes).sum();
    let mut rows: Vec<Vec<String>> = [("graphs", grouped(statistics.graphs)), ("atoms", grouped(statistics.atoms))]
        .map(|(name, value)| vec![name.to_owned(), value])
        .into();
    for (cutoff, edges) in header.cutoffs.iter().zip(&statistics.edges) {
        rows.push(vec![format!("edges within {cutoff} angstrom"), grouped(*edges)]);
    }
    let elements: Vec<&str> = statistics.elements.keys().map(|element| element.symbol()).collect();
    let rest = [
        ("elements", elements.join(" ")),
        ("with an energy", grouped(statistics.with_energy)),
        ("with forces", grouped(statistics.with_forces)),
        ("with a stress", grouped(statistics.with_stress)),
        ("periodic", grouped(statistics.periodic)),
        ("not to be trusted", grouped(statistics.faulty)),
        ("forces, root mean square", number(statistics.force_rms, "eV/angstrom")),
        ("stress, root mean square", number(statistics.stress_rms, "eV/angstrom^3")),
        ("size", bytes(Some(size))),
        ("fingerprint", header.fingerprint.chars().take(16).collect()),
    ];
    rows.extend(rest.map(|(name, value)| vec![name.to_owned(), value]));
    table(&["packed", ""], rows).to_string()
}
