//! Flags that say which ranks there are, where no launcher does.

use std::path::PathBuf;

use isograd::comm::WorldFlags;

#[derive(clap::Args)]
#[command(next_help_heading = "Ranks that are processes (found from mpirun, srun and torchrun without flags)")]
pub(crate) struct ProcessArgs {
    /// Rank of this process, from 0
    #[arg(long, requires_all = ["world_size", "rendezvous"])]
    rank: Option<usize>,
    /// Number of processes
    #[arg(long, requires = "rank")]
    world_size: Option<usize>,
    /// Rank among the processes of this machine, which chooses its GPU [default: 0, or the launcher's]
    #[arg(long)]
    local_rank: Option<usize>,
    /// Join ranks by TCP, without MPI: the host of rank 0, and a free port there
    #[arg(long, value_name = "HOST:PORT")]
    rendezvous: Option<String>,
    /// A secret of all ranks joined by TCP, as made by `openssl rand -hex 32`; or the variable ISOGRAD_JOB_KEY has it. Needed
    /// unless they meet at a loopback address
    #[arg(long, value_name = "FILE")]
    job_key: Option<PathBuf>,
}

impl ProcessArgs {
    pub(crate) fn given(&self) -> WorldFlags {
        WorldFlags {
            rank: self.rank.zip(self.world_size),
            local_rank: self.local_rank,
            rendezvous: self.rendezvous.clone(),
            job_key: self.job_key.clone(),
        }
    }
}
