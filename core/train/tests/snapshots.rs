//! Snapshots of an optimizer that remembers less of some parameters than of others.

use std::sync::Arc;
use std::time::Duration;

use burn_flex::Flex;
use isograd_comm::{Communicator, Solo, Staged, spawn};
use isograd_engine::zero::{Sharded, Train, Zero};
use isograd_engine::{Error, Init, Layout, OptimizerConfig, OptimizerKind, Spec, WeightSource};
use isograd_train::run::{Course, State, load_latest, save_snapshot};

/// A matrix, of which the first of two ranks owns a half and nothing else, and a vector.
fn layout(ranks: usize) -> Layout {
    let matrix = Spec { matrices: Some([8, 8]), ..Spec::new("matrix", vec![8, 8], Init::Uniform(1.0)) };
    Layout::new(vec![vec![matrix, Spec::new("vector", vec![8], Init::Uniform(1.0))]], ranks)
}

fn start(comm: Arc<dyn Communicator<Flex>>, seed: u64, zero: Zero) -> Sharded<Flex> {
    let optimizer = OptimizerConfig { kind: OptimizerKind::Muon, ..OptimizerConfig::default() };
    let train = Train { optimizer, ema_decay: 0.5, zero };
    Sharded::new(layout(comm.size()), seed, comm, &train, &Default::default())
}

/// A step against gradients that are the weights themselves; returns all weights.
fn step(sharded: &mut Sharded<Flex>, number: usize) -> Vec<f32> {
    let share = 1.0 / sharded.layout().ranks() as f64;
    let walk = |weights: &(dyn WeightSource<Flex> + Sync), sink: &mut (dyn isograd_engine::Sink<Flex> + Send)| {
        let own = weights.weights(0)?.into_iter().map(|values| values.mul_scalar(share)).collect();
        sink.block(0, own);
        Ok(())
    };
    let ((), gradients) = sharded.gradients::<_, Error>(1, walk).unwrap();
    sharded.update(number, 0.1, gradients, 1.0).unwrap();
    let all = sharded.latest().block(0).unwrap();
    all.into_iter().flat_map(|values| values.into_data().to_vec::<f32>().unwrap()).collect()
}

#[test]
fn a_rank_that_owns_nothing_but_matrices_has_no_second_moments() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = folder.path().join("snapshots");
    let mut whole = start(Arc::new(Solo), 1, Zero::Off);
    let expected: Vec<Vec<f32>> = (1..=4).map(|number| step(&mut whole, number)).collect();

    let written = spawn(2, Duration::from_secs(60), |transport| {
        let comm: Arc<dyn Communicator<Flex>> = Arc::new(Staged::<Flex>::start(move || Ok(transport)).unwrap());
        let mut sharded = start(comm.clone(), 1, Zero::States);
        let found: Vec<Vec<f32>> = (1..=2).map(|number| step(&mut sharded, number)).collect();
        let mut state = State::new(Course::default());
        state.step = 2;
        save_snapshot(&state, &sharded, &*comm, &snapshots, 1).unwrap();
        found
    });
    for found in written {
        compare(&found, &expected[..2]);
    }
    // Other weights, all of which must be replaced, on one rank and on two.
    let read = |comm: Arc<dyn Communicator<Flex>>, zero| {
        let mut sharded = start(comm.clone(), 2, zero);
        let state =
            load_latest(&snapshots, &mut sharded, &*comm, &Course::default(), &[], &Default::default()).unwrap();
        assert_eq!(state.unwrap().step, 2);
        (3..=4).map(|number| step(&mut sharded, number)).collect::<Vec<_>>()
    };
    compare(&read(Arc::new(Solo), Zero::Off), &expected[2..]);
    for zero in [Zero::States, Zero::Gradients] {
        let all = spawn(2, Duration::from_secs(60), |transport| {
            read(Arc::new(Staged::<Flex>::start(move || Ok(transport)).unwrap()), zero)
        });
        all.iter().for_each(|found| compare(found, &expected[2..]));
    }
}

fn compare(found: &[Vec<f32>], expected: &[Vec<f32>]) {
    for (found, expected) in found.iter().zip(expected) {
        let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(found.len() == expected.len() && worst < 1e-6, "{worst:e}");
    }
}
