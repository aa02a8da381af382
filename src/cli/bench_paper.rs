//! `isograd bench scaling --paper`: steps on A100s, predicted.

use isograd::backends::message::scratch::Profile;
use isograd::core::bench::{Cluster, Work};
use isograd::core::engine::Recompute;
use isograd::core::model::{BatchShape, MessageKind};
use isograd::core::train::Work as MemoryWork;
use isograd::core::{Error, Result};
use serde::Serialize;

use super::bench_scaling::Args;
use super::print_json;
use super::tables::{bytes, grouped, table};

/// One case.
#[derive(Serialize)]
struct Row {
    gpus: usize,
    messages: &'static str,
    zero: u8,
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
    let model = step.model();
    model.validate().map_err(|(key, message)| Error::Config { place: format!("--{key}"), message })?;
    let parameters = model.parameter_count() as f64;
    let cluster = Cluster::a100();
    let again = |recompute: Recompute| if recompute == Recompute::None { 0.0 } else { 1.0 };
    // An update reads and writes weights and moments: seven passes over memory of 2 TB/s (A100 80GB datasheet).
    let update = 7.0 * 4.0 * parameters / 2e12;
    // Of the products of a fused step a quarter is forward; composed steps do not repeat them on the way back.
    let forward = 0.25 * step.gemm_flops() / args.flops;
    let work = |message: MessageKind, recompute: Recompute| Work {
        forward,
        backward: forward * (if message == MessageKind::Fused { 3.0 } else { 2.0 } + again(recompute)),
        update,
        weights: 4.0 * parameters,
        stages: args.layers + 1,
        recomputes: recompute != Recompute::None,
    };
    let plan = |ranks: usize, zero: u8, message: MessageKind, recompute: Recompute| {
        let [atoms, edges] = [args.nodes, args.nodes * args.degree].map(|count| (ranks * count) as u64);
        let batch = BatchShape { graphs: ranks as u64, atoms, edges };
        let profile = Profile::USUAL_GPU;
        let (ranks, model) = (ranks as u64, model.clone());
        let work = MemoryWork {
            model,
            message,
            profile,
            batch,
            parts: 1,
            accumulate: 1,
            waiting: 0,
            average: false,
            ranks,
            zero,
        };
        work.plan(recompute).total
    };
    let variants = [
        ("composed", MessageKind::Composed, Recompute::None),
        ("composed, layer", MessageKind::Composed, Recompute::Layer),
        ("fused", MessageKind::Fused, Recompute::None),
        ("fused, layer", MessageKind::Fused, Recompute::Layer),
    ];
    let mut rows = Vec::new();
    for &gpus in &args.gpus {
        let base = cluster.predict(&work(MessageKind::Composed, Recompute::None), gpus, 0).seconds;
        let base_bytes = plan(gpus, 0, MessageKind::Composed, Recompute::None);
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
                    efficiency: cluster.predict(&work, 1, 0).seconds / found.seconds,
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
