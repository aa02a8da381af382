//! `isograd compare`.

use std::io::Write;
use std::path::PathBuf;

use comfy_table::Table;
use isograd::data::Output;
use isograd::report::{Cell, Comparison, Row, render_comparison};
use isograd::train::{Error, Result};

use super::print_json;
use super::tables::{bytes, grouped, table};

/// Letters in a line of a cell, beyond which it goes on in the next.
const WIDEST: usize = 28;

/// What a table draws around a cell.
const BORDER: usize = 3;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  isograd compare runs/small runs/large
  isograd compare runs/* -o comparison.html

Shows what each run came to, the settings in which they differ, and a warning where their numbers must not be compared. A run that is not
finished is shown as far as it is.")]
pub(crate) struct Args {
    /// Run directories
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Write a page with curves
    #[arg(short, long, value_name = "PAGE.html")]
    output: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let comparison = Comparison::read(&args.runs)?;
    if let Some(path) = &args.output {
        let page = render_comparison(&comparison)?;
        let mut out = Output::create(path)?;
        out.write_all(page.as_bytes()).map_err(Error::io(path, "write"))?;
        out.finish()?;
    }
    if args.json {
        return print_json(&comparison);
    }
    let names: Vec<String> = comparison.runs.iter().map(|run| run.name.clone()).collect();
    print_table("run", &names, &comparison.rows());
    match comparison.differences.is_empty() {
        true => println!("the configs differ nowhere but in run.out"),
        false => print_table("setting", &names, &comparison.difference_rows()),
    }
    comparison.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(())
}

/// Prints a table with a column for each run, or several of them below each other where a terminal is too narrow for one.
fn print_table(title: &str, names: &[String], rows: &[Row]) {
    let first: Vec<String> = rows.iter().map(|(name, _)| broken(name)).collect();
    let columns: Vec<Vec<String>> = names
        .iter()
        .enumerate()
        .map(|(run, name)| {
            let cells = rows.iter().map(|(_, cells)| broken(&shown(cells.get(run).and_then(Option::as_ref))));
            std::iter::once(broken(name)).chain(cells).collect()
        })
        .collect();
    let width = |cells: &[String]| {
        BORDER + cells.iter().flat_map(|cell| cell.lines()).map(|line| line.chars().count()).max().unwrap_or(0)
    };
    let room = Table::new().width().map_or(usize::MAX, |room| usize::from(room).saturating_sub(width(&first) + 1));
    let mut left = columns.as_slice();
    while !left.is_empty() {
        let mut used = 0;
        let fits = left.iter().take_while(|column| {
            used += width(column);
            used <= room
        });
        let (now, rest) = left.split_at(fits.count().max(1));
        let line = |place: usize| now.iter().map(move |column| column[place].clone());
        let header: Vec<String> = std::iter::once(title.to_owned()).chain(line(0)).collect();
        let lines = first.iter().enumerate();
        let lines = lines.map(|(place, name)| std::iter::once(name.clone()).chain(line(place + 1)).collect());
        println!("{}", table(&header.iter().map(String::as_str).collect::<Vec<_>>(), lines.collect()));
        left = rest;
    }
}

fn shown(cell: Option<&Cell>) -> String {
    match cell {
        None => "-".into(),
        Some(Cell::Text(text)) => text.clone(),
        Some(Cell::Count(count)) => grouped(*count),
        Some(Cell::Bytes(count)) => bytes(Some(*count)),
    }
}

/// A text in lines of no more than [`WIDEST`] letters, which end behind a mark or a space where there is one.
fn broken(text: &str) -> String {
    let mut lines = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    while rest.len() > WIDEST {
        let mark = rest[..WIDEST].iter().rposition(|letter| !letter.is_alphanumeric());
        let after = rest.split_off(mark.map_or(WIDEST, |mark| mark + 1));
        lines.push(String::from_iter(rest));
        rest = after;
    }
    lines.push(String::from_iter(rest));
    lines.join("\n")
}
