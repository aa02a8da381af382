//! Tensors of any backend through host memory: they are copied to the host, exchanged over a transport by a
//! thread beside the one that computes, and copied back when the result is asked for.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Element, Tensor, TensorData};

use super::collectives::{Value, all_gather, all_reduce, broadcast, reduce_scatter};
use super::pending::Meter;
use super::{CommError, Communicator, Failure, Message, Pending, Transport, Usage};

/// Work for the thread that communicates; `Err` is why an earlier one failed.
type Job = Box<dyn FnOnce(Result<&mut dyn Transport, CommError>) -> Result<(), CommError> + Send>;

/// A rank whose tensors go through host memory.
pub struct Staged<B: Backend> {
    rank: usize,
    size: usize,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    meter: Arc<Meter>,
    backend: PhantomData<fn() -> B>,
}

/// A collective, for values of both kinds.
#[derive(Clone, Copy)]
enum Collective {
    AllReduce,
    ReduceScatter,
    AllGather,
    Broadcast(usize),
}

/// Tensors on the host, one after the other.
enum Values {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl Values {
    fn read<B: Backend>(bucket: Vec<Tensor<B, 1>>, ranks: usize) -> Self {
        // With room for padding, so that nothing is moved while it grows.
        let room = if bucket.len() == 1 { 0 } else { sizes(&bucket).iter().sum::<usize>() + ranks };
        let mut values = match B::FloatElem::dtype() {
            DType::F32 => Self::Single(Vec::with_capacity(room)),
            DType::F64 => Self::Double(Vec::with_capacity(room)),
            other => panic!("Staged: values are {other:?}, expected f32 or f64"),
        };
        for tensor in bucket {
            let data = tensor.into_data();
            match &mut values {
                Self::Single(all) => append(all, data),
                Self::Double(all) => append(all, data),
            }
        }
        values
    }

    fn write<B: Backend>(self, sizes: &[usize], device: &B::Device) -> Vec<Tensor<B, 1>> {
        match self {
            Self::Single(values) => cut(values, sizes, device),
            Self::Double(values) => cut(values, sizes, device),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Single(values) => values.len(),
            Self::Double(values) => values.len(),
        }
    }

    fn run(self, collective: Collective, transport: &mut dyn Transport) -> Result<Self, CommError> {
        Ok(match self {
            Self::Single(values) => Self::Single(collective.run(transport, values)?),
            Self::Double(values) => Self::Double(collective.run(transport, values)?),
        })
    }
}

fn append<T: Element>(all: &mut Vec<T>, data: TensorData) {
    match data.into_vec::<T>() {
        Ok(values) if all.capacity() == 0 => *all = values,
        Ok(values) => all.extend(values),
        Err(error) => panic!("Staged: values are not of the backend's own type: {error:?}"),
    }
}

fn cut<B: Backend, T: Element>(mut values: Vec<T>, sizes: &[usize], device: &B::Device) -> Vec<Tensor<B, 1>> {
    let tensor = |values: Vec<T>| {
        let length = values.len();
        Tensor::from_data(TensorData::new(values, [length]), device)
    };
    if let [size] = sizes {
        values.truncate(*size);
        return vec![tensor(values)];
    }
    let mut rest = values.as_slice();
    let mut next = |size: &usize| {
        let (own, others) = rest.split_at(*size);
        rest = others;
        tensor(own.to_vec())
    };
    sizes.iter().map(&mut next).collect()
}

impl Collective {
    fn run<T: Value>(self, transport: &mut dyn Transport, values: Vec<T>) -> Result<Vec<T>, CommError> {
        match self {
            Self::AllReduce => all_reduce(transport, values),
            Self::ReduceScatter => reduce_scatter(transport, values),
            Self::AllGather => all_gather(transport, &values),
            Self::Broadcast(root) => broadcast(transport, &values, root),
        }
    }
}

/// Counts what goes through a transport.
struct Metered<T> {
    inner: T,
    meter: Arc<Meter>,
}

impl<T: Transport> Transport for Metered<T> {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn exchange(&mut self, to: Vec<Message>) -> Result<Vec<Message>, CommError> {
        let own = self.inner.rank();
        self.meter.send(to.iter().enumerate().filter(|(rank, _)| *rank != own).map(|(_, message)| message.len()).sum());
        self.inner.exchange(to)
    }

    fn check(&mut self) -> Result<(), CommError> {
        self.inner.check()
    }

    fn fail(&mut self, failure: &Failure) {
        self.inner.fail(failure);
    }
}

impl<B: Backend> Staged<B> {
    /// Starts the thread that communicates, and there the transport.
    ///
    /// # Errors
    /// Those of `connect`.
    pub fn start<T: Transport>(
        connect: impl FnOnce() -> Result<T, CommError> + Send + 'static,
    ) -> Result<Self, CommError> {
        let (jobs, work) = channel::<Job>();
        let (tell, told) = channel();
        let meter = Arc::new(Meter::default());
        let counted = meter.clone();
        let thread = std::thread::spawn(move || {
            let mut transport = match connect() {
                Ok(inner) => Metered { inner, meter: counted.clone() },
                Err(error) => {
                    let _ = tell.send(Err(error));
                    return;
                }
            };
            let _ = tell.send(Ok((transport.rank(), transport.size())));
            let mut failed: Option<CommError> = None;
            for job in work {
                let start = Instant::now();
                let done = match &failed {
                    Some(error) => job(Err(error.clone())),
                    None => job(Ok(&mut transport)),
                };
                failed = done.err().or(failed);
                counted.work(start.elapsed());
            }
        });
        let early = || CommError::Launch("the communication thread ended early".into());
        let (rank, size) = told.recv().unwrap_or_else(|_| Err(early()))?;
        Ok(Self { rank, size, jobs: Some(jobs), thread: Some(thread), meter, backend: PhantomData })
    }

    /// Whether all ranks are still there, as far as this one can see.
    ///
    /// # Errors
    /// [`CommError`] if a rank is lost or has failed.
    pub fn check(&self) -> Result<(), CommError> {
        self.submit(|transport| transport.check()).wait()
    }

    fn submit<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Transport) -> Result<R, CommError> + Send + 'static,
    ) -> Pending<R> {
        let (send, receive) = channel();
        let job: Job = Box::new(move |transport| {
            let result = transport.and_then(work);
            let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
            // Whoever asked may have ended in the meantime.
            let _ = send.send(result);
            outcome
        });
        if let Some(jobs) = &self.jobs {
            // If the thread is gone, so is the sender of the result, which tells.
            let _ = jobs.send(job);
        }
        Pending::received(receive, self.meter.clone())
    }

    /// A collective on a bucket, whose result is cut into these sizes; into one tensor without any.
    fn collective(
        &self,
        collective: Collective,
        bucket: Vec<Tensor<B, 1>>,
        sizes: Vec<usize>,
    ) -> Pending<Vec<Tensor<B, 1>>> {
        let device = bucket.first().map(Tensor::device).unwrap_or_default();
        // Tensors are read and made by the thread that computes: on a GPU another thread is another stream, which
        // may be given the memory of tensors that this one's work still reads.
        let values = Values::read(bucket, self.size);
        let done = self.submit(move |transport| values.run(collective, transport));
        done.map(move |values| {
            let sizes = if sizes.is_empty() { vec![values.len()] } else { sizes };
            values.write(&sizes, &device)
        })
    }
}

impl<B: Backend> Communicator<B> for Staged<B> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_reduce(&self, bucket: Vec<Tensor<B, 1>>) -> Pending<Vec<Tensor<B, 1>>> {
        let sizes = sizes(&bucket);
        self.collective(Collective::AllReduce, bucket, sizes)
    }

    fn reduce_scatter(&self, bucket: Vec<Tensor<B, 1>>) -> Pending<Tensor<B, 1>> {
        self.collective(Collective::ReduceScatter, bucket, Vec::new()).map(|mut pieces| pieces.swap_remove(0))
    }

    fn all_gather(&self, piece: Tensor<B, 1>, sizes: Vec<usize>) -> Pending<Vec<Tensor<B, 1>>> {
        self.collective(Collective::AllGather, vec![piece], sizes)
    }

    fn broadcast(&self, bucket: Vec<Tensor<B, 1>>, root: usize) -> Pending<Vec<Tensor<B, 1>>> {
        let sizes = sizes(&bucket);
        self.collective(Collective::Broadcast(root), bucket, sizes)
    }

    fn exchange_bytes(&self, to: Vec<Message>) -> Pending<Vec<Message>> {
        assert_eq!(to.len(), self.size, "exchange: messages");
        self.submit(move |transport| transport.exchange(to))
    }

    fn fail(&self, failure: Failure) {
        let told = self.submit(move |transport| {
            transport.fail(&failure);
            Ok(())
        });
        // It fails only where the ranks have come apart already.
        let _ = told.wait();
    }

    fn usage(&self) -> Usage {
        self.meter.usage()
    }
}

fn sizes<B: Backend>(bucket: &[Tensor<B, 1>]) -> Vec<usize> {
    bucket.iter().map(|tensor| tensor.dims()[0]).collect()
}

impl<B: Backend> Drop for Staged<B> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has surfaced as a missing result.
            let _ = thread.join();
        }
    }
}
