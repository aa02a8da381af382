//! `isograd data`.

use isograd::train::Result;

use super::{audit, convert, info, pack};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Find what is wrong with data: copies, leaks, contradicting labels, signs and units
    Audit(audit::Args),
    /// Write structure files of any format as extended XYZ
    Convert(convert::Args),
    /// What structure files, or the sources of a config, hold
    Info(info::Args),
    /// Pack structure files of any size into a store that training maps into memory
    Pack(pack::Args),
}

pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Audit(args) => audit::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Pack(args) => pack::run(&args),
    }
}
