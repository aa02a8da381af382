//! The tangent of every operation on values against differences of the operation, and the gradient of the tangent against
//! differences of the tangent, in double precision. An operation without an entry here is a failing test.

mod common;

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::{ElementConversion, Tensor};
use burn_ndarray::NdArray;
use common::Random;
use isograd_ops::index::{EdgeIndex, EdgeList, Grouping, HostGrouping};
use isograd_ops::kernels::KernelBackend;
use isograd_ops::kernels::mixing::Mixing;
use isograd_ops::kernels::tensor_product::{Table, Term};
use isograd_ops::message::MessageBackend;
use isograd_ops::value::{Convolution, EdgeWork, Gate, Messages, Value, attend, convolve, message};

type Exact = NdArray<f64>;
type Tracked = Autodiff<Exact>;

/// Rows and columns of a usual operand.
const SHAPE: [usize; 2] = [5, 6];

/// An operation, without and with autodiff.
struct Operation {
    exact: fn(Vec<Value<Exact>>) -> Vec<Value<Exact>>,
    tracked: fn(Vec<Value<Tracked>>) -> Vec<Value<Tracked>>,
}

/// A function for each operation, in a module of their own, where they may be named as the operations are.
macro_rules! operations {
    ($($name:ident ($($shape:expr),+) |$operands:ident| $body:expr;)*) => {
        mod operations {
            use super::*;

            $(
                pub(super) fn $name<B: MessageBackend>(operands: Vec<Value<B>>) -> Vec<Value<B>> {
                    let $operands = &mut operands.into_iter();
                    $body
                }
            )*
        }

        /// The names of the operations that are tested.
        const TESTED: &[&str] = &[$(stringify!($name)),*];

        #[test]
        fn tangents_are_slopes_and_have_gradients() {
            $({
                let operation = Operation { exact: operations::$name, tracked: operations::$name };
                check(stringify!($name), &operation, &[$($shape),+]);
            })*
        }
    };
}

fn weight<B: KernelBackend, const R: usize>(seed: u64, shape: [usize; R]) -> Tensor<B, R> {
    Random(seed).on::<B, R>(&Default::default(), shape, 1.0)
}

/// Seven edges between five nodes.
fn edges<B: KernelBackend>() -> EdgeIndex<B> {
    let list = EdgeList { nodes: 5, receivers: vec![0, 0, 1, 2, 2, 2, 4], senders: vec![1, 3, 0, 4, 0, 3, 2] };
    EdgeIndex::new(list, &Default::default())
}

fn groups<B: KernelBackend>() -> Grouping<B> {
    Grouping::new(HostGrouping::new(vec![1, 0, 1, 3, 1], 4), &Default::default())
}

/// Positive and away from zero.
fn positive<B: KernelBackend>(value: Option<Value<B>>) -> Value<B> {
    value.unwrap().square().add_scalar(0.5)
}

fn messages<B: MessageBackend>(
    work: EdgeWork,
    attention: bool,
    operands: &mut std::vec::IntoIter<Value<B>>,
) -> Vec<Value<B>> {
    let mut next = || operands.next().unwrap();
    let messages = Messages {
        receiver: next(),
        sender: next(),
        features: next(),
        envelope: Some(next()),
        edge_weight: weight(31, [3, 6]),
        weight: weight(32, [6, 6]),
        bias: weight(33, [6]),
        attention: attention.then(|| (weight(34, [6, 1]), weight(35, [1]))),
        gate: Some(Gate { weight: weight(36, [6, 6]), bias: weight(37, [6]), readout: weight(38, [6, 1]) }),
    };
    let (sums, gates) = message(work, &edges(), messages);
    vec![sums, gates.unwrap()]
}

/// Two paths from three and two components to four.
fn table() -> Arc<Table> {
    let at = [[0, 0, 0, 1], [0, 1, 0, 1], [0, 2, 1, 3], [1, 0, 1, 0], [1, 0, 1, 1], [1, 2, 0, 2], [1, 1, 1, 0]];
    let terms = at.into_iter().zip(1..).map(|(at, k)| Term { at, factor: 0.3 * f64::from(k) - 1.0 }).collect();
    Arc::new(Table::new([2, 3, 2, 4], terms))
}

fn convolutions<B: MessageBackend>(work: EdgeWork, operands: &mut std::vec::IntoIter<Value<B>>) -> Vec<Value<B>> {
    let mut next = || operands.next().unwrap();
    let of = Convolution { nodes: next(), directions: next(), features: next(), weight: weight(41, [2, 4]) };
    vec![convolve(work, &table(), &edges(), of)]
}

operations! {
    add(SHAPE, SHAPE) |x| vec![x.next().unwrap() + x.next().unwrap()];
    sub(SHAPE, [5, 1]) |x| vec![x.next().unwrap() - x.next().unwrap()];
    mul(SHAPE, [5, 1]) |x| vec![x.next().unwrap() * x.next().unwrap()];
    neg(SHAPE) |x| vec![-x.next().unwrap()];
    add_scalar(SHAPE) |x| vec![x.next().unwrap().add_scalar(0.7)];
    mul_scalar(SHAPE) |x| vec![x.next().unwrap().mul_scalar(0.7)];
    div_scalar(SHAPE) |x| vec![x.next().unwrap().div_scalar(0.7)];
    divided_by(SHAPE, [5, 1]) |x| vec![x.next().unwrap().divided_by(positive(x.next()))];
    add_row(SHAPE) |x| vec![x.next().unwrap().add_row(weight(1, [6]))];
    mul_row(SHAPE) |x| vec![x.next().unwrap().mul_row(weight(1, [6]))];
    square(SHAPE) |x| vec![x.next().unwrap().square()];
    sum_columns(SHAPE) |x| vec![x.next().unwrap().square().sum_columns()];
    sqrt(SHAPE) |x| vec![positive(x.next()).sqrt()];
    recip(SHAPE) |x| vec![positive(x.next()).recip()];
    exp(SHAPE) |x| vec![x.next().unwrap().exp()];
    log(SHAPE) |x| vec![positive(x.next()).log()];
    sin(SHAPE) |x| vec![x.next().unwrap().sin()];
    cos(SHAPE) |x| vec![x.next().unwrap().cos()];
    clamp_max(SHAPE) |x| vec![x.next().unwrap().square().clamp_max(0.2)];
    clamp(SHAPE) |x| vec![x.next().unwrap().square().clamp(0.1, 0.4)];
    tanh(SHAPE) |x| vec![x.next().unwrap().tanh()];
    sigmoid(SHAPE) |x| vec![x.next().unwrap().sigmoid()];
    relu(SHAPE) |x| vec![x.next().unwrap().relu().square()];
    shifted_softplus(SHAPE) |x| vec![x.next().unwrap().shifted_softplus()];
    matmul(SHAPE) |x| vec![x.next().unwrap().square().matmul(weight(2, [6, 4]))];
    silu(SHAPE) |x| vec![x.next().unwrap().silu()];
    gather([4, 6]) |x| vec![x.next().unwrap().square().gather(&groups())];
    sum_groups(SHAPE) |x| vec![x.next().unwrap().square().sum_groups(&groups())];
    outer([5, 3], [5, 2]) |x| vec![x.next().unwrap().outer(x.next().unwrap())];
    scale_vectors(SHAPE, [5, 2]) |x| vec![x.next().unwrap().scale_vectors(x.next().unwrap())];
    dot_vectors(SHAPE, SHAPE) |x| vec![x.next().unwrap().dot_vectors(x.next().unwrap(), 3)];
    matmul_vectors(SHAPE) |x| vec![x.next().unwrap().square().matmul_vectors(weight(3, [2, 4]))];
    reshape(SHAPE) |x| vec![x.next().unwrap().square().reshape([10, 3])];
    rows(SHAPE) |x| vec![x.next().unwrap().square().rows(1..4)];
    columns(SHAPE) |x| vec![x.next().unwrap().square().columns(2..5)];
    stack(SHAPE, [2, 6]) |x| vec![Value::stack(vec![x.next().unwrap().square(), x.next().unwrap()])];
    join(SHAPE, [5, 2]) |x| vec![Value::join(vec![x.next().unwrap().square(), x.next().unwrap()])];
    transpose(SHAPE) |x| vec![x.next().unwrap().square().transpose()];
    tensor_product([5, 6], [5, 4], [5, 4]) |x| {
        let (first, second, weights) = (x.next().unwrap(), x.next().unwrap(), x.next().unwrap());
        vec![first.tensor_product(&table(), second, weights)]
    };
    bounded(SHAPE) |x| vec![x.next().unwrap().bounded(3)];
    mix([5, 8]) |x| vec![x.next().unwrap().square().mix(&Arc::new(Mixing::new(&[1, 0, 3], [2, 3])), weight(43, [6, 3]))];
    convolve([5, 4], [7, 3], [7, 2]) |x| convolutions(EdgeWork::Fused, x);
    convolve_composed([5, 4], [7, 3], [7, 2]) |x| convolutions(EdgeWork::Composed, x);
    attend([7, 2], [5, 2], [7, 1]) |x| {
        let (first, second, fade) = (x.next().unwrap(), x.next().unwrap(), positive(x.next()));
        let (edge, own) = shares(first, second, fade);
        vec![edge, own]
    };
    message([5, 6], [5, 6], [7, 3], [7, 1]) |x| messages(EdgeWork::Fused, false, x);
    message_composed([5, 6], [5, 6], [7, 3], [7, 1]) |x| messages(EdgeWork::Composed, false, x);
    message_with_attention([5, 6], [5, 6], [7, 3], [7, 1]) |x| messages(EdgeWork::Fused, true, x);
}

fn shares<B: MessageBackend>(first: Value<B>, second: Value<B>, fade: Value<B>) -> (Value<B>, Value<B>) {
    attend(&edges().receivers, first, second, Some(fade))
}

/// What becomes of operands that have gone `step` along their directions, some of which have none.
fn results<B: MessageBackend>(
    operation: fn(Vec<Value<B>>) -> Vec<Value<B>>,
    shapes: &[[usize; 2]],
    which: u32,
    step: f64,
    operands: impl Fn(usize) -> Tensor<B, 2>,
) -> Vec<Value<B>> {
    let place = |(place, &shape): (usize, &[usize; 2])| {
        let direction: Tensor<B, 2> = weight(100 + place as u64, shape);
        let moved = operands(place);
        match which >> place & 1 {
            1 => Value::with_tangent(moved + direction.clone().mul_scalar(step), direction),
            _ => Value::new(moved),
        }
    };
    operation(shapes.iter().enumerate().map(place).collect())
}

/// A number of all elements, of values or of tangents; zero without any.
fn number<B: KernelBackend>(values: &[Value<B>], tangent: bool) -> Tensor<B, 1> {
    let sum = values.iter().enumerate().filter_map(|(k, value)| {
        let own = if tangent { value.tangent()?.clone() } else { value.tensor().clone() };
        Some((own.clone() * weight(200 + k as u64, own.dims())).sum())
    });
    sum.reduce(|a, b| a + b).unwrap_or_else(|| Tensor::zeros([1], &Default::default()))
}

fn check(name: &str, operation: &Operation, shapes: &[[usize; 2]]) {
    const STEP: f64 = 1e-5;
    let plain = |place: usize| -> Tensor<Exact, 2> { weight(10 + place as u64, shapes[place]) };
    let near = |what: &str, which: u32, found: f64, expected: f64| {
        let error = (found - expected).abs();
        assert!(error < 1e-8 * expected.abs().max(1.0), "{name}, {what}, operands {which:b}: {found}, not {expected}");
    };
    for which in 0..1u32 << shapes.len() {
        let of = |step: f64, tangent: bool| -> f64 {
            number(&results::<Exact>(operation.exact, shapes, which, step, plain), tangent).into_scalar().elem()
        };
        let slope = (of(STEP, false) - of(-STEP, false)) / (2.0 * STEP);
        near("tangent", which, of(0.0, true), slope);
        if which == 0 {
            continue;
        }
        // The gradient of the tangent with respect to each operand, along a direction of its own.
        for moved in 0..shapes.len() {
            let along: Tensor<Exact, 2> = weight(300, shapes[moved]);
            let shifted = |step: f64| {
                let operand = |place: usize| match place == moved {
                    true => plain(place) + along.clone().mul_scalar(step),
                    false => plain(place),
                };
                let found = results::<Exact>(operation.exact, shapes, which, 0.0, operand);
                number(&found, true).into_scalar().elem::<f64>()
            };
            let expected = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP);
            let leaf = Tensor::<Tracked, 2>::from_inner(plain(moved)).require_grad();
            let operand = |place: usize| match place == moved {
                true => leaf.clone(),
                false => Tensor::from_inner(plain(place)),
            };
            let tangent = number(&results::<Tracked>(operation.tracked, shapes, which, 0.0, operand), true);
            let gradients = (tangent + leaf.clone().sum().mul_scalar(0.0)).backward();
            let found = leaf.grad(&gradients).unwrap();
            near("gradient of the tangent", which, (found * along).sum().into_scalar().elem(), expected);
        }
    }
}

#[test]
fn every_operation_is_among_them() {
    // What makes, reads or moves values without computing on them.
    const OTHERS: [&str; 12] = [
        "new",
        "from",
        "with_tangent",
        "zeros",
        "zeros_like",
        "tensor",
        "tangent",
        "into_tensor",
        "dims",
        "device",
        "detached",
        "leaf",
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = std::fs::read_dir(folder.join("value")).unwrap().map(|entry| entry.unwrap().path());
    let mut found = 0;
    for file in files.chain([folder.join("value.rs")]) {
        let text = std::fs::read_to_string(&file).unwrap();
        for line in text.lines().map(str::trim) {
            let public =
                line.strip_prefix("pub fn ").or_else(|| line.strip_prefix("fn ").filter(|_| line.contains("Self")));
            let Some(name) = public.and_then(|rest| rest.split(['(', '<']).next()) else { continue };
            found += 1;
            let known = TESTED.contains(&name) || OTHERS.contains(&name) || name == "inner";
            assert!(known, "{}: `{name}` has no test of its tangent", file.display());
        }
    }
    assert!(found > 40, "only {found} operations were found");
}
