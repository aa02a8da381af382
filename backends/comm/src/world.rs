//! Which ranks there are: read from the variables that launchers set, whichever it is, or from flags.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::key::REMEDY;
use super::{CommError, JobKey};

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
    /// pbsdsh of PBS.
    Pbs,
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
            Self::Pbs => "pbsdsh",
            Self::Flags => "the command line",
        })
    }
}

/// This process among those that were started together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// This rank, from 0.
    pub rank: usize,
    /// Number of ranks.
    pub size: usize,
    /// This rank among those of its node.
    pub local_rank: usize,
    /// What has started them.
    pub launcher: Launcher,
    /// Where rank 0 waits for the others, as HOST:PORT, if ranks are to be joined by TCP instead of MPI.
    pub rendezvous: Option<String>,
    /// What ranks that are joined by TCP show each other that they know. Without it they take each other's word, which they do
    /// only where the rendezvous is one for this machine alone.
    pub key: Option<JobKey>,
}

/// What is said of the ranks on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorldFlags {
    /// This rank and the number of ranks, instead of a launcher's.
    pub rank: Option<(usize, usize)>,
    /// This rank among those of its node, instead of a launcher's.
    pub local_rank: Option<usize>,
    /// Where rank 0 waits for the others, as HOST:PORT.
    pub rendezvous: Option<String>,
    /// A file with the secret that ranks share, instead of the variable `ISOGRAD_JOB_KEY`.
    pub job_key: Option<PathBuf>,
}

/// The variable that has the secret itself.
const KEY_VARIABLE: &str = "ISOGRAD_JOB_KEY";

/// Names of rank, size and node-local rank. Variables that a batch script sees too, outside of a parallel
/// step, are not among them (SLURM_NTASKS, PBS_NP), except those that count only where a rendezvous is given.
const NAMES: [(Launcher, &str, &str, &[&str]); 5] = [
    (Launcher::OpenMpi, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", &["OMPI_COMM_WORLD_LOCAL_RANK"]),
    (Launcher::Pmi, "PMI_RANK", "PMI_SIZE", &["MPI_LOCALRANKID", "PMI_LOCAL_RANK", "PALS_LOCAL_RANKID"]),
    (Launcher::Slurm, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", &["SLURM_LOCALID"]),
    (Launcher::Torchrun, "RANK", "WORLD_SIZE", &["LOCAL_RANK"]),
    (Launcher::Pbs, "PBS_VNODENUM", "PBS_NP", &[]),
];

impl World {
    /// Reads the variables of launchers, unless the command line says what they would; `None` where there are no
    /// ranks. With several launchers around each other, as with mpirun within an allocation of SLURM, the
    /// innermost rules.
    ///
    /// # Errors
    /// [`CommError::Launch`] if variables or flags contradict themselves or say too little, or a job key is wrong, or missing
    /// where ranks meet at an address that is not this machine's alone.
    pub fn find(given: &WorldFlags, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, CommError> {
        let mut world = match given.rank {
            Some((rank, size)) => {
                Some(Self { rank, size, local_rank: 0, launcher: Launcher::Flags, rendezvous: None, key: None })
            }
            None => launched(given.rendezvous.is_some(), &variable)?,
        };
        match &mut world {
            None if given.rendezvous.is_some() => {
                return launch("--rendezvous: no launcher has said which rank this is; add --rank and --world-size");
            }
            None if given.local_rank.is_some() => return launch("--local-rank: there is only one rank"),
            None if given.job_key.is_some() => return launch("--job-key: there is only one rank"),
            None => {}
            Some(world) => {
                world.local_rank = given.local_rank.unwrap_or(world.local_rank);
                world.rendezvous = given.rendezvous.clone().or(world.rendezvous.take());
                world.check()?;
                world.key = world.find_key(given, variable)?;
                world.check_key()?;
            }
        }
        Ok(world)
    }

    fn find_key(
        &self,
        given: &WorldFlags,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<JobKey>, CommError> {
        match (&given.job_key, &self.rendezvous) {
            (None, None) => Ok(None),
            (Some(_), None) => launch(
                "--job-key: these ranks are joined by MPI, which asks for no key; leave it out, or add --rendezvous \
                 HOST:PORT to join them by TCP",
            ),
            (Some(file), Some(_)) => JobKey::read(file).map(Some),
            (None, Some(_)) => variable(KEY_VARIABLE)
                .map(|secret| JobKey::new(secret.as_bytes()))
                .transpose()
                .map_err(|error| CommError::Launch(format!("{KEY_VARIABLE}: {error}"))),
        }
    }

    /// Whether ranks meet at an address that only this machine has.
    pub(super) fn is_local(&self) -> bool {
        let place = self.rendezvous.as_deref().unwrap_or_default();
        let host = place.rsplit_once(':').map_or("", |(host, _)| host.trim_matches(['[', ']']));
        host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
    }

    /// Ranks that others can reach need a key.
    pub(super) fn check_key(&self) -> Result<(), CommError> {
        match &self.rendezvous {
            Some(place) if self.size > 1 && self.key.is_none() && !self.is_local() => launch(&format!(
                "ranks that meet at {place} can be reached by others, who could pose as one of them: {REMEDY}, on a file system that \
                 all ranks see, and add --job-key job.key to each, or set {KEY_VARIABLE} to the same secret for all"
            )),
            _ => Ok(()),
        }
    }

    fn check(&self) -> Result<(), CommError> {
        if self.rank >= self.size {
            return launch(&format!(
                "rank {} of {}: ranks count from 0, up to the number of them",
                self.rank, self.size
            ));
        }
        let own = matches!(self.launcher, Launcher::Flags | Launcher::Torchrun);
        if self.size > 1 && own && self.rendezvous.is_none() {
            return launch(&format!(
                "{} has started {} ranks, but does not say where they meet: add --rendezvous HOST:PORT, with the host of \
                 rank 0, or set MASTER_ADDR and MASTER_PORT",
                self.launcher, self.size
            ));
        }
        let place = self.rendezvous.as_deref().unwrap_or("localhost:1");
        match place.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
            _ => launch(&format!("the rendezvous is `{place}`, expected HOST:PORT, such as node17:29400")),
        }
    }
}

fn launch<T>(message: &str) -> Result<T, CommError> {
    Err(CommError::Launch(message.into()))
}

/// The ranks of the first launcher whose variables are set.
fn launched(meets: bool, variable: &impl Fn(&str) -> Option<String>) -> Result<Option<World>, CommError> {
    for (launcher, rank, size, local) in NAMES {
        let (Some(rank_text), Some(size_text)) = (variable(rank), variable(size)) else { continue };
        if launcher == Launcher::Pbs && !meets {
            continue;
        }
        let number = |name: &str, text: &str| {
            let wrong = || CommError::Launch(format!("{name} is `{text}`, expected a number"));
            text.trim().parse::<usize>().map_err(|_| wrong())
        };
        let (this, all) = (number(rank, &rank_text)?, number(size, &size_text)?);
        if this >= all {
            return launch(&format!("{rank} is {this} and {size} is {all}, expected it to be larger"));
        }
        let local = local.iter().find_map(|name| Some((*name, variable(name)?)));
        let local_rank = local.map_or(Ok(0), |(name, text)| number(name, &text))?;
        let rendezvous = if launcher == Launcher::Torchrun { master(variable)? } else { None };
        return Ok(Some(World { rank: this, size: all, local_rank, launcher, rendezvous, key: None }));
    }
    Ok(None)
}

/// Where PyTorch's processes meet. Where torchrun itself listens there, the port after it.
fn master(variable: &impl Fn(&str) -> Option<String>) -> Result<Option<String>, CommError> {
    let (Some(host), Some(port)) = (variable("MASTER_ADDR"), variable("MASTER_PORT")) else { return Ok(None) };
    let wrong = || CommError::Launch(format!("MASTER_PORT is `{port}`, expected the number of a port"));
    let number: u16 = port.trim().parse().map_err(|_| wrong())?;
    let taken = variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let number = if taken { number.checked_add(1).ok_or_else(wrong)? } else { number };
    let host = host.trim();
    Ok(Some(if host.contains(':') { format!("[{host}]:{number}") } else { format!("{host}:{number}") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret of all ranks";

    /// With a job key, unless one is among the variables.
    fn find_with(given: &WorldFlags, set: &[(&str, &str)]) -> Result<Option<World>, CommError> {
        let set = [set, &[(KEY_VARIABLE, SECRET)]].concat();
        World::find(given, |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    fn find(set: &[(&str, &str)]) -> Result<Option<World>, CommError> {
        find_with(&WorldFlags::default(), set)
    }

    fn world(
        rank: usize,
        size: usize,
        local_rank: usize,
        launcher: Launcher,
        at: Option<&str>,
    ) -> Result<Option<World>, CommError> {
        let key = at.map(|_| JobKey::new(SECRET.as_bytes())).transpose()?;
        Ok(Some(World { rank, size, local_rank, launcher, rendezvous: at.map(str::to_owned), key }))
    }

    #[test]
    fn launchers_are_told_apart() {
        let open_mpi =
            [("OMPI_COMM_WORLD_RANK", "5"), ("OMPI_COMM_WORLD_SIZE", "8"), ("OMPI_COMM_WORLD_LOCAL_RANK", "1")];
        assert_eq!(find(&open_mpi), world(5, 8, 1, Launcher::OpenMpi, None));
        let intel = [("PMI_RANK", "0"), ("PMI_SIZE", "2"), ("MPI_LOCALRANKID", "0")];
        assert_eq!(find(&intel), world(0, 2, 0, Launcher::Pmi, None));
        let slurm = [("SLURM_PROCID", "9"), ("SLURM_STEP_NUM_TASKS", "16"), ("SLURM_LOCALID", "1")];
        assert_eq!(find(&slurm), world(9, 16, 1, Launcher::Slurm, None));
        // mpirun in an allocation of SLURM.
        assert_eq!(find(&[slurm.as_slice(), &open_mpi].concat()), world(5, 8, 1, Launcher::OpenMpi, None));
        assert_eq!(find(&[]), Ok(None));
        // A batch script of SLURM, outside of srun.
        assert_eq!(find(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "16")]), Ok(None));
    }

    #[test]
    fn torchrun_says_where_ranks_meet() {
        let torchrun = [
            ("RANK", "3"),
            ("WORLD_SIZE", "4"),
            ("LOCAL_RANK", "3"),
            ("MASTER_ADDR", "node7"),
            ("MASTER_PORT", "29500"),
        ];
        assert_eq!(find(&torchrun), world(3, 4, 3, Launcher::Torchrun, Some("node7:29500")));
        let agent = [&torchrun[..], &[("TORCHELASTIC_USE_AGENT_STORE", "True")]].concat();
        assert_eq!(find(&agent), world(3, 4, 3, Launcher::Torchrun, Some("node7:29501")));
        let ipv6 = [("MASTER_ADDR", "fe80::1"), ("MASTER_PORT", "1"), ("RANK", "0"), ("WORLD_SIZE", "2")];
        assert_eq!(find(&ipv6), world(0, 2, 0, Launcher::Torchrun, Some("[fe80::1]:1")));
        // One process needs no other.
        assert_eq!(find(&[("RANK", "0"), ("WORLD_SIZE", "1")]), world(0, 1, 0, Launcher::Torchrun, None));
    }

    #[test]
    fn flags_come_before_variables() {
        let at = Some("node1:9".to_owned());
        let torchrun = [("RANK", "3"), ("WORLD_SIZE", "4"), ("MASTER_ADDR", "node7"), ("MASTER_PORT", "29500")];
        let given = WorldFlags { rank: Some((1, 2)), local_rank: Some(1), rendezvous: at.clone(), job_key: None };
        assert_eq!(find_with(&given, &torchrun), world(1, 2, 1, Launcher::Flags, Some("node1:9")));
        // srun's ranks, joined by TCP.
        let slurm = [("SLURM_PROCID", "9"), ("SLURM_STEP_NUM_TASKS", "16"), ("SLURM_LOCALID", "1")];
        let given = WorldFlags { rendezvous: at.clone(), ..Default::default() };
        assert_eq!(find_with(&given, &slurm), world(9, 16, 1, Launcher::Slurm, Some("node1:9")));
        // PBS sets the same variables in a batch script that starts nothing.
        let pbs = [("PBS_VNODENUM", "2"), ("PBS_NP", "4")];
        assert_eq!(find(&pbs), Ok(None));
        assert_eq!(find_with(&given, &pbs), world(2, 4, 0, Launcher::Pbs, Some("node1:9")));
    }

    #[test]
    fn contradictions_are_refused() {
        let message = |set: &[(&str, &str)]| find(set).unwrap_err().to_string();
        assert!(message(&[("RANK", "4"), ("WORLD_SIZE", "4")]).contains("RANK is 4 and WORLD_SIZE is 4"));
        assert!(message(&[("RANK", "x"), ("WORLD_SIZE", "4")]).contains("RANK is `x`"));
        assert!(message(&[("RANK", "1"), ("WORLD_SIZE", "4")]).contains("add --rendezvous"));
        let master = [("RANK", "1"), ("WORLD_SIZE", "4"), ("MASTER_ADDR", "a"), ("MASTER_PORT", "http")];
        assert!(message(&master).contains("MASTER_PORT is `http`"));
        let refused = |given: WorldFlags| find_with(&given, &[]).unwrap_err().to_string();
        let at = |place: &str| Some(place.to_owned());
        assert!(refused(WorldFlags { rank: Some((2, 2)), ..Default::default() }).contains("rank 2 of 2"));
        assert!(refused(WorldFlags { rank: Some((0, 2)), ..Default::default() }).contains("add --rendezvous"));
        assert!(refused(WorldFlags { rendezvous: at("a:1"), ..Default::default() }).contains("--world-size"));
        assert!(refused(WorldFlags { local_rank: Some(0), ..Default::default() }).contains("only one rank"));
        let job_key = Some("job.key".into());
        assert!(refused(WorldFlags { job_key, ..Default::default() }).contains("--job-key: there is only one rank"));
        for place in ["node", "node:", ":1", "node:0", "node:70000"] {
            let given = WorldFlags { rank: Some((0, 2)), rendezvous: at(place), ..Default::default() };
            assert!(refused(given).contains("expected HOST:PORT"), "{place}");
        }
    }

    #[test]
    fn ranks_that_others_can_reach_need_a_key() {
        let at = |place: &str, key: Option<&str>| {
            let given = WorldFlags { rank: Some((0, 2)), rendezvous: Some(place.into()), ..Default::default() };
            World::find(&given, |name| key.filter(|_| name == KEY_VARIABLE).map(str::to_owned))
        };
        for place in ["localhost:1", "LOCALHOST:1", "127.0.0.1:1", "127.3.2.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(at(place, None).unwrap().unwrap().key, None, "{place}");
        }
        for place in ["node1:1", "0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[fe80::1]:1", "localhost.example:1"] {
            let error = at(place, None).unwrap_err().to_string();
            assert!(error.contains(place) && error.contains("openssl rand -hex 32 > job.key"), "{error}");
            let found = at(place, Some(SECRET)).unwrap().unwrap();
            assert_eq!(found.key, JobKey::new(SECRET.as_bytes()).ok());
            assert!(!format!("{found:?}").contains(SECRET));
        }
        // A key that is no key is said, also where none is needed.
        for place in ["node1:1", "localhost:1"] {
            let error = at(place, Some(" \n")).unwrap_err().to_string();
            assert!(error.starts_with("ISOGRAD_JOB_KEY: the job key has 0 bytes"), "{error}");
        }
        // One rank has nobody to meet.
        let alone = [("RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "node7"), ("MASTER_PORT", "1")];
        let variable = |name: &str| alone.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        assert!(World::find(&WorldFlags::default(), variable).is_ok());
        let mpi = [("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "2")];
        let given = WorldFlags { job_key: Some("job.key".into()), ..Default::default() };
        assert!(find_with(&given, &mpi).unwrap_err().to_string().contains("joined by MPI"));
        // The variable may be set for other jobs.
        assert_eq!(find(&mpi), world(0, 2, 0, Launcher::OpenMpi, None));
    }
}
