//! Several ranks without the program: two threads of this process, each with half of the optimizer's states, gradients and
//! weights (ZeRO 3).
//!
//!     cargo run --release --example ranks
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use std::sync::Arc;
use std::time::Duration;

use isograd::backends::comm::{Communicator, Staged, spawn};
use isograd::backends::device::CpuBackend;
use isograd::models::Registry;
use isograd::train::{Error, Event, Outcome, RankContext, config::Config, prepare, train_rank};

const CONFIG: &str = r#"
[data]
files = ["examples/data/molecules.extxyz.xz"]
[model]
width = 16
layers = 2
[train]
epochs = 1
[parallel]
ranks = 2
zero = 3
recompute = "layer"
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let out = format!("run.out={:?}", folder.path().join("run"));
    let config = Config::parse(CONFIG, &[out], "this example")?;
    let registry = Registry::default();
    // The data are read once; ranks that are processes would each read them.
    let data = Arc::new(prepare(&config, &registry)?);
    let ended = spawn(config.parallel.ranks, Duration::from_secs(60), |transport| {
        let comm = Arc::new(Staged::<CpuBackend>::start(move || Ok(transport))?);
        let first = comm.rank() == 0;
        let ranks = RankContext::<CpuBackend> { comm, ..RankContext::alone() };
        let mut observer = |event: Event<'_>| match event {
            Event::Validated { .. } if first => println!("{event}"),
            _ => (),
        };
        train_rank(&config, false, &registry, &ranks, &Default::default(), &mut observer, || Ok(data.clone()))
    });
    for outcome in ended.into_iter().collect::<Result<Vec<_>, Error>>()? {
        let Outcome::Finished(finished) = outcome else { return Err("was stopped".into()) };
        if finished.details.is_none() {
            continue;
        }
        for (rank, summary) in finished.summary.train.ranks.iter().enumerate() {
            let held = &summary.held;
            println!("rank {rank}: {} bytes of weights, {} of moments", held.parameters, held.optimizer);
            assert!(held.parameters < 4 * finished.summary.parameters as u64 * 6 / 10, "a rank has about half");
        }
    }
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn std::error::Error>> {
    main()
}
