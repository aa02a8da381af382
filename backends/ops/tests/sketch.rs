//! What operations take on shapes against what they take on the CPU, forward and back.

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn_flex::Flex;
use isograd_ops::index::{EdgeIndex, EdgeList, Grouping, HostGrouping};
use isograd_ops::memory::{CountingAllocator, MeasuredBackend, reset_peak};
use isograd_ops::message::MessageBackend;
use isograd_ops::sketch::{Meter, Sketch, SketchDevice};
use isograd_ops::value::{EdgeWork, Gate, Messages, Value, attend, message};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const NODES: usize = 512;
const EDGES: usize = 8192;
const WIDTH: usize = 64;

/// What operations read beside values.
struct Known<B: Backend> {
    edges: EdgeIndex<B>,
    device: B::Device,
}

impl<B: Backend> Known<B> {
    fn weight<const R: usize>(&self, shape: [usize; R]) -> Tensor<B, R> {
        Tensor::ones(shape, &self.device)
    }
}

type Values<B> = std::vec::IntoIter<Value<B>>;

/// A function for each case: shapes of its operands, and what it makes of them.
macro_rules! cases {
    ($($name:ident ($($shape:expr),+) |$known:ident, $operands:ident| $body:expr;)*) => {
        mod cases {
            use super::*;

            $(
                pub(super) fn $name<B: MessageBackend>($known: &Known<B>, mut operands: Values<B>) -> Vec<Value<B>> {
                    let $operands = &mut || operands.next().unwrap();
                    let _ = $known;
                    $body
                }
            )*
        }

        #[test]
        fn operations_take_on_shapes_what_they_take_on_the_cpu() {
            let mut wrong = Vec::new();
            $(for tangents in [false, true] {
                let shapes = &[$($shape),+];
                let flex = measured(shapes, tangents, cases::$name);
                let sketch = sketched(shapes, tangents, cases::$name);
                let ratio = sketch as f64 / flex as f64;
                if !(0.97..1.03).contains(&ratio) {
                    wrong.push(format!("{}, tangents {tangents}: {flex} bytes, on shapes {sketch}", stringify!($name)));
                }
            })*
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        }
    };
}

const E1: [usize; 2] = [EDGES, 1];
const EF: [usize; 2] = [EDGES, WIDTH];
const NF: [usize; 2] = [NODES, WIDTH];

cases! {
    add (EF, EF) |_k, next| vec![next() + next()];
    subtract (EF, EF) |_k, next| vec![next() - next()];
    product (EF, EF) |_k, next| vec![next() * next()];
    fade (EF, E1) |_k, next| vec![next() * next()];
    outer_product (E1, [1, WIDTH]) |_k, next| vec![next() * next()];
    quotient (EF, E1) |_k, next| vec![next().divided_by(next())];
    square_sum (EF) |_k, next| vec![next().square().sum_columns()];
    root (EF) |_k, next| vec![next().square().add_scalar(1.0).sqrt()];
    exponential (EF) |_k, next| vec![next().mul_scalar(-1.0).exp()];
    sine (EF) |_k, next| vec![next().sin().mul_scalar(2.0)];
    softplus (EF) |_k, next| vec![next().shifted_softplus()];
    sigmoid (EF) |_k, next| vec![next().sigmoid()];
    tanh (EF) |_k, next| vec![next().tanh()];
    relu (EF) |_k, next| vec![next().relu()];
    clamp (EF) |_k, next| vec![next().clamp(-1.0, 1.0)];
    silu (EF) |_k, next| vec![next().silu()];
    matmul (EF) |k, next| vec![next().matmul(k.weight([WIDTH, WIDTH]))];
    readout (EF) |k, next| vec![next().silu().matmul(k.weight([WIDTH, 1]))];
    perceptron (EF) |k, next| {
        let hidden = next().matmul(k.weight([WIDTH, WIDTH])).add_row(k.weight([WIDTH])).silu();
        vec![hidden.matmul(k.weight([WIDTH, 1]))]
    };
    gather (NF) |k, next| vec![next().gather(&k.edges.senders)];
    sums (EF) |k, next| vec![next().sum_groups(&k.edges.receivers)];
    pairs (NF, NF) |k, next| vec![(next().gather(&k.edges.receivers) + next().gather(&k.edges.senders)).silu()];
    parts (EF) |_k, next| {
        let x = next();
        vec![x.columns(0..16) * x.columns(16..32), x.rows(8..EDGES).silu()]
    };
    joined (EF, EF) |_k, next| vec![Value::join(vec![next(), next()])];
    stacked (EF, EF) |_k, next| vec![Value::stack(vec![next(), next()])];
    outer ([EDGES, 3], EF) |_k, next| vec![next().outer(next())];
    scaled ([EDGES, 3 * WIDTH], EF) |_k, next| vec![next().scale_vectors(next())];
    dot ([EDGES, 3 * WIDTH], [EDGES, 3 * WIDTH]) |_k, next| vec![next().dot_vectors(next(), 3)];
    mixed ([EDGES, 3 * WIDTH]) |k, next| vec![next().matmul_vectors(k.weight([WIDTH, WIDTH]))];
    attention ([EDGES, 4], [NODES, 4], E1) |k, next| {
        let (a, b) = attend(&k.edges.receivers, next(), next(), Some(next()));
        vec![a, b]
    };
    fused (NF, NF, [EDGES, 16], E1) |k, next| edge_work(k, next, EdgeWork::Fused);
    composed (NF, NF, [EDGES, 16], E1) |k, next| edge_work(k, next, EdgeWork::Composed);
}

fn edge_work<B: MessageBackend>(k: &Known<B>, next: &mut impl FnMut() -> Value<B>, work: EdgeWork) -> Vec<Value<B>> {
    let messages = Messages {
        receiver: next(),
        sender: next(),
        features: next(),
        envelope: Some(next()),
        edge_weight: k.weight([16, WIDTH]),
        weight: k.weight([WIDTH, WIDTH]),
        bias: k.weight([WIDTH]),
        attention: None,
        gate: Some(Gate { weight: k.weight([WIDTH, WIDTH]), bias: k.weight([WIDTH]), readout: k.weight([WIDTH, 1]) }),
    };
    let (sums, gates) = message(work, &k.edges, messages);
    std::iter::once(sums).chain(gates).collect()
}

type Operation<A> = fn(&Known<A>, Values<A>) -> Vec<Value<A>>;

/// Runs an operation and goes back through it.
fn run<A: AutodiffBackend>(known: &Known<A>, shapes: &[[usize; 2]], tangents: bool, operation: Operation<A>) {
    let zeros = |shape: [usize; 2]| Tensor::<A::InnerBackend, 2>::zeros(shape, &known.device);
    let leaf = |shape| Tensor::<A, 2>::from_inner(zeros(shape)).require_grad();
    let value = |&shape: &[usize; 2]| match tangents {
        true => Value::with_tangent(leaf(shape), leaf(shape)),
        false => Value::new(leaf(shape)),
    };
    let operands: Vec<Value<A>> = shapes.iter().map(value).collect();
    let leaves = operands.clone();
    let found = operation(known, operands.into_iter());
    let tensors = found.iter().flat_map(|value| [Some(value.tensor()), value.tangent()]).flatten();
    let sum = tensors.map(|tensor| tensor.clone().sum()).reduce(|a, b| a + b).unwrap();
    drop(found);
    let gradients = sum.backward();
    drop((gradients, leaves));
}

fn measured(shapes: &[[usize; 2]], tangents: bool, operation: Operation<Autodiff<Flex>>) -> u64 {
    let receivers: Vec<u32> = (0..EDGES).map(|k| (k / (EDGES / NODES)) as u32).collect();
    let senders = (0..EDGES).map(|k| (k * 7919 % NODES) as u32).collect();
    let device = Default::default();
    let edges = EdgeIndex::new(EdgeList { nodes: NODES, receivers, senders }, &device);
    let known = Known { edges, device };
    // Threads make what they keep from call to call when they are first called.
    let peak = |_| {
        reset_peak();
        run(&known, shapes, tangents, operation);
        Flex::peak_bytes(&device).unwrap()
    };
    (0..5).map(peak).min().unwrap()
}

fn sketched(shapes: &[[usize; 2]], tangents: bool, operation: Operation<Autodiff<Sketch>>) -> u64 {
    let meter = Meter::new(Flex::profile(&Default::default()), 1);
    let device = SketchDevice::new(&meter);
    let edges = EdgeIndex::from_inner(EdgeIndex::<Sketch>::sized(EDGES, NODES, &device));
    let before = meter.now().total();
    let known = Known { edges, device };
    run(&known, shapes, tangents, operation);
    assert_eq!(meter.now().total(), before, "something is held for ever");
    meter.most().total() - before
}

#[test]
fn groupings_of_hosts_and_of_shapes_are_alike() {
    let host = Grouping::<Flex>::new(HostGrouping::new(vec![1, 0, 1], 4), &Default::default());
    let sized = Grouping::<Sketch>::sized(3, 4, false, &SketchDevice::default());
    assert_eq!((host.rows(), host.groups()), (sized.rows(), sized.groups()));
}
