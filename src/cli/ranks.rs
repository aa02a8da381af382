//! Who trains together: processes that were started together, or threads of this one.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use isograd::comm::{CommError, Communicator, Failure, Staged, Tcp, Transport, World};
use isograd::data::formats::Formats;
use isograd::models::Registry;
use isograd::ops::device::CpuBackend;
use isograd::train::Backend;
use isograd::train::config::Config;
use isograd::train::run::RunDirectory;
use isograd::train::{Error, Result, agree};
use isograd::train::{Outcome, Prepared, RankContext, RunOn, dispatch, prepare, train_rank, train_threads};

use super::processes::ProcessArgs;
use super::progress::Display;

/// This process's rank, for messages.
static RANK: AtomicUsize = AtomicUsize::new(0);

/// This process among the ranks.
pub(crate) struct Ranks {
    /// What was started together, if that is more than this process.
    world: Option<World>,
}

/// How long ranks with an error that all have wait for the first one to say it. Launchers end all processes when one
/// has failed; those that are still there have no launcher, and a terminal of their own.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Prints why the work has ended. What all ranks know only the first one says.
pub(crate) fn print_error(error: &Error) {
    let rank = RANK.load(Relaxed);
    let alone = matches!(
        error,
        Error::Ranks(
            CommError::Lost(_)
                | CommError::Silent { .. }
                | CommError::Absent { .. }
                | CommError::Key(_)
                | CommError::Mismatch { .. }
                | CommError::Nccl { .. }
        )
    );
    if rank == 0 {
        eprintln!("error: {error}");
        return;
    }
    if !alone {
        std::thread::sleep(LAST_WORDS);
    }
    eprintln!("error on rank {rank}: {error}");
}

impl Ranks {
    /// Reads the flags, and the variables that launchers set.
    pub(crate) fn find(flags: &ProcessArgs) -> Result<Self> {
        let world = World::find(&flags.given(), |name| std::env::var(name).ok())?.filter(|world| world.size > 1);
        if cfg!(not(feature = "mpi"))
            && let Some(world @ World { rendezvous: None, .. }) = &world
        {
            return Err(Error::Ranks(CommError::Launch(format!(
                "{} has started {} processes, but this program was built without MPI, so that each of them would train \
                 alone; add --rendezvous HOST:PORT to join them by TCP, rebuild with `cargo build --release --features \
                 mpi`, or start one process with --ranks {}",
                world.launcher, world.size, world.size
            ))));
        }
        Ok(Self { world })
    }

    pub(crate) fn world(&self) -> Option<&World> {
        self.world.as_ref()
    }

    pub(crate) fn is_first(&self) -> bool {
        self.world.as_ref().is_none_or(|world| world.rank == 0)
    }

    /// From now on errors that all ranks have are printed once.
    pub(crate) fn be_quiet_unless_first(&self) {
        RANK.store(self.world.as_ref().map_or(0, |world| world.rank), Relaxed);
    }

    /// Tells the other processes of an error that was found before they could be joined.
    pub(crate) fn tell(&self, error: &Error) {
        let Some(world) = &self.world else { return };
        let failure = Failure { message: error.to_string(), input: error.is_input() };
        // What cannot be told is at least printed here.
        if let Ok(joined) = connect::<CpuBackend>(world, &Default::default(), Duration::from_secs(30)) {
            joined.comm.fail(failure);
        }
    }

    /// Trains, as all ranks that this process is.
    pub(crate) fn train(&self, config: &Config, resume: bool) -> Result<Outcome> {
        let stop = stop_on_signals()?;
        let timeout = Duration::from_secs(config.parallel.timeout);
        let registry = Registry::default();
        let first = self.is_first();
        let data = || {
            if first && !resume {
                RunDirectory::check_free(&config.run.out)?;
            }
            prepare(config, &registry, &Formats::default()).map(Arc::new)
        };
        let Some(world) = &self.world else {
            return train_threads(config, &registry, resume, &stop, &mut Display::new(), data);
        };
        let device = config.train.device.of_rank(world.local_rank);
        let config = config.clone().on_device(device.clone());
        dispatch(&device, Process { config, world, timeout, resume, stop, data })?
    }
}

/// Set when a scheduler, or a user, asks training to end; the second time the process ends at once.
fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let stop = Arc::new(AtomicBool::new(false));
    let mut signals = vec![SIGTERM, SIGINT];
    // What mpirun passes on, and schedulers can be told to send before a time limit.
    #[cfg(unix)]
    signals.push(signal_hook::consts::SIGUSR1);
    // A terminal that is closed, unless `nohup` has said that it does not matter.
    #[cfg(unix)]
    if !hangups_are_ignored() {
        signals.push(signal_hook::consts::SIGHUP);
    }
    for signal in signals {
        let register = || {
            signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone())?;
            signal_hook::flag::register(signal, stop.clone())
        };
        register().map_err(|error| Error::Internal(format!("signal {signal} cannot be caught: {error}")))?;
    }
    Ok(stop)
}

/// Whether the process was started with SIGHUP, the first signal, ignored; false where the system does not say.
#[cfg(unix)]
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// The work of this process as one of several ranks.
struct Process<'a, D> {
    config: Config,
    world: &'a World,
    timeout: Duration,
    resume: bool,
    stop: Arc<AtomicBool>,
    data: D,
}

impl<D: FnOnce() -> Result<Arc<Prepared>>> RunOn for Process<'_, D> {
    type Output = Result<Outcome>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let Self { config, world, timeout, resume, stop, data } = self;
        let Joined { comm, warning } = connect::<B>(world, &device, timeout)?;
        let ranks = RankContext { comm, stop };
        let data = || {
            data().map(|mut prepared| {
                if let Some(prepared) = Arc::get_mut(&mut prepared) {
                    prepared.warnings.extend(warning);
                }
                prepared
            })
        };
        let registry = Registry::default();
        if world.rank == 0 {
            return train_rank::<B>(&config, resume, &registry, &ranks, &device, &mut Display::new(), data);
        }
        train_rank::<B>(&config, resume, &registry, &ranks, &device, &mut (), data)
    }
}

/// The processes of a benchmark, which are joined once however many cases there are.
static JOINED: Mutex<Option<Arc<dyn Any + Send + Sync>>> = Mutex::new(None);

/// Joins processes, or finds that they are.
pub(crate) fn joined<B: Backend>(world: &World, device: &B::Device) -> Result<Arc<dyn Communicator<B>>> {
    let mut joined = JOINED.lock().unwrap_or_else(PoisonError::into_inner);
    if joined.is_none() {
        let Joined { comm, warning } = connect::<B>(world, device, super::bench_scaling::PATIENCE)?;
        if world.rank == 0 {
            warning.iter().for_each(|warning| eprintln!("warning: {warning}"));
        }
        *joined = Some(Arc::new(comm));
    }
    let comm = joined.as_ref().and_then(|joined| joined.downcast_ref::<Arc<dyn Communicator<B>>>());
    comm.cloned().ok_or_else(|| Error::Internal("ranks were joined for another backend".into()))
}

/// Ends what [`joined`] has begun.
pub(crate) fn leave() {
    *JOINED.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Joins a rank to the others.
pub(crate) fn join<B: Backend, T: Transport>(
    connect: impl FnOnce() -> std::result::Result<T, CommError> + Send + 'static,
    device: &B::Device,
    timeout: Duration,
) -> Result<Arc<dyn Communicator<B>>> {
    Ok(B::join(Staged::<B>::start(connect)?, device, timeout)?)
}

/// This rank among the others.
struct Joined<B: Backend> {
    comm: Arc<dyn Communicator<B>>,
    /// What the user should know of how they were joined.
    warning: Option<String>,
}

/// Joins processes: by TCP where they have a rendezvous, else by MPI.
fn connect<B: Backend>(world: &World, device: &B::Device, timeout: Duration) -> Result<Joined<B>> {
    let world = world.clone();
    if world.rendezvous.is_some() {
        let (tell, told) = channel();
        let connect = move || {
            Tcp::connect(&world, timeout).inspect(|tcp| {
                // Who asks is there until this is known.
                let _ = tell.send(tcp.turned_away());
            })
        };
        let comm = join::<B, _>(connect, device, timeout)?;
        let counts = agree::all(&*comm, &told.recv().unwrap_or_default())?;
        return Ok(Joined { comm, warning: turned_away(counts.iter().sum()) });
    }
    #[cfg(feature = "mpi")]
    return join(move || isograd::comm::Mpi::connect(&world, timeout), device, timeout)
        .map(|comm| Joined { comm, warning: None });
    #[cfg(not(feature = "mpi"))]
    Err(Error::Internal("processes without a rendezvous are refused where there is no MPI".into()))
}

/// What is said of those who came while ranks were joined, and were not ranks.
fn turned_away(count: usize) -> Option<String> {
    let connections = match count {
        0 => return None,
        1 => "1 connection was".to_owned(),
        _ => format!("{count} connections were"),
    };
    Some(format!(
        "{connections} turned away while ranks were joined: whoever it was did not show that it belongs to this job"
    ))
}
