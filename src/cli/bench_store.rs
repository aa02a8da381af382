//! `isograd bench store`: a packed store of many small graphs.

use std::path::PathBuf;

use isograd::lab::{StoreConfig, StoreReport, bench_store};
use isograd::train::Result;

use super::tables::{bytes, grouped, rate, table};
use super::{pack, print_json};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the store; one that is there is used as it is
    folder: PathBuf,
    /// Graphs of a new store
    #[arg(long, default_value_t = 1_000_000)]
    graphs: usize,
    /// Most atoms of a graph
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    atoms: u32,
    /// Graphs of a batch
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Ranks that share a batch
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    ranks: u32,
    /// Graphs that are read
    #[arg(long, default_value_t = 100_000)]
    reads: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let config = StoreConfig {
        folder: args.folder.clone(),
        graphs: args.graphs,
        atoms: args.atoms as usize,
        batch: args.batch as usize,
        ranks: args.ranks as usize,
        reads: args.reads,
    };
    let bar = pack::bar();
    let report = bench_store(&config, &|packing| pack::show(&bar, packing))?;
    bar.finish_and_clear();
    if args.json {
        return print_json(&report);
    }
    println!("{}", table(&["store", ""], rows(&report)));
    Ok(())
}

fn rows(report: &StoreReport) -> Vec<Vec<String>> {
    let seconds = |value: f64| format!("{value:.3} s");
    let rows = [
        ("graphs", grouped(report.graphs)),
        ("atoms", grouped(report.atoms)),
        ("shards", bytes(Some(report.shard_bytes))),
        ("index", bytes(Some(report.index_bytes))),
        ("packing", report.pack_seconds.map_or("-".into(), seconds)),
        ("opening", format!("{}, {}", seconds(report.open_seconds), bytes(report.open_bytes))),
        ("survey", seconds(report.survey_seconds)),
        ("order of an epoch", seconds(report.order_seconds)),
        ("batches of an epoch", seconds(report.pack_epoch_seconds)),
        ("sharing of an epoch", seconds(report.share_seconds)),
        ("memory of a survey and a plan", bytes(report.plan_bytes)),
        ("graphs read in a second", rate(report.reads_per_second)),
    ];
    rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
}
