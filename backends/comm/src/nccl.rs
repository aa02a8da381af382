//! Ranks with a GPU each, through NVIDIA's collective library: tensors stay on the devices.
//!
//! Collectives run on a stream of their own, on the memory of the tensors themselves, beside whatever the device
//! computes meanwhile. The ranks are joined by a transport as well, which brings the library's id around, carries
//! bytes and failures, and notices ranks that are lost: the library alone would wait for them for ever.

use std::ffi::c_void;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorPrimitive};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cuda::{Cuda, CudaDevice};
use cubecl::cuda::CudaRuntime;
use cudarc::driver::{CudaContext, CudaEvent, CudaStream, DriverError, sys::CUevent_flags};
use cudarc::nccl::result::{self as library, NcclError};
use cudarc::nccl::sys;
use serde::{Deserialize, Serialize};

use super::pending::Meter;
use super::solo::cut;
use super::{CommError, Communicator, Failure, Message, Pending, Staged, Usage};

type Values = Tensor<Cuda, 1>;
type Buffer = CubeTensor<CudaRuntime>;

/// The memory of a tensor, its elements one after the other.
fn buffer(values: Values) -> Buffer {
    into_contiguous(values.into_primitive().tensor())
}

/// Memory that may be written to: the given one where nobody else holds it, else a copy.
fn owned(buffer: Buffer) -> Buffer {
    if buffer.can_mut() { buffer } else { buffer.copy() }
}

fn tensor(buffer: Buffer) -> Values {
    Tensor::from_primitive(TensorPrimitive::Float(buffer))
}

/// How often ranks are looked after while they are waited for.
const LOOK: Duration = Duration::from_millis(100);

/// What ranks tell each other of their devices.
#[derive(Serialize, Deserialize)]
struct Card {
    /// Of the GPU, in all the world.
    uuid: Vec<u8>,
    /// Whether the library can be loaded.
    loads: bool,
}

/// A rank whose tensors are exchanged between GPUs.
struct Nccl {
    link: Arc<Link>,
    control: Arc<Staged<Cuda>>,
    meter: Arc<Meter>,
    timeout: Duration,
}

/// The library's communicator, on one device.
struct Link {
    comm: sys::ncclComm_t,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    rank: usize,
    /// Why it was given up.
    broken: OnceLock<CommError>,
}

// SAFETY: the library allows calls from any thread, and one at a time: only the thread that computes makes
// them, and the last owner when it is dropped.
#[allow(unsafe_code, reason = "a pointer of the library")]
unsafe impl Send for Link {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "a pointer of the library")]
unsafe impl Sync for Link {}

/// The NCCL of ranks that are joined already, if each has a GPU to itself; else what joined them.
///
/// # Errors
/// [`CommError`] if the library is missing on a rank, does not start, or a rank is lost.
pub(super) fn join(
    control: Staged<Cuda>,
    device: &CudaDevice,
    timeout: Duration,
) -> Result<Arc<dyn Communicator<Cuda>>, CommError> {
    let own = Communicator::rank(&control);
    let driver = |error: DriverError| failed(own, &format!("the driver reports {error}"));
    let context = CudaContext::new(device.index).map_err(driver)?;
    // SAFETY: only tries to open a shared library by name.
    #[allow(unsafe_code, reason = "asking whether a shared library can be loaded")]
    let loads = unsafe { sys::is_culib_present() };
    let uuid = context.uuid().map_err(driver)?.bytes.map(|byte| byte as u8).to_vec();
    let card = serde_json::to_vec(&Card { uuid, loads }).map_err(|error| failed(own, &error.to_string()))?;
    let mut cards = Vec::new();
    for (rank, card) in control.gather_bytes(card)?.iter().enumerate() {
        let card: Card =
            serde_json::from_slice(card).map_err(|_| failed(rank, "does not run on CUDA as the others do"))?;
        if !card.loads {
            return Err(failed(
                rank,
                "libnccl is not installed; install it, or build isograd without the feature `nccl`",
            ));
        }
        cards.push(card.uuid);
    }
    cards.sort_unstable();
    if cards.windows(2).any(|pair| pair[0] == pair[1]) {
        // The library refuses two ranks on one GPU.
        return Ok(Arc::new(control));
    }
    let control = Arc::new(control);
    let link = Arc::new(Link::start(&control, context)?);
    Ok(Arc::new(Nccl { link, control, meter: Arc::default(), timeout }))
}

fn failed(rank: usize, message: &str) -> CommError {
    CommError::Nccl { rank, message: message.into() }
}

impl Link {
    fn start(control: &Staged<Cuda>, context: Arc<CudaContext>) -> Result<Self, CommError> {
        let (rank, size) = (Communicator::rank(control), Communicator::size(control));
        let driver = |error: DriverError| failed(rank, &format!("the driver reports {error}"));
        let wrong = |error: NcclError| failed(rank, &format!("{:?}", error.0));
        let stream = context.new_stream().map_err(driver)?;
        context.bind_to_thread().map_err(driver)?;
        let own = if rank == 0 { library::get_uniqueid().map(|id| id.internal.to_vec()) } else { Ok(Vec::new()) };
        let own: Vec<u8> = own.map_err(wrong)?.into_iter().map(|byte| byte as u8).collect();
        let ids = control.gather_bytes(own)?;
        let mut id = sys::ncclUniqueId { internal: [0; 128] };
        id.internal.iter_mut().zip(ids[0].iter()).for_each(|(target, byte)| *target = *byte as _);
        let mut comm: sys::ncclComm_t = std::ptr::null_mut();
        // SAFETY: the pointer is written by the call, the id is that of rank 0, and the device is the thread's.
        #[allow(unsafe_code, reason = "a call of the library")]
        unsafe {
            library::comm_init_rank(&raw mut comm, size as i32, id, rank as i32).map_err(wrong)?;
        }
        Ok(Self { comm, context, stream, rank, broken: OnceLock::new() })
    }

    /// Gives the communicator up; what waits on the device ends.
    fn give_up(&self, error: CommError) -> CommError {
        if self.broken.set(error.clone()).is_ok() {
            // SAFETY: the communicator is valid, and not used again.
            #[allow(unsafe_code, reason = "a call of the library")]
            let aborted = unsafe { library::comm_abort(self.comm) };
            // There is an error already, which says more.
            let _ = aborted;
        }
        error
    }

    /// An error that the library has noticed by itself, such as a connection that ended.
    fn noticed(&self) -> Option<NcclError> {
        let mut state = sys::ncclResult_t::ncclSuccess;
        // SAFETY: the communicator is valid, and the state is written by the call.
        #[allow(unsafe_code, reason = "a call of the library")]
        let asked = unsafe { sys::ncclCommGetAsyncError(self.comm, &raw mut state) };
        asked.result().and_then(|_| state.result()).err()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.broken.get().is_none() {
            // SAFETY: the communicator is valid, and nobody else has it.
            #[allow(unsafe_code, reason = "a call of the library")]
            let ended = unsafe { library::comm_destroy(self.comm) };
            // Nothing is left to be done with it.
            let _ = ended;
        }
    }
}

/// Where values are in the memory of the device.
fn pointer(buffer: &Buffer) -> Result<*mut c_void, String> {
    let memory = buffer.client.get_resource(buffer.handle.clone()).map_err(|error| error.to_string())?;
    Ok(memory.resource().ptr as *mut c_void)
}

/// A collective on the device, and the memory that it reads and writes.
struct Flight {
    link: Arc<Link>,
    control: Arc<Staged<Cuda>>,
    meter: Arc<Meter>,
    timeout: Duration,
    begun: CudaEvent,
    done: CudaEvent,
    /// Memory that is read, and memory that holds the result.
    held: Option<[Vec<Buffer>; 2]>,
}

impl Flight {
    /// Waits until the device has done it; the result.
    fn wait(mut self) -> Result<Vec<Buffer>, CommError> {
        let start = Instant::now();
        let mut looked = start;
        let driver = |error: DriverError| failed(self.link.rank, &format!("the driver reports {error}"));
        while !self.done.try_is_complete().map_err(driver)? {
            if let Some(error) = self.link.broken.get() {
                return Err(error.clone());
            }
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                self.look(start).map_err(|error| self.link.give_up(error))?;
            }
            std::thread::yield_now();
        }
        self.meter.wait(start.elapsed());
        let busy = self.begun.elapsed_ms(&self.done).map_err(driver)?;
        self.meter.work(Duration::from_secs_f32((1e-3 * busy).max(0.0)));
        let [_, written] = self.held.take().unwrap_or_default();
        Ok(written)
    }

    /// Whether waiting can still come to an end.
    fn look(&self, start: Instant) -> Result<(), CommError> {
        self.control.check()?;
        let rank = self.link.rank;
        if let Some(error) = self.link.noticed() {
            return Err(failed(rank, &format!("{:?}", error.0)));
        }
        if start.elapsed() > self.timeout {
            let silent = (0..Communicator::size(&*self.control)).filter(|&other| other != rank).collect();
            return Err(CommError::Silent { rank, silent, seconds: self.timeout.as_secs() });
        }
        Ok(())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(held) = self.held.take()
            && !self.done.is_complete()
        {
            // The device still uses it: nobody else may be given this memory.
            std::mem::forget(held);
        }
    }
}

/// A call of the library for one buffer that is read and one that is written, which may be the same.
type Call<'a> =
    &'a dyn Fn(*const c_void, *mut c_void, usize, sys::ncclComm_t, sys::cudaStream_t) -> Result<(), NcclError>;

impl Nccl {
    /// Starts a collective: `call` for each pair of buffers, with how many values each has.
    fn start(
        &self,
        read: Vec<Buffer>,
        written: Vec<Buffer>,
        counts: &[usize],
        call: Call<'_>,
    ) -> Result<Flight, CommError> {
        let link = &self.link;
        if let Some(error) = link.broken.get() {
            return Err(error.clone());
        }
        let wrong = |message: String| link.give_up(failed(link.rank, &message));
        let driver = |error: DriverError| wrong(format!("the driver reports {error}"));
        let nccl = |error: NcclError| wrong(format!("{:?}", error.0));
        let mut pairs = Vec::new();
        for (source, target) in read.iter().zip(&written) {
            pairs.push((pointer(source).map_err(wrong)?, pointer(target).map_err(wrong)?));
        }
        // Burn does not show the stream it computes on, so that ours cannot be told to wait for it.
        if let Some(buffer) = read.first() {
            Cuda::<f32, i32>::sync(&buffer.device).map_err(|error| wrong(format!("{error:?}")))?;
        }
        link.context.bind_to_thread().map_err(driver)?;
        let event = || link.stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).map_err(driver);
        let begun = event()?;
        library::group_start().map_err(nccl)?;
        for ((source, target), &count) in pairs.into_iter().zip(counts).filter(|(_, count)| **count > 0) {
            call(source.cast_const(), target, count, link.comm, link.stream.cu_stream().cast()).map_err(nccl)?;
        }
        library::group_end().map_err(nccl)?;
        let done = event()?;
        Ok(Flight {
            link: link.clone(),
            control: self.control.clone(),
            meter: self.meter.clone(),
            timeout: self.timeout,
            begun,
            done,
            held: Some([read, written]),
        })
    }

    /// The share of a collective that leaves this rank, times the bytes it is about.
    fn count(&self, passes: usize, values: usize) {
        let size = Communicator::size(&*self.control);
        self.meter.send(passes * 4 * values * (size - 1) / size);
    }

    /// A collective that changes each tensor of a bucket in place.
    fn in_place(&self, bucket: Vec<Values>, call: Call<'_>) -> Pending<Vec<Values>> {
        let counts = lengths(&bucket);
        let buffers: Vec<Buffer> = bucket.into_iter().map(|values| owned(buffer(values))).collect();
        // A second handle to the same memory, which the device reads and writes at once.
        later(self.start(buffers.clone(), buffers, &counts, call))
            .map(|buffers| buffers.into_iter().map(tensor).collect())
    }
}

fn later(flight: Result<Flight, CommError>) -> Pending<Vec<Buffer>> {
    match flight {
        Ok(flight) => Pending::later(move || flight.wait()),
        Err(error) => Pending::ready(Err(error)),
    }
}

/// A bucket one after the other, filled up with zeros to equal pieces.
fn joined(mut bucket: Vec<Values>, ranks: usize) -> Values {
    let total: usize = lengths(&bucket).iter().sum();
    let missing = total.next_multiple_of(ranks) - total;
    if missing > 0 {
        let device = bucket[0].device();
        bucket.push(Values::zeros([missing], &device));
    }
    if bucket.len() == 1 { bucket.swap_remove(0) } else { Tensor::cat(bucket, 0) }
}

fn lengths(bucket: &[Values]) -> Vec<usize> {
    bucket.iter().map(|values| values.dims()[0]).collect()
}

const FLOAT: sys::ncclDataType_t = sys::ncclDataType_t::ncclFloat32;
const SUM: sys::ncclRedOp_t = sys::ncclRedOp_t::ncclSum;

#[allow(unsafe_code, reason = "calls of the library, on memory that a flight holds until they are done")]
impl Communicator<Cuda> for Nccl {
    fn rank(&self) -> usize {
        self.link.rank
    }

    fn size(&self) -> usize {
        Communicator::size(&*self.control)
    }

    fn all_reduce(&self, bucket: Vec<Values>) -> Pending<Vec<Values>> {
        self.count(2, lengths(&bucket).iter().sum());
        self.in_place(bucket, &|source, target, count, comm, stream| {
            // SAFETY: both hold `count` values.
            unsafe { library::all_reduce(source, target, count, FLOAT, SUM, comm, stream).map(|_| ()) }
        })
    }

    fn reduce_scatter(&self, bucket: Vec<Values>) -> Pending<Values> {
        let all = joined(bucket, Communicator::size(self));
        let (values, device) = (all.dims()[0], all.device());
        let count = values / Communicator::size(self);
        self.count(1, values);
        let piece = buffer(Values::empty([count], &device));
        later(self.start(vec![buffer(all)], vec![piece], &[count], &|source, target, count, comm, stream| {
            // SAFETY: the source holds `count` values for each rank, the target `count`.
            unsafe { library::reduce_scatter(source, target, count, FLOAT, SUM, comm, stream).map(|_| ()) }
        }))
        .map(|mut pieces| tensor(pieces.swap_remove(0)))
    }

    fn all_gather(&self, piece: Values, sizes: Vec<usize>) -> Pending<Vec<Values>> {
        let (count, device) = (piece.dims()[0], piece.device());
        let values = count * Communicator::size(self);
        self.count(1, values);
        let all = buffer(Values::empty([values], &device));
        later(self.start(vec![buffer(piece)], vec![all], &[count], &|source, target, count, comm, stream| {
            // SAFETY: the source holds `count` values, the target as many for each rank.
            unsafe { library::all_gather(source, target, count, FLOAT, comm, stream).map(|_| ()) }
        }))
        .map(move |mut all| {
            let all: Values = tensor(all.swap_remove(0));
            cut(&all, sizes)
        })
    }

    fn broadcast(&self, bucket: Vec<Values>, root: usize) -> Pending<Vec<Values>> {
        if root == self.link.rank {
            self.count(1, lengths(&bucket).iter().sum());
        }
        self.in_place(bucket, &|source, target, count, comm, stream| {
            // SAFETY: both hold `count` values.
            unsafe { library::broadcast(source, target, count, FLOAT, root as i32, comm, stream).map(|_| ()) }
        })
    }

    fn exchange_bytes(&self, to: Vec<Message>) -> Pending<Vec<Message>> {
        self.control.exchange_bytes(to)
    }

    fn fail(&self, failure: Failure) {
        self.control.fail(failure);
    }

    fn usage(&self) -> Usage {
        let (device, host) = (self.meter.usage(), self.control.usage());
        Usage { waited: device.waited + host.waited, busy: device.busy + host.busy, sent: device.sent + host.sent }
    }
}
