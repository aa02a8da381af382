//! `isograd data info`.

use std::path::{Path, PathBuf};

use isograd::data::audit::{Finding, Limits, Summary};
use isograd::data::formats::Formats;
use isograd::data::{Distribution, Field, Overview, Source, overview};
use isograd::tasks::{PotentialTask, Task};
use isograd::train::config::Config;
use isograd::train::{Result, unused_stresses};
use serde::Serialize;

use super::tables::{grouped, summary_table, table};
use super::{convert, print_json};

/// Atoms within this length of each other have an edge, in angstrom: the cutoff of the presets.
const CUTOFF: f64 = 5.0;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  isograd data info molecules.extxyz.xz
  isograd data info --config my.toml

Shows keys and columns and what they are used as, sizes of energies, forces, stresses and distances, what is suspicious, and the lines
of a config that would mend it.")]
pub(crate) struct Args {
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
}

#[derive(Serialize)]
struct Entry {
    name: String,
    summary: Summary,
    warnings: Vec<String>,
    #[serde(flatten)]
    overview: Overview,
}

#[derive(Serialize)]
struct Entries {
    sources: Vec<Entry>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut sources = Vec::new();
    match &args.config {
        Some(path) => {
            let config = Config::load(path, &[])?;
            let task = config.task()?;
            for entry in &config.data.sources {
                let source = entry.source(&config.data.split_by, task.columns());
                sources.push(look(&entry.name, &source, &entry.files, &config.data.limits(), &task)?);
            }
        }
        None => {
            let mut source = Source::default();
            (source.keys.energy, source.keys.forces) = (args.energy_key.clone(), args.forces_key.clone());
            let name: Vec<String> = args.files.iter().map(|file| file.display().to_string()).collect();
            let task = PotentialTask::default().into();
            sources.push(look(&name.join(", "), &source, &args.files, &Limits::default(), &task)?);
        }
    }
    if args.json {
        return print_json(&Entries { sources });
    }
    sources.iter().for_each(show);
    Ok(())
}

fn look(name: &str, source: &Source, files: &[PathBuf], limits: &Limits, task: &Task) -> Result<Entry> {
    let overview = look_at(source, files, limits)?;
    let summary = overview.summary.clone();
    let warnings = summary.warnings().into_iter().chain(unused_stresses(&summary, task)).collect();
    Ok(Entry { name: name.to_owned(), summary, warnings, overview })
}

/// Looks at files, and shows how far it is.
fn look_at<P: AsRef<Path>>(source: &Source, files: &[P], limits: &Limits) -> Result<Overview> {
    let bar = convert::bar();
    let found = overview(&Formats::default(), source, files, limits, CUTOFF, &mut |frames| bar.inc(frames as u64));
    bar.finish_and_clear();
    Ok(found?)
}

fn show(entry: &Entry) {
    let Entry { name, summary, warnings, overview } = entry;
    println!("{}", summary_table(name, summary));
    if !overview.fields.is_empty() {
        let rows = overview.fields.iter().map(|field| field_row(field, summary)).collect();
        println!("{}", table(&["key or column", "frames", "holds", "different", "used as"], rows));
    }
    // That all or none repeat in all directions, the table says.
    if let Some([none, one, two, three]) = overview.periodic_directions.filter(|own| own[1] + own[2] > 0) {
        let [none, one, two, three] = [none, one, two, three].map(grouped);
        println!("frames that repeat in no direction: {none}, in one: {one}, in two: {two}, in three: {three}");
    }
    show_distributions(&overview.distributions);
    warnings.iter().for_each(|warning| println!("warning: {warning}"));
    overview.findings.iter().for_each(show_finding);
    if !overview.config.is_empty() {
        println!("In a config, these lines of [data] would mend it:");
        overview.config.iter().for_each(|line| println!("    {line}"));
    }
}

fn field_row(field: &Field, summary: &Summary) -> Vec<String> {
    let what = match (field.holds, field.width) {
        ("text", _) => "text".into(),
        (holds, 1) => holds.to_owned(),
        (holds, count) => format!("{count} {holds}s"),
    };
    let holds = if field.of_atoms { format!("{what} of each atom") } else { what };
    let used_as = match (field.used_as, field.looks_like) {
        (Some(used_as), _) => used_as.to_owned(),
        (None, Some(label)) => format!("not used; looks like {label}"),
        (None, None) => "not used".into(),
    };
    vec![
        field.name.clone(),
        format!("{} of {}", grouped(field.frames), grouped(summary.frames)),
        holds,
        field.different.map_or(if field.of_atoms { "-".into() } else { "many".into() }, grouped),
        used_as,
    ]
}

/// A line for each quantity, with a histogram of one line.
fn show_distributions(all: &[Distribution]) {
    let rows: Vec<[String; 6]> = all
        .iter()
        .map(|own| {
            let number = |value: f64| shown(value, own);
            let values = [number(own.minimum), number(own.median), number(own.maximum)];
            let [least, middle, most] = values;
            [own.quantity.to_owned(), bars(&own.histogram), least, middle, most, own.unit.to_owned()]
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    let header = ["", "", "smallest", "median", "largest", ""].map(str::to_owned);
    let width = |column: usize| rows.iter().chain([&header]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    for [name, bars, least, middle, most, unit] in [&header].into_iter().chain(&rows) {
        let line = format!(
            "{name:0$}  {bars:1$}  {least:>2$}  {middle:>3$}  {most:>4$} {unit}",
            widths[0], widths[1], widths[2], widths[3], widths[4]
        );
        println!("{}", line.trim_end());
    }
    println!();
}

/// A number with as many digits as its quantity is known to.
fn shown(value: f64, of: &Distribution) -> String {
    let size = of.minimum.abs().max(of.maximum.abs());
    match of.unit {
        "" => grouped(value as usize),
        _ if size >= 1e6 => format!("{value:.3e}"),
        _ if size >= 1e3 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Bars of eighths of a line's height; a bar that is not empty is seen.
fn bars(histogram: &[usize]) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = histogram.iter().copied().max().unwrap_or(0);
    let bar = |count: &usize| match count {
        0 => ' ',
        count => HEIGHTS[(8 * count).div_ceil(most) - 1],
    };
    histogram.iter().map(bar).collect()
}

fn show_finding(finding: &Finding) {
    let first = finding.worst.first().map_or(String::new(), |worst| format!(" (first: {})", worst.place));
    println!("{}: {}{first}", finding.severity, finding.says);
    if let Some(remedy) = &finding.remedy {
        println!("  remedy: {remedy}");
    }
}
