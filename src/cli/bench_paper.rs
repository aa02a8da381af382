//! `isograd bench scaling --paper`: steps on A100s, predicted.

use isograd::engine::Recompute;
use isograd::engine::zero::Zero;
use isograd::lab::{Cluster, StepModel};
use isograd::models::GraphSizes;
use isograd::ops::profile::Profile;
use isograd::ops::value::EdgeWork;
use isograd::train::MemoryWorkload;
use isograd::train::{Error, Result};
use serde::Serialize;

use super::bench_scaling::Args;
use super::print_json;
use super::tables::{bytes, grouped, table};

/// One case.
#[derive(Serialize)]
struct Row {
    gpus: usize,
    messages: &'static str,
    zero: Zero,
    seconds: f64,
    exposed: f64,
    sent_bytes: f64,
    planned_bytes: u64,
    time_share: f64,
    memory_share: f64,
    efficiency: f64,
}

/// Steps on A100s, from operations and bytes alone.
pub(super) fn run(args: &Args) -> Result<()> {
    let step = args.step(args.nodes);
    let model = step.model().map_err(|(key, message)| Error::Config { place: format!("--{key}"), message })?;
    let parameters = model.layout(1).count() as f64;
    let cluster = Cluster::a100();
    let again = |recompute: Recompute| if recompute == Recompute::None { 0.0 } else { 1.0 };
    // An update reads and writes weights and moments: seven passes over memory of 2 TB/s (A100 80GB datasheet).
    let update = 7.0 * 4.0 * parameters / 2e12;
    // Of the products of a fused step a quarter is forward; composed steps do not repeat them on the way back.
    let unknown = || Error::Internal(format!("the operations of a step of kind {} are not known", step.kind));
    let forward = 0.25 * step.gemm_flops().ok_or_else(unknown)? / args.flops;
    let work = |message: EdgeWork, recompute: Recompute| StepModel {
        forward,
        backward: forward * (if message == EdgeWork::Fused { 3.0 } else { 2.0 } + again(recompute)),
        update,
        weights: 4.0 * parameters,
        blocks: args.layers + 1,
        recomputes: recompute != Recompute::None,
    };
    let plan = |ranks: usize, zero: Zero, message: EdgeWork, recompute: Recompute| {
        let [atoms, edges] = [args.nodes, args.nodes * args.degree].map(|count| (ranks * count) as u64);
        let batch = GraphSizes { graphs: ranks as u64, nodes: atoms, edges };
        let model = model.clone().with_edge_work(message);
        let work = MemoryWorkload::of_step(model, batch, Profile::USUAL_GPU);
        // An EGNN reads no numbers, so there is a plan.
        MemoryWorkload { ranks: ranks as u64, zero, ..work }.plan(recompute).map_or(0, |plan| plan.total)
    };
    let variants = [
        ("composed", EdgeWork::Composed, Recompute::None),
        ("composed, layer", EdgeWork::Composed, Recompute::Layer),
        ("fused", EdgeWork::Fused, Recompute::None),
        ("fused, layer", EdgeWork::Fused, Recompute::Layer),
    ];
    let mut rows = Vec::new();
    for &gpus in &args.gpus {
        let base = cluster.predict(&work(EdgeWork::Composed, Recompute::None), gpus, Zero::Off).seconds;
        let base_bytes = plan(gpus, Zero::Off, EdgeWork::Composed, Recompute::None);
        for (messages, message, recompute) in variants {
            for &zero in &args.zero {
                let work = work(message, recompute);
                let found = cluster.predict(&work, gpus, zero);
                let planned_bytes = plan(gpus, zero, message, recompute);
                rows.push(Row {
                    gpus,
                    messages,
                    zero,
                    seconds: found.seconds,
                    exposed: found.exposed,
                    sent_bytes: found.sent,
                    planned_bytes,
                    time_share: found.seconds / base,
                    memory_share: planned_bytes as f64 / base_bytes as f64,
                    efficiency: cluster.predict(&work, 1, Zero::Off).seconds / found.seconds,
                });
            }
        }
    }
    if args.json {
        return print_json(&rows);
    }
    println!(
        "{} parameters, {} atoms and {} edges on each GPU, {:.1} TFLOP/s; nodes of {} with {:.0} GB/s within and {:.0} GB/s \
         between them for each GPU. Predicted, not measured.",
        grouped(parameters as usize),
        grouped(args.nodes),
        grouped(args.nodes * args.degree),
        1e-12 * args.flops,
        cluster.ranks_per_node,
        1e-9 * cluster.link,
        1e-9 * cluster.network,
    );
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let row = |row: &Row| {
        vec![
            grouped(row.gpus),
            row.messages.into(),
            row.zero.to_string(),
            format!("{:.3} s", row.seconds),
            percent(row.time_share),
            format!("{:.3} s", row.exposed),
            bytes(Some(row.sent_bytes as u64)),
            bytes(Some(row.planned_bytes)),
            percent(row.memory_share),
            percent(row.efficiency),
        ]
    };
    let header = [
        "GPUs",
        "messages",
        "ZeRO",
        "step",
        "of composed",
        "exposed",
        "sent",
        "memory",
        "of composed",
        "weak efficiency",
    ];
    println!("{}", table(&header, rows.iter().map(row).collect()));
    Ok(())
}
