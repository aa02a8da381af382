//! The operation on values and tangents: against finite differences in f64, and every version against the reference.

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn_flex::Flex;
use burn_ndarray::NdArray;
use isograd_ops::index::EdgeIndex;
use isograd_ops::memory::MeasuredBackend;
use isograd_ops::message::{
    DualGradients, DualInputs, DualOutputs, GateInputs, MessageBackend, MessageInputs, MessageOutputs, MessageTangents,
    Wanted, reference,
};

use super::common::{Random, RunOn, error, numbers, on_each_gpu};
use super::{Shape, WANTED, flat, inputs_on, objective, shape, shapes, tracked};

type F64 = NdArray<f64>;

/// Which of features and envelope have tangents.
const MOVED: [[bool; 2]; 3] = [[true, true], [true, false], [false, true]];

/// Numbers with a name.
type Named = (&'static str, Vec<f64>);

fn dual_on<B: Backend>(shape: &Shape, moved: [bool; 2], device: &B::Device) -> DualInputs<B> {
    let primal = inputs_on::<B>(shape, device);
    let random = &mut Random(17);
    let tangent = MessageTangents {
        receiver: random.on(device, primal.receiver.dims(), 1.0),
        sender: random.on(device, primal.sender.dims(), 1.0),
        features: moved[0].then(|| random.on(device, primal.features.dims(), 1.0)),
        envelope: primal.envelope.as_ref().filter(|_| moved[1]).map(|own| random.on(device, own.dims(), 1.0)),
    };
    DualInputs { primal, tangent }
}

fn dual<B: Backend>(shape: &Shape, moved: [bool; 2]) -> DualInputs<B> {
    dual_on(shape, moved, &Default::default())
}

fn dual_cotangents_on<B: Backend>(shape: &Shape, device: &B::Device) -> DualOutputs<B> {
    let random = &mut Random(19);
    let mut outputs = || MessageOutputs {
        gathered: random.on(device, [shape.edges.nodes, shape.width], 1.0),
        gates: shape.gate.then(|| random.on(device, [shape.edges.receivers.len(), 1], 1.0)),
    };
    DualOutputs { primal: outputs(), tangent: outputs() }
}

fn dual_cotangents<B: Backend>(shape: &Shape) -> DualOutputs<B> {
    dual_cotangents_on(shape, &Default::default())
}

/// All outputs.
fn listed<B: Backend>(outputs: DualOutputs<B>) -> Vec<Named> {
    let DualOutputs { primal, tangent } = outputs;
    let mut list = vec![("sums", numbers(primal.gathered)), ("tangents of sums", numbers(tangent.gathered))];
    list.extend(primal.gates.map(|gates| ("gates", numbers(gates))));
    list.extend(tangent.gates.map(|gates| ("tangents of gates", numbers(gates))));
    list
}

/// All gradients.
fn gradients<B: Backend>(found: DualGradients<B>) -> Vec<Named> {
    let DualGradients { primal, tangent } = found;
    let mut list: Vec<Named> = flat(&primal).into_iter().map(|(name, tensor)| (name, numbers(tensor))).collect();
    list.push(("tangent of receiver", numbers(tangent.receiver)));
    list.push(("tangent of sender", numbers(tangent.sender)));
    list.extend(tangent.features.map(|features| ("tangent of features", numbers(features))));
    list.extend(tangent.envelope.map(|envelope| ("tangent of envelope", numbers(envelope))));
    list
}

fn compare(found: &[Named], expected: &[Named], limit: f64, case: &str) {
    let names = |list: &[Named]| list.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{case}");
    for ((name, found), (_, expected)) in found.iter().zip(expected) {
        let size = error(found, expected);
        assert!(size < limit, "{case}, {name}: {size:e}");
    }
}

/// `a + k b` for those inputs that b has.
fn stepped(a: &MessageInputs<F64>, b: &MessageTangents<F64>, k: f64) -> MessageInputs<F64> {
    let along = |a: &Tensor<F64, 2>, b: &Tensor<F64, 2>| a.clone() + b.clone().mul_scalar(k);
    let maybe = |a: &Tensor<F64, 2>, b: &Option<Tensor<F64, 2>>| b.as_ref().map_or_else(|| a.clone(), |b| along(a, b));
    MessageInputs {
        receiver: along(&a.receiver, &b.receiver),
        sender: along(&a.sender, &b.sender),
        features: maybe(&a.features, &b.features),
        envelope: a.envelope.as_ref().map(|envelope| maybe(envelope, &b.envelope)),
        ..a.clone()
    }
}

/// Shapes that finite differences are quick on.
fn small_shapes() -> impl Iterator<Item = (&'static str, Shape)> {
    shapes().into_iter().filter(|(_, shape)| shape.edges.receivers.len() < 20)
}

#[test]
fn tangents_match_finite_differences() {
    let step = 1e-5;
    for (name, shape) in small_shapes() {
        let edges = EdgeIndex::<F64>::new(shape.edges.clone(), &Default::default());
        for moved in MOVED {
            let inputs = dual::<F64>(&shape, moved);
            let found = listed(F64::message_dual(&edges, &inputs));
            let at = |k: f64| F64::message(&edges, &stepped(&inputs.primal, &inputs.tangent, k * step));
            let (values, after, before) = (at(0.0), at(1.0), at(-1.0));
            let slope = |a: Tensor<F64, 2>, b: Tensor<F64, 2>| (a - b).mul_scalar(0.5 / step);
            let gates = after.gates.zip(before.gates).map(|(after, before)| slope(after, before));
            let tangent = MessageOutputs { gathered: slope(after.gathered, before.gathered), gates };
            let expected = listed(DualOutputs { primal: values, tangent });
            compare(&found, &expected, 1e-8, &format!("{name}, {moved:?}"));
        }
    }
}

/// The product of outputs with fixed numbers.
fn dual_objective<B: MessageBackend>(outputs: DualOutputs<B>, cotangents: &DualOutputs<B>) -> Tensor<B, 1> {
    let of = |outputs: MessageOutputs<B>, cotangents: &MessageOutputs<B>| {
        let sums = (outputs.gathered * cotangents.gathered.clone()).sum();
        match (outputs.gates, &cotangents.gates) {
            (Some(gates), Some(cotangent)) => sums + (gates * cotangent.clone()).sum(),
            _ => sums,
        }
    };
    of(outputs.primal, &cotangents.primal) + of(outputs.tangent, &cotangents.tangent)
}

/// The matrices among the inputs, in the order of [`gradients`], and the vectors.
fn matrices<B: Backend>(inputs: &mut DualInputs<B>) -> (Vec<&mut Tensor<B, 2>>, Vec<&mut Tensor<B, 1>>) {
    let DualInputs { primal, tangent } = inputs;
    let mut matrices = vec![&mut primal.receiver, &mut primal.sender, &mut primal.features];
    matrices.extend(&mut primal.envelope);
    matrices.extend([&mut primal.edge_weight, &mut primal.weight]);
    let mut vectors = vec![&mut primal.bias];
    if let Some(gate) = &mut primal.gate {
        matrices.extend([&mut gate.weight, &mut gate.readout]);
        vectors.push(&mut gate.bias);
    }
    matrices.extend([&mut tangent.receiver, &mut tangent.sender]);
    matrices.extend(&mut tangent.features);
    matrices.extend(&mut tangent.envelope);
    (matrices, vectors)
}

#[test]
fn gradients_of_the_reference_match_finite_differences() {
    let step = 1e-5;
    for (name, shape) in small_shapes() {
        let edges = EdgeIndex::<F64>::new(shape.edges.clone(), &Default::default());
        let cotangents = dual_cotangents::<F64>(&shape);
        for moved in MOVED {
            let mut inputs = dual::<F64>(&shape, moved);
            let found = gradients(reference::message_dual_backward(&edges, &inputs, cotangents.clone(), WANTED[0]));
            let vector = |name: &str| name.ends_with("bias");
            let of_matrices: Vec<&Named> = found.iter().filter(|(name, _)| !vector(name)).collect();
            let of_vectors: Vec<&Named> = found.iter().filter(|(name, _)| vector(name)).collect();
            let numbers = |inputs: &mut DualInputs<F64>| {
                let (matrices, vectors) = matrices(inputs);
                (matrices.len(), vectors.len())
            };
            assert_eq!(numbers(&mut inputs), (of_matrices.len(), of_vectors.len()));
            for (place, (input, gradient)) in of_matrices.into_iter().chain(of_vectors).enumerate() {
                let along = Random(23 + place as u64);
                let at = |k: f64| {
                    let (mut inputs, mut along) = (inputs.clone(), Random(along.0));
                    let (mut matrices, mut vectors) = matrices(&mut inputs);
                    if vector(input) {
                        let own = &mut *vectors[place - matrices.len()];
                        *own = own.clone() + along.tensor(own.dims(), 1.0).mul_scalar(k * step);
                    } else {
                        let own = &mut *matrices[place];
                        *own = own.clone() + along.tensor(own.dims(), 1.0).mul_scalar(k * step);
                    }
                    dual_objective(F64::message_dual(&edges, &inputs), &cotangents).into_scalar()
                };
                let numeric = (at(1.0) - at(-1.0)) / (2.0 * step);
                let mut along = Random(along.0);
                let exact: f64 = gradient.iter().map(|slope| slope * along.next()).sum();
                let size = gradient.iter().map(|slope| slope.abs()).sum::<f64>();
                let case = format!("{name}, {moved:?}, {input}");
                assert!((exact - numeric).abs() <= 1e-8 * size.max(1.0), "{case}: {exact} instead of {numeric}");
            }
        }
    }
}

/// The slope of a nonlinear function of the outputs along a direction in the geometry, as the loss of forces has it:
/// its gradient with respect to weights, against differences of slopes that plain backward finds.
#[test]
fn gradients_of_slopes_match_finite_differences() {
    type Tracked = Autodiff<F64>;
    let shape = shape(&[2, 0, 3, 1], 5, 3, true, true);
    let edges = EdgeIndex::<Tracked>::new(shape.edges.clone(), &Default::default());
    let tangent = dual::<Tracked>(&shape, [true, true]).tangent;
    let step = 1e-5;
    let nudge = || (Random(9).tensor::<Tracked, 2>([5, 5], 1.0), Random(10).tensor::<Tracked, 2>([3, 5], 1.0));

    let slope = |k: f64| {
        let (weight, edge_weight) = nudge();
        let mut inputs = inputs_on::<Tracked>(&shape, &Default::default());
        inputs.weight = inputs.weight + weight.mul_scalar(k * step);
        inputs.edge_weight = inputs.edge_weight + edge_weight.mul_scalar(k * step);
        let inputs = tracked(inputs);
        let grads = objective(&edges, &inputs).backward();
        let along = |input: &Tensor<Tracked, 2>, tangent: &Tensor<Tracked, 2>| {
            (input.grad(&grads).unwrap() * tangent.clone().inner()).sum().into_scalar()
        };
        along(&inputs.receiver, &tangent.receiver)
            + along(&inputs.sender, &tangent.sender)
            + along(&inputs.features, tangent.features.as_ref().unwrap())
            + along(inputs.envelope.as_ref().unwrap(), tangent.envelope.as_ref().unwrap())
    };
    let numeric = (slope(1.0) - slope(-1.0)) / (2.0 * step);

    let inputs = tracked(inputs_on::<Tracked>(&shape, &Default::default()));
    let dual = DualInputs { primal: inputs.clone(), tangent: tangent.clone() };
    let DualOutputs { primal, tangent } = Tracked::message_dual(&edges, &dual);
    let found = (primal.gathered * tangent.gathered).sum().mul_scalar(2.0)
        + (primal.gates.unwrap() * tangent.gates.unwrap()).sum().mul_scalar(2.0);
    let value = found.clone().into_scalar();
    assert!((value - slope(0.0)).abs() < 1e-11 * value.abs().max(1.0), "{value} instead of {}", slope(0.0));
    let grads = found.backward();
    let (weight, edge_weight) = nudge();
    let exact = (inputs.weight.grad(&grads).unwrap() * weight.inner()).sum().into_scalar()
        + (inputs.edge_weight.grad(&grads).unwrap() * edge_weight.inner()).sum().into_scalar();
    assert!((exact - numeric).abs() < 1e-7 * exact.abs().max(1.0), "{exact} instead of {numeric}");
}

/// Values, tangents and all gradients of a backend's version against the reference in double precision.
fn agrees<B: MessageBackend>(device: &B::Device, limit: f64) {
    for (name, shape) in shapes() {
        let edges = EdgeIndex::<B>::new(shape.edges.clone(), device);
        let exact_edges = EdgeIndex::<F64>::new(shape.edges.clone(), &Default::default());
        // A large shape has the same kernels on more tiles.
        let choices = if edges.len() < 10_000 { MOVED.len() } else { 1 };
        for moved in &MOVED[..choices] {
            let (moved, case) = (*moved, format!("{name}, {moved:?}"));
            let (here, exact) = (dual_on::<B>(&shape, moved, device), dual::<F64>(&shape, moved));
            let found = listed(B::message_dual(&edges, &here));
            let expected = listed(reference::message_dual(&exact_edges, &exact));
            compare(&found, &expected, limit, &case);
            let all = reference::message_dual_backward(&exact_edges, &exact, dual_cotangents(&shape), WANTED[0]);
            let all = gradients(all);
            for wanted in WANTED {
                let found = B::message_dual_backward(&edges, &here, dual_cotangents_on(&shape, device), wanted);
                let expected = all.iter().filter(|(name, _)| is_wanted(name, wanted)).cloned().collect::<Vec<_>>();
                compare(&gradients(found), &expected, limit, &format!("{case}, {wanted:?}"));
            }
        }
    }
}

/// Whether a gradient of this name is found.
fn is_wanted(name: &str, wanted: Wanted) -> bool {
    let of_geometry = name.ends_with("features") || name.ends_with("envelope");
    let of_nodes = name.ends_with("receiver") || name.ends_with("sender");
    if of_geometry { wanted.geometry } else { of_nodes || wanted.weights }
}

#[test]
fn the_cpu_version_agrees_with_the_reference() {
    agrees::<Flex>(&Default::default(), 2e-5);
}

struct Agrees;

impl RunOn for Agrees {
    type Output = ();

    fn run<B: MeasuredBackend<FloatElem = f32>>(self, device: B::Device) {
        agrees::<B>(&device, 2e-5);
    }
}

#[test]
fn the_versions_of_gpus_agree_with_the_reference() {
    on_each_gpu(|| Agrees);
}

/// Which inputs have gradients.
#[derive(Debug, Clone, Copy)]
struct Parts {
    values: bool,
    weights: bool,
    tangents: bool,
}

const EVERYTHING: Parts = Parts { values: true, weights: true, tangents: true };

fn tracked_parts<B: AutodiffBackend>(inputs: DualInputs<B>, parts: Parts) -> DualInputs<B> {
    let matrix = |which: bool| move |tensor: Tensor<B, 2>| if which { tensor.require_grad() } else { tensor };
    let vector = |tensor: Tensor<B, 1>| if parts.weights { tensor.require_grad() } else { tensor };
    let (value, weight, tangent) = (matrix(parts.values), matrix(parts.weights), matrix(parts.tangents));
    let DualInputs { primal, tangent: tangents } = inputs;
    DualInputs {
        primal: MessageInputs {
            receiver: value(primal.receiver),
            sender: value(primal.sender),
            features: value(primal.features),
            envelope: primal.envelope.map(value),
            edge_weight: weight(primal.edge_weight),
            weight: weight(primal.weight),
            bias: vector(primal.bias),
            gate: primal.gate.map(|gate| GateInputs {
                weight: weight(gate.weight),
                bias: vector(gate.bias),
                readout: weight(gate.readout),
            }),
        },
        tangent: MessageTangents {
            receiver: tangent(tangents.receiver),
            sender: tangent(tangents.sender),
            features: tangents.features.map(tangent),
            envelope: tangents.envelope.map(tangent),
        },
    }
}

/// The gradients of those inputs that have one, by their place.
fn grads_of<B: AutodiffBackend>(inputs: &mut DualInputs<B>, grads: &B::Gradients) -> Vec<Option<Vec<f64>>> {
    let (matrices, vectors) = matrices(inputs);
    let of_matrices = matrices.into_iter().map(|input| input.grad(grads).map(numbers));
    let of_vectors = vectors.into_iter().map(|input| input.grad(grads).map(numbers));
    of_matrices.chain(of_vectors).collect()
}

/// What autodiff finds through the operation and through the reference's tensor operations, where only some inputs
/// are tracked and only some outputs are used.
fn autodiff_agrees(shape: &Shape, moved: [bool; 2], parts: Parts, used: [bool; 4], case: &str) {
    type Tracked = Autodiff<Flex>;
    let edges = EdgeIndex::<Tracked>::new(shape.edges.clone(), &Default::default());
    let DualOutputs { primal, tangent } = dual_cotangents::<Tracked>(shape);
    let cotangents = [Some(primal.gathered), primal.gates, Some(tangent.gathered), tangent.gates];
    let gradients = |fused: bool| {
        let mut inputs = tracked_parts(dual::<Tracked>(shape, moved), parts);
        let DualOutputs { primal, tangent } =
            if fused { Tracked::message_dual(&edges, &inputs) } else { reference::message_dual(&edges, &inputs) };
        let outputs = [Some(primal.gathered), primal.gates, Some(tangent.gathered), tangent.gates];
        let terms = outputs.into_iter().zip(cotangents.clone()).zip(used).filter(|(_, used)| *used);
        let terms = terms.filter_map(|((output, cotangent), _)| Some((output? * cotangent?).sum()));
        let Some(loss) = terms.reduce(|a, b| a + b) else { return Vec::new() };
        let grads = loss.backward();
        grads_of(&mut inputs, &grads)
    };
    let (found, expected) = (gradients(true), gradients(false));
    assert_eq!(found.len(), expected.len());
    for (place, (found, expected)) in found.into_iter().zip(expected).enumerate() {
        // The operation has zeros where nothing depends on an input, and Burn has nothing.
        match (found, expected) {
            (Some(found), Some(expected)) => {
                let size = error(&found, &expected);
                assert!(size < 2e-5, "{case}, input {place}: {size:e}");
            }
            (Some(found), None) => assert!(found.iter().all(|&slope| slope == 0.0), "{case}, input {place}"),
            (None, expected) => assert!(expected.is_none(), "{case}, input {place}"),
        }
    }
}

#[test]
fn autodiff_agrees_with_differentiating_the_reference() {
    for (name, shape) in shapes().into_iter().filter(|(_, shape)| !shape.edges.receivers.is_empty()) {
        for moved in MOVED {
            autodiff_agrees(&shape, moved, EVERYTHING, [true; 4], &format!("{name}, {moved:?}"));
        }
    }
}

#[test]
fn any_output_and_any_inputs_have_gradients() {
    let shape = shape(&[3, 0, 5, 1, 4], 16, 8, true, true);
    for place in 0..4 {
        let alone = std::array::from_fn(|k| k == place);
        autodiff_agrees(&shape, [true, true], EVERYTHING, alone, &format!("output {place} alone"));
        autodiff_agrees(&shape, [true, true], EVERYTHING, alone.map(|used| !used), &format!("all but output {place}"));
    }
    for k in 1..8 {
        let parts = Parts { values: k & 1 > 0, weights: k & 2 > 0, tangents: k & 4 > 0 };
        autodiff_agrees(&shape, [true, true], parts, [true; 4], &format!("{parts:?}"));
    }
}

#[test]
fn nothing_tracked_is_no_graph() {
    type Tracked = Autodiff<Flex>;
    let shape = shape(&[3, 0, 5, 1, 4], 16, 8, true, true);
    let edges = EdgeIndex::<Tracked>::new(shape.edges.clone(), &Default::default());
    let outputs = Tracked::message_dual(&edges, &dual(&shape, [true, true]));
    assert!(!outputs.tangent.gathered.is_require_grad());
    let expected = Flex::message_dual(&edges.inner(), &dual(&shape, [true, true]));
    compare(&listed(outputs), &listed(expected), 1e-30, "untracked");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let shape = shape(&[61; 300], 24, 4, true, true);
    let edges = EdgeIndex::<Flex>::new(shape.edges.clone(), &Default::default());
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let inputs = dual::<Flex>(&shape, [true, true]);
            let mut all = listed(Flex::message_dual(&edges, &inputs));
            let cotangents = dual_cotangents(&shape);
            all.extend(gradients(Flex::message_dual_backward(&edges, &inputs, cotangents, WANTED[0])));
            all
        })
    };
    let one = run(1);
    for threads in [2, 3, 7] {
        assert!(one == run(threads), "{threads} threads");
    }
}

#[test]
#[should_panic(expected = "shape of tangent.envelope")]
fn a_tangent_without_its_envelope_is_named() {
    let shape = shape(&[1, 2], 4, 2, false, false);
    let edges = EdgeIndex::<Flex>::new(shape.edges.clone(), &Default::default());
    let mut inputs = dual::<Flex>(&shape, [true, false]);
    inputs.tangent.envelope = Some(Tensor::zeros([3, 1], &Default::default()));
    Flex::message_dual(&edges, &inputs);
}
