//! Several ranks without the program: two threads of this process, each with half of the optimizer's states, gradients and
//! weights (ZeRO 3).
//!
//!     cargo run --release --example ranks
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use std::sync::Arc;

use isograd::data::formats::Formats;
use isograd::models::Registry;
use isograd::train::{Event, Outcome, config::Config, prepare, train_threads};

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
    // Ranks that are processes call `train_rank`, each with a communicator of its own.
    let mut observer = |event: Event<'_>| {
        if let Event::Validated { .. } = event {
            println!("{event}");
        }
    };
    let data = || prepare(&config, &registry, &Formats::default()).map(Arc::new);
    let outcome = train_threads(&config, &registry, false, &Arc::default(), &mut observer, data)?;
    let Outcome::Finished(finished) = outcome else { return Err("was stopped".into()) };
    for (rank, summary) in finished.summary.train.ranks.iter().enumerate() {
        let held = &summary.held;
        println!("rank {rank}: {} bytes of weights, {} of moments", held.parameters, held.optimizer);
        assert!(held.parameters < 4 * finished.summary.parameters as u64 * 6 / 10, "a rank has about half");
    }
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn std::error::Error>> {
    main()
}
