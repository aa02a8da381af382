//! Products of tensor features on nodes and along edges: every version against the reference in double precision, and its
//! gradients against those that autodiff makes of plain operations.

mod common;

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn_flex::Flex;
use burn_ndarray::NdArray;
use common::{Random, RunOn, error, numbers, on_each_gpu};
use isograd_ops::convolution::{self, ConvolutionBackend, ConvolutionGradients, ConvolutionInputs};
use isograd_ops::dual::Dual;
use isograd_ops::gradient::Wanted;
use isograd_ops::index::{EdgeIndex, EdgeList};
use isograd_ops::kernels::KernelBackend;
use isograd_ops::kernels::mixing::{self, Mixing, Role};
use isograd_ops::kernels::tensor_product::{Slot, Table, Term};
use isograd_ops::memory::MeasuredBackend;

type F64 = NdArray<f64>;

/// Channels that fill no vector register, one, two, and leave some over.
const CHANNELS: [usize; 5] = [1, 7, 16, 32, 77];

/// Which of the inputs have tangents.
const MOVED: [[bool; 3]; 4] = [[false; 3], [true; 3], [true, false, false], [false, true, true]];

/// Random terms between so many paths and components.
fn table(sizes: [usize; 4], count: usize) -> Arc<Table> {
    let random = &mut Random(3);
    let terms = (0..count).map(|_| {
        let at = sizes.map(|size| ((random.next() + 1.0) / 2.0 * size as f64) as usize % size);
        Term { at, factor: random.next() }
    });
    Arc::new(Table::new(sizes, terms.collect()))
}

fn dual<B: Backend>(random: &mut Random, moved: bool, shape: [usize; 2], device: &B::Device) -> Dual<B> {
    let value = random.on(device, shape, 1.0);
    // The same numbers follow whether there is a tangent or not.
    let tangent = random.on(device, shape, 1.0);
    Dual { value, tangent: moved.then_some(tangent) }
}

fn flat<B: Backend>(dual: Dual<B>) -> Vec<Vec<f64>> {
    [Some(dual.value), dual.tangent].into_iter().flatten().map(numbers).collect()
}

fn compare(found: &[Vec<f64>], expected: &[Vec<f64>], limit: f64, case: &str) {
    assert_eq!(found.len(), expected.len(), "{case}");
    for (k, (found, expected)) in found.iter().zip(expected).enumerate() {
        let size = error(found, expected);
        assert!(size < limit, "{case}, number {k}: {size:e}");
    }
}

fn product_on<B: KernelBackend>(
    table: &Arc<Table>,
    missing: Slot,
    channels: usize,
    moved: [bool; 3],
    device: &B::Device,
) -> Vec<Vec<f64>> {
    let random = &mut Random(5);
    let mut moved = moved.into_iter();
    let factors =
        missing.others().map(|slot| dual::<B>(random, moved.next().unwrap(), [9, table.size(slot) * channels], device));
    flat(B::tensor_product(table, missing, factors))
}

struct Products;

impl RunOn for Products {
    type Output = ();

    fn run<B: MeasuredBackend<FloatElem = f32>>(self, device: B::Device) {
        let table = table([4, 5, 3, 6], 30);
        for missing in Slot::ALL {
            for channels in CHANNELS {
                for moved in MOVED {
                    let found = product_on::<B>(&table, missing, channels, moved, &device);
                    let expected = product_on::<F64>(&table, missing, channels, moved, &Default::default());
                    compare(&found, &expected, 3e-6, &format!("{missing:?}, {channels} channels, {moved:?}"));
                }
            }
        }
    }
}

#[test]
fn products_match_the_reference() {
    Products.run::<Flex>(Default::default());
    on_each_gpu(|| Products);
}

/// The definition, term by term.
#[test]
fn the_reference_is_the_sum_over_terms() {
    let table = table([2, 3, 2, 4], 9);
    let random = &mut Random(5);
    let [w, x, y] = [2, 3, 2].map(|size| random.on::<F64, 2>(&Default::default(), [1, 2 * size], 1.0));
    let found = F64::tensor_product(&table, Slot::Out, [w.clone(), x.clone(), y.clone()].map(Dual::new));
    let [w, x, y] = [w, x, y].map(numbers);
    let mut expected = vec![0.0; 8];
    for Term { at: [p, a, b, o], factor } in table.terms() {
        for c in 0..2 {
            expected[2 * o + c] += factor * w[2 * p + c] * x[2 * a + c] * y[2 * b + c];
        }
    }
    compare(&[numbers(found.value)], &[expected], 1e-12, "terms");
}

/// The result, and its gradients.
fn bound_on<B: KernelBackend>(channels: usize, moved: [bool; 2], device: &B::Device) -> Vec<Vec<f64>> {
    let random = &mut Random(5);
    let [x, gradient] = moved.map(|moved| dual::<B>(random, moved, [300, 3 * channels], device));
    let mut found = flat(B::bound(3, x.clone()));
    found.extend(flat(B::bound_backward(3, x, gradient)));
    found
}

struct Bounds;

impl RunOn for Bounds {
    type Output = ();

    fn run<B: MeasuredBackend<FloatElem = f32>>(self, device: B::Device) {
        for channels in CHANNELS {
            for moved in [[false; 2], [true; 2]] {
                let found = bound_on::<B>(channels, moved, &device);
                let expected = bound_on::<F64>(channels, moved, &Default::default());
                compare(&found, &expected, 3e-6, &format!("{channels} channels, {moved:?}"));
            }
        }
    }
}

#[test]
fn bounds_match_the_reference() {
    Bounds.run::<Flex>(Default::default());
    on_each_gpu(|| Bounds);
}

fn mix_on<B: KernelBackend>(mixing: &Arc<Mixing>, missing: Role, rows: usize, device: &B::Device) -> Vec<f64> {
    let random = &mut Random(5);
    let [a, b] = missing.others().map(|role| random.on::<B, 2>(device, mixing.shape(role, rows), 1.0));
    numbers(B::mix(mixing, missing, a, b))
}

struct Mixes;

impl RunOn for Mixes {
    type Output = ();

    fn run<B: MeasuredBackend<FloatElem = f32>>(self, device: B::Device) {
        // One task, several, and none; a degree without components.
        for (rows, components, channels) in
            [(9, &[1, 0, 3][..], [5, 7]), (700, &[1, 3, 5], [24, 16]), (0, &[1, 3], [2, 2])]
        {
            let mixing = Arc::new(Mixing::new(components, channels));
            for missing in Role::ALL {
                let found = mix_on::<B>(&mixing, missing, rows, &device);
                let expected = mix_on::<F64>(&mixing, missing, rows, &Default::default());
                compare(&[found], &[expected], 3e-6, &format!("{missing:?}, {rows} rows of {components:?}"));
            }
        }
    }
}

#[test]
fn maps_of_channels_match_the_reference() {
    Mixes.run::<Flex>(Default::default());
    on_each_gpu(|| Mixes);
}

/// The definition, number by number.
#[test]
fn the_reference_maps_each_component_by_the_matrix_of_its_degree() {
    let mixing = Arc::new(Mixing::new(&[1, 2], [2, 1]));
    let data = |values: &[f64], shape: [usize; 2]| {
        Tensor::<F64, 2>::from_data(burn::tensor::TensorData::new(values.to_vec(), shape), &Default::default())
    };
    let x = data(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1, 6]);
    let weights = data(&[1.0, 10.0, 100.0, 1000.0], [4, 1]);
    assert_eq!(numbers(F64::mix(&mixing, Role::Result, x, weights)), [21.0, 4300.0, 6500.0]);
}

/// Edges between nodes, one of which receives nothing, one of which sends nothing.
fn edge_list(nodes: usize, degree: usize) -> EdgeList {
    let mut list = EdgeList { nodes, ..EdgeList::default() };
    for receiver in 1..nodes {
        for k in 0..degree {
            list.receivers.push(receiver as u32);
            list.senders.push(((receiver * 7 + k * 3) % (nodes - 1)) as u32);
        }
    }
    list
}

struct Case {
    table: Arc<Table>,
    edges: EdgeList,
    channels: usize,
    moved: [bool; 3],
}

const BASIS: usize = 5;

impl Case {
    fn inputs<B: Backend>(&self, device: &B::Device) -> ConvolutionInputs<B> {
        let random = &mut Random(7);
        let [paths, first, second, _] = Slot::ALL.map(|slot| self.table.size(slot));
        let count = self.edges.receivers.len();
        let [nodes, directions, features] = self.moved;
        ConvolutionInputs {
            nodes: dual(random, nodes, [self.edges.nodes, second * self.channels], device),
            directions: dual(random, directions, [count, first], device),
            features: dual(random, features, [count, BASIS], device),
            weight: random.on(device, [BASIS, paths * self.channels], 1.0),
        }
    }

    fn gradient<B: Backend>(&self, device: &B::Device) -> Dual<B> {
        let shape = [self.edges.nodes, self.table.size(Slot::Out) * self.channels];
        dual(&mut Random(11), self.moved.contains(&true), shape, device)
    }

    /// The result, and all gradients.
    fn found<B: ConvolutionBackend>(&self, device: &B::Device) -> [Vec<Vec<f64>>; 2] {
        let edges = EdgeIndex::new(self.edges.clone(), device);
        let inputs = self.inputs::<B>(device);
        let result = flat(B::convolve(&self.table, &edges, &inputs));
        let wanted = Wanted { geometry: true, weights: true };
        let found = B::convolve_backward(&self.table, &edges, &inputs, self.gradient(device), wanted);
        let ConvolutionGradients { nodes, geometry, weight } = found;
        let mut gradients = flat(nodes);
        geometry.into_iter().flatten().for_each(|gradient| gradients.extend(flat(gradient)));
        gradients.extend(weight.map(numbers));
        [result, gradients]
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for channels in CHANNELS {
        for moved in MOVED {
            cases.push(Case { table: table([4, 5, 3, 6], 30), edges: edge_list(8, 3), channels, moved });
        }
    }
    // Several lanes, several tiles.
    cases.push(Case { table: table([3, 4, 2, 5], 20), edges: edge_list(60, 9), channels: 24, moved: [true; 3] });
    cases
}

struct Convolutions;

impl RunOn for Convolutions {
    type Output = ();

    fn run<B: MeasuredBackend<FloatElem = f32>>(self, device: B::Device) {
        for case in cases() {
            let name = format!("{} edges, {} channels, {:?}", case.edges.receivers.len(), case.channels, case.moved);
            let [result, gradients] = case.found::<B>(&device);
            let [exact, exact_gradients] = case.found::<F64>(&Default::default());
            compare(&result, &exact, 3e-6, &name);
            compare(&gradients, &exact_gradients, 5e-6, &format!("{name}, gradients"));
        }
    }
}

#[test]
fn convolutions_match_the_reference() {
    Convolutions.run::<Flex>(Default::default());
    on_each_gpu(|| Convolutions);
}

/// Gradients of the operation, and those that autodiff makes of the plain operations it is defined by.
#[test]
fn gradients_of_convolutions_are_those_of_plain_operations() {
    type Tracked = Autodiff<F64>;
    for case in cases().into_iter().filter(|case| case.channels < 16) {
        let device = Default::default();
        let edges = EdgeIndex::<Tracked>::new(case.edges.clone(), &device);
        let found = [
            Tracked::convolve,
            |table: &Arc<Table>, edges: &EdgeIndex<Tracked>, inputs: &ConvolutionInputs<Tracked>| {
                convolution::convolve(table, edges, inputs)
            },
        ]
        .map(|operation| {
            let leaf = |tensor: Tensor<Tracked, 2>| tensor.require_grad();
            let leaves = |input: Dual<Tracked>| Dual { value: leaf(input.value), tangent: input.tangent.map(leaf) };
            let inputs = case.inputs::<Tracked>(&device);
            let inputs = ConvolutionInputs {
                nodes: leaves(inputs.nodes),
                directions: leaves(inputs.directions),
                features: leaves(inputs.features),
                weight: leaf(inputs.weight),
            };
            let result = operation(&case.table, &edges, &inputs);
            let of = case.gradient::<Tracked>(&device);
            let mut objective = (result.value * of.value).sum();
            if let Some((result, of)) = result.tangent.zip(of.tangent) {
                objective = objective + (result * of).sum();
            }
            let mut gradients = objective.backward();
            let read = [inputs.nodes, inputs.directions, inputs.features];
            let read = read.into_iter().flat_map(|input| [Some(input.value), input.tangent]).flatten();
            let read = read.chain([inputs.weight]);
            read.map(|leaf| {
                numbers::<<Tracked as AutodiffBackend>::InnerBackend, 2>(leaf.grad_remove(&mut gradients).unwrap())
            })
            .collect::<Vec<_>>()
        });
        compare(&found[0], &found[1], 1e-12, &format!("{} channels, {:?}", case.channels, case.moved));
    }
}

/// Gradients of a map of channels, and of all that products of its result are made of, against those that autodiff makes of
/// plain operations.
#[test]
fn gradients_of_maps_are_those_of_plain_operations() {
    type Tracked = Autodiff<F64>;
    let mixing = Arc::new(Mixing::new(&[1, 0, 3], [5, 7]));
    for missing in Role::ALL {
        let device = Default::default();
        let found =
            [Tracked::mix, |mixing: &Arc<Mixing>, missing: Role, a: Tensor<Tracked, 2>, b: Tensor<Tracked, 2>| {
                mixing::mix(mixing, missing, a, b)
            }]
            .map(|operation| {
                let random = &mut Random(5);
                let leaves = missing.others().map(|role| random.on::<Tracked, 2>(&device, mixing.shape(role, 9), 1.0));
                let [a, b] = leaves.map(Tensor::require_grad);
                let of = random.on::<Tracked, 2>(&device, mixing.shape(missing, 9), 1.0);
                let mut gradients = (operation(&mixing, missing, a.clone(), b.clone()) * of).sum().backward();
                [a, b].map(|leaf| numbers::<F64, 2>(leaf.grad_remove(&mut gradients).unwrap()))
            });
        compare(&found[0], &found[1], 1e-12, &format!("{missing:?}"));
    }
}
