//! However many ranks share the work, and whatever they share of the memory, training is the same.
#![allow(clippy::print_stdout, reason = "prints what was found")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use burn::backend::Autodiff;
use burn_flex::Flex;
use burn_ndarray::NdArray;
use isograd_backends::comm::{Communicator, Solo, Staged, spawn};
use isograd_backends::message::MessageBackend;
use isograd_core::config::TrainConfig;
use isograd_core::engine::Recompute;
use isograd_core::graph::{HostBatch, HostGraph, LabelCounts};
use isograd_core::loss::LossConfig;
use isograd_core::model::{self, Egnn, EgnnConfig};
use isograd_core::shard::{HeldBytes, Sharded, View, agree};
use isograd_core::train::{Step, clip_scale};
use isograd_data::{Sizes, cut, share};
use isograd_structure::{Geometry, neighbour_list};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const STEPS: usize = 50;

fn graphs(config: &EgnnConfig) -> Vec<HostGraph> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut graph = |k: usize| {
        let positions: Vec<[f64; 3]> =
            (0..3 + k).map(|_| std::array::from_fn(|_| rng.random_range(0.0..3.0))).collect();
        let species = (0..3 + k).map(|_| rng.random_range(0..config.elements.len() as i32)).collect();
        let forces = positions.iter().map(|x| x.map(|x| (2.0 * x).sin())).collect();
        let edges = neighbour_list(&Geometry { positions, ..Default::default() }, config.cutoff).unwrap();
        // Some without labels, so that ranks have different numbers of them.
        let energy = (!k.is_multiple_of(3)).then_some(k as f64);
        HostGraph { species, edges, energy, forces: (!k.is_multiple_of(4)).then_some(forces), head: k % config.heads }
    };
    (0..8).map(&mut graph).collect()
}

/// What is trained: batches of seven graphs and of one, which is too few for all ranks; two batches a step.
const BATCHES: [&[usize]; 4] = [&[0, 1, 2, 3, 4, 5, 6], &[7], &[3, 1, 7], &[2, 5]];

struct Ran {
    losses: Vec<f64>,
    weights: Vec<Vec<f64>>,
    averages: Vec<Vec<f64>>,
    held: HeldBytes,
}

/// Trains as one rank.
fn train<B: MessageBackend>(
    config: &EgnnConfig,
    comm: Arc<dyn Communicator<B>>,
    zero: u8,
    recompute: Recompute,
    parts: usize,
) -> Ran {
    let device = Default::default();
    let graphs = graphs(config);
    let sizes: Vec<Sizes> =
        graphs.iter().map(|graph| Sizes { atoms: graph.species.len(), edges: graph.edges.len() }).collect();
    let model = Egnn::<Autodiff<B>>::new(config, 5, &device);
    let settings = TrainConfig { ema_decay: 0.9, ..Default::default() };
    let mut sharded = Sharded::new(model, comm.clone(), zero, &settings, &device);
    let segments = recompute.segments(config.layers + 1);
    let batch = |members: &[usize]| {
        let chosen: Vec<HostGraph> = members.iter().map(|&k| graphs[k].clone()).collect();
        HostBatch::new(members, &chosen)
    };
    let mut losses = Vec::new();
    for step in 1..=STEPS {
        let pair = &BATCHES[2 * (step % 2)..][..2];
        let counts: LabelCounts = pair.iter().map(|members| batch(members).label_counts()).sum();
        let own = |members: &&[usize]| {
            let own = share(members, &sizes, comm.size()).swap_remove(comm.rank());
            cut(&own, &sizes, parts).iter().map(|part| batch(part)).collect::<Vec<HostBatch>>()
        };
        let batches: Vec<Vec<HostBatch>> = pair.iter().map(own).collect();
        let loss = LossConfig::default();
        let work = Step { loss: &loss, batches: &batches, counts, segments: &segments };
        let (loss, gradients) = sharded.gradients(&work).unwrap();
        let all = agree::numbers(&*comm, [loss, sharded.squares(&gradients)]).unwrap();
        let [loss, squares] = all.iter().fold([0.0; 2], |sum, own| [sum[0] + own[0], sum[1] + own[1]]);
        // A limit that clips some steps and not others.
        sharded.update(step, 2e-3, gradients, clip_scale(squares.sqrt(), 8.0)).unwrap();
        losses.push(loss);
    }
    let values = |view: View<'_, B>| -> Vec<Vec<f64>> {
        let numbers = |values: burn::tensor::Tensor<B, 1>| values.into_data().iter::<f64>().collect();
        (0..view.layout().stages()).flat_map(|stage| view.stage(stage).unwrap()).map(numbers).collect()
    };
    let held = sharded.held();
    let (weights, averages) = (values(sharded.latest()), values(sharded.averaged().unwrap()));
    Ran { losses, weights, averages, held }
}

/// The largest difference, relative to the largest value.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    let size = b.iter().fold(0.0f64, |size, value| size.max(value.abs()));
    let largest = a.iter().zip(b).fold(0.0f64, |largest, (a, b)| largest.max((a - b).abs()));
    if size > 0.0 { largest / size } else { largest }
}

fn same_on_any_number_of_ranks<B: MessageBackend>(name: &str, config: &EgnnConfig, tolerance: f64) {
    let expected = train::<B>(config, Arc::new(Solo), 0, Recompute::None, 1);
    assert!(
        expected.losses[STEPS - 2] < 0.9 * expected.losses[0],
        "{name}: nothing was learned, so nothing was tested"
    );
    let mut worst = 0.0f64;
    for ranks in 1..=4 {
        for zero in 0..=3 {
            for (recompute, parts) in [(Recompute::None, 1), (Recompute::Layer, 1), (Recompute::Every(2), 2)] {
                let parts = if zero == 3 { 1 } else { parts };
                let all = spawn(ranks, Duration::from_secs(120), |transport| {
                    let comm = Staged::<B>::start(move || Ok(transport)).unwrap();
                    train(config, Arc::new(comm), zero, recompute, parts)
                });
                for found in &all {
                    // All ranks know the same to the bit.
                    assert_eq!(found.losses, all[0].losses);
                    assert!(found.weights == all[0].weights && found.averages == all[0].averages);
                }
                for (step, (a, b)) in all[0].losses.iter().zip(&expected.losses).enumerate() {
                    let error = (a - b).abs() / b;
                    worst = worst.max(error);
                    assert!(
                        error <= tolerance,
                        "{name}, R = {ranks}, stage {zero}, {recompute}, step {step}: {a} and {b}"
                    );
                }
                let pairs = all[0].weights.iter().zip(&expected.weights);
                for (a, b) in pairs.chain(all[0].averages.iter().zip(&expected.averages)) {
                    assert!(difference(a, b) < 100.0 * tolerance, "{name}, R = {ranks}, stage {zero}, {recompute}");
                }
            }
        }
    }
    println!("{name}: losses differ by {worst:.1e} at most");
}

#[test]
fn losses_are_the_same_in_double_precision() {
    for (name, config) in common::configs() {
        if ["atomistic", "two heads"].contains(&name) {
            same_on_any_number_of_ranks::<NdArray<f64>>(name, &config, 1e-6);
        }
    }
}

#[test]
fn losses_are_the_same_in_single_precision() {
    for (name, config) in common::configs() {
        if ["atomistic", "moving", "everything"].contains(&name) {
            same_on_any_number_of_ranks::<Flex>(name, &config, 1e-5);
        }
    }
}

#[test]
fn each_rank_holds_its_share() {
    let config = EgnnConfig { width: 32, ..common::config() };
    let held = |ranks: usize, zero: u8| -> Vec<HeldBytes> {
        spawn(ranks, Duration::from_secs(120), |transport| {
            let comm = Staged::<Flex>::start(move || Ok(transport)).unwrap();
            train(&config, Arc::new(comm), zero, Recompute::Layer, 1).held
        })
    };
    let all = held(1, 0)[0];
    let parameters = 4 * model::count(&Egnn::<Flex>::new(&config, 0, &Default::default())) as u64;
    let expected = HeldBytes { parameters, gradients: parameters, optimizer: 2 * parameters, ema: parameters };
    assert_eq!(all, expected);
    for ranks in 2..=4 {
        for zero in 0..=3 {
            for own in held(ranks, zero) {
                let check = |name: &str, own: u64, all: u64, is_shared: bool| {
                    let expected = if is_shared { all as f64 / ranks as f64 } else { all as f64 };
                    let error = (own as f64 / expected - 1.0).abs();
                    assert!(error < 0.02, "{name}, R = {ranks}, stage {zero}: {own} bytes of {all}");
                };
                check("optimizer", own.optimizer, all.optimizer, zero >= 1);
                check("average", own.ema, all.ema, zero >= 1);
                check("gradients", own.gradients, all.gradients, zero >= 1);
                check("parameters", own.parameters, all.parameters, zero >= 3);
            }
        }
    }
}

/// Runs the test below as R processes.
#[test]
#[cfg(feature = "mpi")]
fn losses_are_the_same_under_mpirun() {
    for (ranks, precision) in [(2, "SINGLE"), (2, "DOUBLE"), (3, "SINGLE"), (3, "DOUBLE")] {
        let mut mpirun = std::process::Command::new("mpirun");
        mpirun.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        // MPI starts once in a process: one precision each.
        mpirun.env(format!("ISOGRAD_TEST_{precision}"), "1");
        mpirun.args(["--oversubscribe", "-n", &ranks.to_string()]).arg(std::env::current_exe().unwrap());
        let output = match mpirun.args(["--exact", "rank_under_mpirun", "--ignored", "--nocapture"]).output() {
            Err(error) if std::env::var_os("ISOGRAD_REQUIRE_MPI").is_none() => {
                println!("SKIPPED: mpirun: {error}");
                return;
            }
            output => output.unwrap(),
        };
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{text}");
        assert_eq!(text.matches("differ by").count(), ranks, "{text}");
        println!("{}", text.lines().find(|line| line.contains("differ by")).unwrap());
    }
}

/// One of the processes.
#[test]
#[ignore = "only under mpirun"]
#[cfg(feature = "mpi")]
fn rank_under_mpirun() {
    fn check<B: MessageBackend>(name: &str, comm: Arc<dyn Communicator<B>>, tolerance: f64) {
        let config = EgnnConfig { coordinate_updates: true, ..common::config() };
        let expected = train::<B>(&config, Arc::new(Solo), 0, Recompute::None, 1);
        let mut worst = 0.0f64;
        for zero in 0..=3 {
            for recompute in [Recompute::None, Recompute::Layer] {
                let found = train(&config, comm.clone(), zero, recompute, 1);
                for (step, (a, b)) in found.losses.iter().zip(&expected.losses).enumerate() {
                    worst = worst.max((a - b).abs() / b);
                    assert!(worst <= tolerance, "{name}, stage {zero}, {recompute}, step {step}: {a} and {b}");
                }
            }
        }
        println!("{name}, R = {}: losses differ by {worst:.1e} at most", comm.size());
    }
    use isograd_backends::comm::{Given, Mpi, World};
    use isograd_backends::kernels::KernelBackend;
    /// The same processes, for tensors of either backend.
    fn with<B: KernelBackend>(world: World) -> Arc<dyn Communicator<B>> {
        Arc::new(Staged::<B>::start(move || Mpi::connect(&world, Duration::from_secs(120))).unwrap())
    }
    let world = World::find(&Given::default(), |name| std::env::var(name).ok()).unwrap().unwrap();
    if std::env::var_os("ISOGRAD_TEST_SINGLE").is_some() {
        check::<Flex>("single precision", with(world), 1e-5);
    } else {
        check::<NdArray<f64>>("double precision", with(world), 1e-6);
    }
}
