//! Which ranks a launcher has started: read from the variables it sets, whichever it is.

use std::fmt;

use super::CommError;

/// What has started the ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// Open MPI's mpirun.
    OpenMpi,
    /// A launcher that speaks PMI: MPICH, Intel MPI, Cray PALS (under PBS).
    Pmi,
    /// SLURM's srun.
    Slurm,
    /// torchrun, or whatever sets the same variables.
    Torchrun,
    /// Flags of the command line.
    Flags,
}

impl fmt::Display for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenMpi => "mpirun",
            Self::Pmi => "a PMI launcher",
            Self::Slurm => "srun",
            Self::Torchrun => "torchrun",
            Self::Flags => "the command line",
        })
    }
}

/// This process among those that a launcher has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct World {
    /// This rank, from 0.
    pub rank: usize,
    /// Number of ranks.
    pub size: usize,
    /// This rank among those of its node.
    pub local_rank: usize,
    /// What has started them.
    pub launcher: Launcher,
}

/// Names of rank, size and node-local rank. Variables that a batch script sees too, outside of a parallel
/// step, are not among them: SLURM's SLURM_NTASKS, PBS_NP.
const NAMES: [(Launcher, &str, &str, &[&str]); 4] = [
    (Launcher::OpenMpi, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", &["OMPI_COMM_WORLD_LOCAL_RANK"]),
    (Launcher::Pmi, "PMI_RANK", "PMI_SIZE", &["MPI_LOCALRANKID", "PMI_LOCAL_RANK", "PALS_LOCAL_RANKID"]),
    (Launcher::Slurm, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", &["SLURM_LOCALID"]),
    (Launcher::Torchrun, "RANK", "WORLD_SIZE", &["LOCAL_RANK"]),
];

impl World {
    /// Reads the variables; `None` where no launcher has set any. With several launchers around each other,
    /// as with mpirun within an allocation of SLURM, the innermost rules.
    ///
    /// # Errors
    /// [`CommError::Launch`] if variables contradict themselves.
    pub fn find(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, CommError> {
        for (launcher, rank, size, local) in NAMES {
            let (Some(rank_text), Some(size_text)) = (variable(rank), variable(size)) else { continue };
            let number = |name: &str, text: &str| {
                let wrong = || CommError::Launch(format!("{name} is `{text}`, expected a number"));
                text.trim().parse::<usize>().map_err(|_| wrong())
            };
            let (this, all) = (number(rank, &rank_text)?, number(size, &size_text)?);
            if this >= all {
                return Err(CommError::Launch(format!(
                    "{rank} is {this} and {size} is {all}, expected it to be larger"
                )));
            }
            let local = local.iter().find_map(|name| Some((*name, variable(name)?)));
            let local_rank = local.map_or(Ok(0), |(name, text)| number(name, &text))?;
            return Ok(Some(Self { rank: this, size: all, local_rank, launcher }));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(set: &[(&str, &str)]) -> Result<Option<World>, CommError> {
        World::find(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn launchers_are_told_apart() {
        let world = |rank, size, local_rank, launcher| Ok(Some(World { rank, size, local_rank, launcher }));
        let open_mpi =
            [("OMPI_COMM_WORLD_RANK", "5"), ("OMPI_COMM_WORLD_SIZE", "8"), ("OMPI_COMM_WORLD_LOCAL_RANK", "1")];
        assert_eq!(find(&open_mpi), world(5, 8, 1, Launcher::OpenMpi));
        let intel = [("PMI_RANK", "0"), ("PMI_SIZE", "2"), ("MPI_LOCALRANKID", "0")];
        assert_eq!(find(&intel), world(0, 2, 0, Launcher::Pmi));
        let slurm = [("SLURM_PROCID", "9"), ("SLURM_STEP_NUM_TASKS", "16"), ("SLURM_LOCALID", "1")];
        assert_eq!(find(&slurm), world(9, 16, 1, Launcher::Slurm));
        let torchrun = [("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "3")];
        assert_eq!(find(&torchrun), world(3, 4, 3, Launcher::Torchrun));
        // mpirun in an allocation of SLURM.
        assert_eq!(find(&[slurm.as_slice(), &open_mpi].concat()), world(5, 8, 1, Launcher::OpenMpi));
        assert_eq!(find(&[]), Ok(None));
        // A batch script of SLURM, outside of srun.
        assert_eq!(find(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "16")]), Ok(None));
    }

    #[test]
    fn contradictions_are_refused() {
        let message = |set: &[(&str, &str)]| find(set).unwrap_err().to_string();
        assert!(message(&[("RANK", "4"), ("WORLD_SIZE", "4")]).contains("RANK is 4 and WORLD_SIZE is 4"));
        assert!(message(&[("RANK", "x"), ("WORLD_SIZE", "4")]).contains("RANK is `x`"));
    }
}
