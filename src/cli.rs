//! The command line: one file per subcommand.

mod audit;
mod bench;
mod bench_paper;
mod bench_recompute;
mod bench_scaling;
mod bench_simulate;
mod bench_store;
mod check;
mod committee;
mod compare;
mod convert;
mod data;
mod devices;
mod eval;
mod eval_committee;
mod info;
mod init;
mod labels;
mod memory;
mod pack;
mod pipe;
mod plan;
mod predict;
mod processes;
mod progress;
mod ranks;
mod tables;
mod train;
mod vibrations;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use isograd::ops::memory::CountingAllocator;
use isograd::train::Error;

/// Trains E(n)-equivariant graph neural networks on atomistic data.
#[derive(Parser)]
#[command(
    name = "isograd",
    version,
    about,
    after_help = "Exit codes: 0 done, 1 the work failed, 2 the input was wrong."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a config that fits structure files
    Init(init::Args),
    /// Train a potential, or a model of anything else, as a config file says, or on structure files
    Train(train::Args),
    /// How much memory training will take, and what would fit
    Plan(plan::Args),
    /// Errors of a trained model on labelled structures
    Eval(eval::Args),
    /// Runs beside each other: what they came to, and where their configs differ
    Compare(compare::Args),
    /// Prove that a trained model is equivariant
    Check(check::Args),
    /// Energies and forces of structures, or what else the model predicts, written as extended XYZ
    Predict(predict::Args),
    /// Harmonic frequencies of a relaxed structure
    Vibrations(vibrations::Args),
    /// Which devices this machine has, and why one is not available
    Devices(devices::Args),
    /// Measure speed and memory
    #[command(subcommand)]
    Bench(bench::Command),
    /// Look at structure files
    #[command(subcommand)]
    Data(data::Command),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Parses the arguments, runs the command, and turns errors into messages and exit codes.
pub(crate) fn main() -> ExitCode {
    CountingAllocator::on_exhaustion(memory::exhausted);
    pipe::end_with_reader();
    let command = Cli::parse().command;
    let result = memory::guarded(|| match command {
        Command::Init(args) => init::run(args),
        Command::Train(args) => train::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Compare(args) => compare::run(&args),
        Command::Check(args) => check::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Vibrations(args) => vibrations::run(args),
        Command::Devices(args) => devices::run(&args),
        Command::Bench(command) => bench::run(command),
        Command::Data(command) => data::run(command),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "isograd", &mut std::io::stdout());
            Ok(())
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ranks::print_error(&error);
            ExitCode::from(if error.is_input() { 2 } else { 1 })
        }
    }
}

/// Prints one JSON object.
fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Internal(error.to_string()))?;
    println!("{text}");
    Ok(())
}
