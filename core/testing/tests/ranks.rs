//! What ranks hold, and ranks that are processes.
#![allow(clippy::print_stdout, reason = "prints what was found")]

use std::sync::Arc;

use isograd_comm::Solo;
use isograd_engine::zero::{HeldBytes, Zero};
use isograd_engine::{OptimizerKind, Recompute, Spec};
use isograd_models::Egnn;
use isograd_ops::device::CpuBackend;
use isograd_testing::Subject;
use isograd_testing::ranks::{Cut, train, train_threads};

#[test]
fn each_rank_holds_its_share() {
    let subject = Subject::new("wide", Egnn { width: 32, layers: 3, cutoff: 3.0, ..Egnn::default() });
    let layout = subject.model().layout(1);
    let parameters = 4 * layout.count() as u64;
    let matrices = layout.parameters().iter().filter(|spec| spec.matrices.is_some()).map(Spec::size).sum::<usize>();
    for optimizer in [OptimizerKind::Adamw, OptimizerKind::Muon] {
        let way = |zero| Cut { zero, optimizer, recompute: Recompute::Layer, parts: 1, steps: 3 };
        let all = train::<CpuBackend>(&subject, Arc::new(Solo), way(Zero::Off)).held;
        let second = if optimizer == OptimizerKind::Muon { parameters - 4 * matrices as u64 } else { parameters };
        assert!(second > 0);
        let expected = HeldBytes { parameters, gradients: parameters, optimizer: parameters + second, ema: parameters };
        assert_eq!(all, expected);
        shares(&subject, all, way);
    }
}

/// What each of several ranks holds, beside what one does.
fn shares(subject: &Subject, all: HeldBytes, way: impl Fn(Zero) -> Cut) {
    for ranks in 2..=4 {
        for zero in Zero::ALL {
            for own in train_threads::<CpuBackend>(subject, ranks, way(zero)) {
                let check = |name: &str, own: u64, all: u64, is_shared: bool| {
                    let expected = if is_shared { all as f64 / ranks as f64 } else { all as f64 };
                    let error = (own as f64 / expected - 1.0).abs();
                    assert!(error < 0.02, "{name}, R = {ranks}, ZeRO {zero}: {own} bytes of {all}");
                };
                let own = own.held;
                check("optimizer", own.optimizer, all.optimizer, zero.shards_states());
                check("average", own.ema, all.ema, zero.shards_states());
                check("gradients", own.gradients, all.gradients, zero.shards_states());
                check("parameters", own.parameters, all.parameters, zero.shards_weights());
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
    use isograd_comm::{Communicator, Mpi, Staged, World, WorldFlags};
    use isograd_models::{ModelBackend, PaiNN};
    use isograd_ops::device::F64Backend;
    use isograd_testing::ranks::compare;
    use std::time::Duration;

    fn check<B: ModelBackend>(name: &str, world: World, tolerance: f64) {
        let comm = Staged::<B>::start(move || Mpi::connect(&world, Duration::from_secs(120))).unwrap();
        let comm: Arc<dyn Communicator<B>> = Arc::new(comm);
        let moving = Egnn { width: 8, layers: 3, cutoff: 3.0, coordinate_updates: true, ..Egnn::default() };
        let painn = PaiNN { width: 8, layers: 2, cutoff: 3.0, ..PaiNN::default() };
        let mut worst = 0.0f64;
        for subject in [Subject::new("egnn", moving), Subject::new("painn", painn)] {
            for (optimizer, recompute) in
                [(OptimizerKind::Muon, Recompute::None), (OptimizerKind::Adamw, Recompute::Layer)]
            {
                let expected = train::<B>(&subject, Arc::new(Solo), Cut::none(optimizer, 30));
                for zero in Zero::ALL {
                    let found = train(&subject, comm.clone(), Cut { zero, optimizer, recompute, parts: 1, steps: 30 });
                    let name = format!("{name}, {}, ZeRO {zero}, {recompute}", subject.name);
                    worst = worst.max(compare(&name, &found, &expected, tolerance));
                }
            }
        }
        println!("{name}, R = {}: losses differ by {worst:.1e} at most", comm.size());
    }
    let world = World::find(&WorldFlags::default(), |name| std::env::var(name).ok()).unwrap().unwrap();
    if std::env::var_os("ISOGRAD_TEST_SINGLE").is_some() {
        check::<CpuBackend>("single precision", world, 1e-5);
    } else {
        check::<F64Backend>("double precision", world, 1e-9);
    }
}
