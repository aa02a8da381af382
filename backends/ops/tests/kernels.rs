//! The small operations against their references in double precision, on every backend with versions
//! of its own, and under autodiff.

mod common;

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{ElementConversion, Tensor};
use burn_flex::Flex;
use burn_ndarray::NdArray;
use common::{Random, RunOn, error, numbers, on_each_gpu};
use isograd_ops::index::{Grouping, HostGrouping};
use isograd_ops::kernels::contraction::{self, Contraction};
use isograd_ops::kernels::muon::MuonStep;
use isograd_ops::kernels::{AdamwState, AdamwStep, KernelBackend, reference};
use isograd_ops::memory::MeasuredBackend;

type Exact = NdArray<f64>;

/// Random groups of rows; the last group is empty, and some have many rows.
fn groups(rows: usize, groups: usize, sorted: bool) -> HostGrouping {
    let mut random = Random(4);
    let last = groups.saturating_sub(1).max(1);
    let mut of: Vec<u32> = (0..rows).map(|_| (random.next().powi(2) * last as f64) as u32).collect();
    if sorted {
        of.sort_unstable();
    }
    HostGrouping::new(of, groups)
}

fn agrees<B: KernelBackend>(device: &B::Device, limit: f64) {
    let check = |name: &str, found: &[f64], expected: &[f64]| {
        let size = error(found, expected);
        assert!(size < limit, "{name}: {size:e}");
    };
    for length in [0, 1, 77, 40_000] {
        let x = || Random(1).tensor::<Exact, 1>([length], 8.0);
        let g = || Random(2).tensor::<Exact, 1>([length], 1.0);
        let x_here = Random(1).on::<B, 1>(device, [length], 8.0);
        let g_here = Random(2).on::<B, 1>(device, [length], 1.0);
        check("silu", &numbers(B::silu(x_here.clone())), &numbers(reference::silu(x())));
        let found = numbers(B::silu_backward(x_here, g_here));
        check("slope of silu", &found, &numbers(reference::silu_backward(x(), g())));
    }
    for (rows, count, columns) in
        [(0, 3, 2), (5, 1, 1), (900, 60, 1), (900, 60, 3), (900, 60, 13), (7000, 5, 24), (200_000, 3, 3)]
    {
        for sorted in [true, false] {
            let host = groups(rows, count, sorted);
            let here = Grouping::<B>::new(host.clone(), device);
            let there = Grouping::<Exact>::new(host, &Default::default());
            let name = format!("{rows} rows of {columns} in {count} groups");
            let gathered = B::gather(&here, Random(3).on(device, [count, columns], 1.0));
            let expected = reference::gather(&there, Random(3).tensor([count, columns], 1.0));
            check(&format!("{name}, gathered"), &numbers(gathered), &numbers(expected));
            let summed = B::sum_groups(&here, Random(4).on(device, [rows, columns], 1.0));
            let expected = reference::sum_groups(&there, Random(4).tensor([rows, columns], 1.0));
            check(&format!("{name}, summed"), &numbers(summed), &numbers(expected));
        }
    }
    for contraction in Contraction::all(3) {
        for (rows, features) in [(0, 4), (1, 1), (70, 5), (3000, 24)] {
            let [first, second] = factors(contraction, features);
            let found = B::contract(
                contraction,
                Random(5).on(device, [rows, first], 1.0),
                Random(6).on(device, [rows, second], 1.0),
            );
            let (a, b) = (Random(5).tensor([rows, first], 1.0), Random(6).tensor([rows, second], 1.0));
            let expected = contraction::reference::<Exact>(contraction, a, b);
            check(&format!("{contraction:?}, {rows} rows, {features} features"), &numbers(found), &numbers(expected));
        }
    }
    for length in [1, 50_000] {
        let (here, there) = (adamw::<B>(device, length), adamw::<Exact>(&Default::default(), length));
        for (found, expected) in here.iter().zip(&there) {
            check("AdamW", found, expected);
        }
    }
}

/// Columns of the factors in three dimensions.
fn factors(contraction: Contraction, features: usize) -> [usize; 2] {
    match contraction {
        Contraction::Outer => [3, features],
        Contraction::Scale | Contraction::Across => [3 * features, features],
        Contraction::Inner { .. } => [3 * features, 3 * features],
        Contraction::Along => [3 * features, 3],
    }
}

#[test]
fn gradients_of_contractions_are_contractions() {
    type A = Autodiff<Exact>;
    for contraction in Contraction::all(3) {
        let [first, second] = factors(contraction, 4);
        let gradients = |product: fn(Contraction, Tensor<A, 2>, Tensor<A, 2>) -> Tensor<A, 2>| {
            let a = Random(5).tensor::<A, 2>([6, first], 1.0).require_grad();
            let b = Random(6).tensor::<A, 2>([6, second], 1.0).require_grad();
            let found = product(contraction, a.clone(), b.clone());
            let weights = Random(7).tensor::<A, 2>(found.dims(), 1.0);
            let grads = (found * weights).sum().backward();
            [a, b].map(|factor| numbers(factor.grad(&grads).unwrap()))
        };
        let (own, plain) = (gradients(A::contract), gradients(contraction::reference));
        for (own, plain) in own.iter().zip(&plain) {
            assert!(error(own, plain) < 1e-12, "{contraction:?}");
        }
    }
}

#[test]
#[should_panic(expected = "are no vectors of 4")]
fn factors_that_do_not_go_together_are_named() {
    let of = |columns| Random(1).tensor::<Flex, 2>([2, columns], 1.0);
    Flex::contract(Contraction::Scale, of(6), of(4));
}

/// Values and moments after three steps, the first from moments of zero.
fn adamw<B: KernelBackend>(device: &B::Device, length: usize) -> [Vec<f64>; 3] {
    let zeros = || Random(0).on::<B, 1>(device, [length], 0.0);
    let mut state = AdamwState { values: Random(5).on(device, [length], 1.0), moments: [zeros(), zeros()] };
    for step in 1..=3 {
        let settings = AdamwStep {
            learning_rate: 0.01 * step as f64,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-6,
            weight_decay: 0.1,
            gradient_scale: 0.5,
            step,
        };
        let kept = state.values.clone();
        let before = numbers(kept.clone());
        state = B::adamw(&settings, state, Random(6 + step as u64).on(device, [length], 1.0));
        // A tensor that someone else still holds is not written to.
        assert_eq!(before, numbers(kept));
    }
    let [first, second] = state.moments;
    [state.values, first, second].map(numbers)
}

/// Momentum, orthogonal part and values after three steps of matrices below and beside each other.
fn muon<B: KernelBackend>(device: &B::Device, matrix: [usize; 2], grid: [usize; 2]) -> [Vec<f64>; 3] {
    let shape = [matrix[0] * grid[0], matrix[1] * grid[1]];
    let length = shape[0] * shape[1];
    let mut values: Tensor<B, 1> = Random(5).on(device, [length], 1.0);
    let mut momentum: Tensor<B, 1> = Random(0).on(device, [length], 0.0);
    let mut orthogonal = Vec::new();
    for number in 1..=3 {
        let settings =
            MuonStep { learning_rate: 0.01 * number as f64, momentum: 0.9, weight_decay: 0.1, gradient_scale: 0.5 };
        let kept = [values.clone(), momentum.clone()];
        let before = kept.clone().map(numbers);
        let [new, ahead] = B::momentum(&settings, momentum, Random(6 + number).on(device, [length], 1.0));
        let direction = B::orthogonal(matrix, ahead.reshape(shape)).reshape([length]);
        orthogonal = numbers(direction.clone());
        (values, momentum) = (B::descend(&settings, matrix, values, direction), new);
        // A tensor that someone else still holds is not written to.
        assert_eq!(before, kept.map(numbers));
    }
    [numbers(momentum), orthogonal, numbers(values)]
}

/// Matrices that are wide, tall, square, large enough for several tasks, and of one row.
const MATRICES: [([usize; 2], [usize; 2]); 6] = [
    ([8, 32], [1, 3]),
    ([7, 3], [2, 2]),
    ([5, 5], [3, 1]),
    ([200, 180], [1, 1]),
    ([130, 300], [1, 1]),
    ([1, 4], [2, 1]),
];

fn muon_agrees<B: KernelBackend>(device: &B::Device) {
    for (matrix, grid) in MATRICES {
        let exact = muon::<Exact>(&Default::default(), matrix, grid);
        for (found, exact) in muon::<B>(device, matrix, grid).iter().zip(&exact) {
            let size = error(found, exact);
            assert!(size < 1e-4, "{matrix:?} in {grid:?}: {size:e}");
        }
    }
}

#[test]
fn muon_matches_the_reference() {
    struct Run;
    impl RunOn for Run {
        type Output = ();
        fn run<B: MeasuredBackend<FloatElem = f32>>(self, device: B::Device) {
            muon_agrees::<B>(&device);
        }
    }
    muon_agrees::<Flex>(&Default::default());
    on_each_gpu(|| Run);
}

/// Each of several matrices becomes orthogonal by itself: singular values come near one, and directions stay.
#[test]
fn orthogonal_parts_have_no_preferred_direction() {
    let device = Default::default();
    // Two matrices of three rows and four columns, with singular values from 0.01 to 2 along the axes.
    let mut values = vec![0.0; 24];
    for (k, size) in [1.0, 0.1, 0.01, 2.0, -0.5, 0.02].into_iter().enumerate() {
        values[k * 4 + k % 3] = size;
    }
    let x = Tensor::<Exact, 2>::from_data(burn::tensor::TensorData::new(values, [6, 4]), &device);
    let found = numbers(Exact::orthogonal([3, 4], x));
    for (k, sign) in [1.0, 1.0, 1.0, 1.0, -1.0, 1.0].into_iter().enumerate() {
        let own = sign * found[k * 4 + k % 3];
        assert!((0.65..1.25).contains(&own), "{k}: {own}");
    }
    assert_eq!(found.iter().filter(|value| value.abs() > 1e-12).count(), 6);
}

#[test]
#[should_panic(expected = "are no matrices of 3 and 4")]
fn matrices_that_do_not_fill_a_parameter_are_named() {
    Flex::orthogonal([3, 4], Random(1).tensor::<Flex, 2>([4, 4], 1.0));
}

/// Products, of factors as they are and of transposed ones. TF32, which GPUs take where they may, is wrong by 3e-4.
fn products_agree<B: KernelBackend>(device: &B::Device, limit: f64) {
    let check = |name: &str, found: &[f64], expected: &[f64]| {
        let size = error(found, expected);
        assert!(size < limit, "{name}: {size:e}");
    };
    for (m, k, n) in [
        (0, 3, 2),
        (1, 1, 1),
        (3, 2, 5),
        (7, 40, 1),
        (1, 33, 9),
        (5550, 40, 40),
        (777, 256, 256),
        (40_000, 16, 64),
        (130, 5, 515),
    ] {
        let factors = || (Random(1).tensor::<Exact, 2>([m, k], 1.0), Random(2).tensor::<Exact, 2>([k, n], 1.0));
        let expected =
            numbers(if m == 0 { Tensor::zeros([0, n], &Default::default()) } else { factors().0.matmul(factors().1) });
        let name = format!("[{m}, {k}] times [{k}, {n}]");
        let (a, b) = (Random(1).on::<B, 2>(device, [m, k], 1.0), Random(2).on::<B, 2>(device, [k, n], 1.0));
        check(&name, &numbers(B::matmul(a.clone(), b.clone())), &expected);
        if m > 0 {
            // The same numbers in the other order in memory.
            let turned = |x: Tensor<B, 2>| {
                let [rows, columns] = x.dims();
                x.transpose().reshape([1, columns, rows]).add_scalar(0.0).reshape([columns, rows]).transpose()
            };
            check(&format!("{name}, second turned"), &numbers(B::matmul(a.clone(), turned(b.clone()))), &expected);
            check(&format!("{name}, first turned"), &numbers(B::matmul(turned(a), b)), &expected);
        }
    }
    for (rows, k, n) in
        [(0, 3, 2), (1, 2, 2), (700, 5, 1), (5550, 40, 40), (9001, 16, 64), (70_000, 64, 24), (4096, 200, 256)]
    {
        let (a, b) = (Random(3).tensor::<Exact, 2>([rows, k], 1.0), Random(4).tensor::<Exact, 2>([rows, n], 1.0));
        let expected = if rows == 0 { Tensor::zeros([k, n], &Default::default()) } else { a.transpose().matmul(b) };
        let (a, b) = (Random(3).on::<B, 2>(device, [rows, k], 1.0), Random(4).on::<B, 2>(device, [rows, n], 1.0));
        check(&format!("over {rows} rows, {k} by {n}"), &numbers(B::matmul_over_rows(a, b)), &numbers(expected));
    }
}

#[test]
fn the_cpu_versions_agree_with_the_references() {
    agrees::<Flex>(&Default::default(), 2e-6);
    products_agree::<Flex>(&Default::default(), 5e-6);
}

struct Agrees;

impl RunOn for Agrees {
    type Output = ();

    fn run<B: MeasuredBackend<FloatElem = f32>>(self, device: B::Device) {
        agrees::<B>(&device, 2e-6);
        products_agree::<B>(&device, 5e-6);
    }
}

#[test]
fn the_versions_of_gpus_agree_with_the_references() {
    on_each_gpu(|| Agrees);
}

/// The step as it is written in the paper, on one number.
#[test]
fn adamw_is_that_of_the_paper() {
    let settings = AdamwStep {
        learning_rate: 0.02,
        beta_1: 0.8,
        beta_2: 0.95,
        epsilon: 0.01,
        weight_decay: 0.3,
        gradient_scale: 1.0,
        step: 4,
    };
    let one = |x: f64| Tensor::<Exact, 1>::from_data([x], &Default::default());
    let state = AdamwState { values: one(1.5), moments: [one(0.2), one(0.7)] };
    let found = Exact::adamw(&settings, state, one(-0.4));
    let (m, v) = (0.8 * 0.2 + 0.2 * -0.4, 0.95 * 0.7 + 0.05 * 0.16);
    let (m_hat, v_hat) = (m / (1.0 - 0.8f64.powi(4)), v / (1.0 - 0.95f64.powi(4)));
    let expected = 1.5 - 0.02 * 0.3 * 1.5 - 0.02 * m_hat / (v_hat.sqrt() + 0.01);
    assert!((found.values.into_scalar() - expected).abs() < 1e-8);
}

/// A value made of all three operations, and its gradient with respect to `x [4, 3]`.
fn composed<B: KernelBackend>(grouping: &Grouping<B>, x: Tensor<B, 2>) -> Tensor<B, 1> {
    let rows = B::silu(B::gather(grouping, x.clone()));
    let sums = B::sum_groups(grouping, rows.clone() * rows);
    (sums.clone() * B::silu(sums + x)).sum()
}

fn derivatives_match<A: AutodiffBackend + KernelBackend>()
where
    A::InnerBackend: KernelBackend,
{
    let grouping = || groups(9, 4, false);
    let tracked = Random(7).tensor::<A, 2>([4, 3], 1.0).require_grad();
    let grads = composed(&Grouping::new(grouping(), &Default::default()), tracked.clone()).backward();
    let direction = Random(8).tensor::<A::InnerBackend, 2>([4, 3], 1.0);
    let exact: f64 = (tracked.grad(&grads).unwrap() * direction).sum().into_scalar().elem();
    let at = |step: f64| -> f64 {
        let x = Random(7).tensor::<Exact, 2>([4, 3], 1.0) + Random(8).tensor::<Exact, 2>([4, 3], step);
        composed(&Grouping::new(grouping(), &Default::default()), x).into_scalar()
    };
    let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
    assert!((exact - numeric).abs() < 2e-6 * numeric.abs(), "{exact} instead of {numeric}");
}

#[test]
fn gradients_match_finite_differences() {
    derivatives_match::<Autodiff<Exact>>();
    derivatives_match::<Autodiff<Flex>>();
}
