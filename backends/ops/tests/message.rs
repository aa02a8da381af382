//! The fused edge operation against its reference: values and every gradient, on every backend with a
//! version of its own; derivatives against finite differences in f64.

mod common;
#[path = "message/dual.rs"]
mod dual;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn_flex::Flex;
use burn_ndarray::NdArray;
use common::{Random, RunOn, error, numbers, on_each_gpu};
use isograd_ops::index::{EdgeIndex, EdgeList};
use isograd_ops::memory::MeasuredBackend;
use isograd_ops::message::{
    GateInputs, MessageBackend, MessageGradients, MessageInputs, MessageOutputs, Wanted, reference,
};

#[derive(Debug, Clone)]
struct Shape {
    edges: EdgeList,
    width: usize,
    basis: usize,
    envelope: bool,
    gate: bool,
}

/// `degrees[i]` edges into node i, from random senders.
fn shape(degrees: &[usize], width: usize, basis: usize, envelope: bool, gate: bool) -> Shape {
    let mut random = Random(7);
    let receivers: Vec<u32> =
        degrees.iter().enumerate().flat_map(|(node, &degree)| std::iter::repeat_n(node as u32, degree)).collect();
    let nodes = degrees.len();
    let senders = receivers.iter().map(|_| ((random.next() + 1.0) / 2.0 * nodes as f64) as u32).collect();
    Shape { edges: EdgeList { nodes, receivers, senders }, width, basis, envelope, gate }
}

/// Every edge three times.
fn duplicates(width: usize, basis: usize) -> Shape {
    let edges = EdgeList {
        nodes: 3,
        receivers: vec![0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2],
        senders: vec![1, 1, 1, 0, 0, 0, 2, 2, 2, 2, 2, 2],
    };
    Shape { edges, width, basis, envelope: true, gate: true }
}

fn shapes() -> Vec<(&'static str, Shape)> {
    vec![
        ("plain", shape(&[3, 0, 5, 1, 4], 16, 8, true, true)),
        ("odd width", shape(&[3, 0, 5, 1, 4, 0], 13, 3, true, true)),
        ("width 1", shape(&[2, 2], 1, 1, true, true)),
        ("one feature", shape(&[3, 4, 5], 24, 1, false, true)),
        ("many features", shape(&[3, 4, 5], 20, 32, true, false)),
        ("bare", shape(&[7, 1], 8, 4, false, false)),
        ("one edge", shape(&[0, 1, 0], 8, 4, true, true)),
        ("no edges", shape(&[0, 0], 8, 4, true, true)),
        ("no nodes", shape(&[], 8, 4, true, true)),
        ("several lanes", shape(&[37; 150], 40, 5, true, true)),
        ("one node takes all", shape(&[1, 100_000, 2], 12, 2, true, true)),
        ("duplicate edges", duplicates(16, 4)),
    ]
}

fn inputs<B: Backend>(shape: &Shape) -> MessageInputs<B> {
    inputs_on(shape, &Default::default())
}

fn inputs_on<B: Backend>(shape: &Shape, device: &B::Device) -> MessageInputs<B> {
    let (nodes, count) = (shape.edges.nodes, shape.edges.receivers.len());
    let (width, basis) = (shape.width, shape.basis);
    let random = &mut Random(3);
    let spread = 1.0 / (width as f64).sqrt();
    MessageInputs {
        receiver: random.on(device, [nodes, width], 1.5),
        sender: random.on(device, [nodes, width], 1.5),
        features: random.on(device, [count, basis], 1.0),
        envelope: shape.envelope.then(|| random.on(device, [count, 1], 1.0)),
        edge_weight: random.on(device, [basis, width], 1.0),
        weight: random.on(device, [width, width], 2.0 * spread),
        bias: random.on(device, [width], 1.0),
        gate: shape.gate.then(|| GateInputs {
            weight: random.on(device, [width, width], 2.0 * spread),
            bias: random.on(device, [width], 1.0),
            readout: random.on(device, [width, 1], spread),
        }),
    }
}

/// Every choice of gradients.
const WANTED: [Wanted; 4] = [
    Wanted { geometry: true, weights: true },
    Wanted { geometry: true, weights: false },
    Wanted { geometry: false, weights: true },
    Wanted { geometry: false, weights: false },
];

/// All gradients, flat, with their names.
fn flat<B: Backend>(found: &MessageGradients<B>) -> Vec<(&'static str, Tensor<B, 1>)> {
    let matrix = |tensor: &Tensor<B, 2>| tensor.clone().flatten(0, 1);
    let mut list = vec![("receiver", matrix(&found.receiver)), ("sender", matrix(&found.sender))];
    list.extend(found.features.as_ref().map(|features| ("features", matrix(features))));
    list.extend(found.envelope.as_ref().map(|envelope| ("envelope", matrix(envelope))));
    if let Some(weights) = &found.weights {
        list.push(("edge_weight", matrix(&weights.edge_weight)));
        list.push(("weight", matrix(&weights.weight)));
        list.push(("bias", weights.bias.clone()));
        if let Some(gate) = &weights.gate {
            list.push(("gate.weight", matrix(&gate.weight)));
            list.push(("gate.bias", gate.bias.clone()));
            list.push(("gate.readout", matrix(&gate.readout)));
        }
    }
    list
}

fn cotangents<B: Backend>(shape: &Shape) -> MessageOutputs<B> {
    cotangents_on(shape, &Default::default())
}

fn cotangents_on<B: Backend>(shape: &Shape, device: &B::Device) -> MessageOutputs<B> {
    let random = &mut Random(11);
    MessageOutputs {
        gathered: random.on(device, [shape.edges.nodes, shape.width], 1.0),
        gates: shape.gate.then(|| random.on(device, [shape.edges.receivers.len(), 1], 1.0)),
    }
}

/// Values and all gradients of a backend's version against the reference in double precision.
fn agrees<B: MessageBackend>(device: &B::Device, limit: f64) {
    for (name, shape) in shapes() {
        let edges = EdgeIndex::<B>::new(shape.edges.clone(), device);
        let exact_edges = EdgeIndex::<NdArray<f64>>::new(shape.edges.clone(), &Default::default());
        let (here, exact) = (inputs_on::<B>(&shape, device), inputs::<NdArray<f64>>(&shape));
        let (found, expected) = (B::message(&edges, &here), reference::message(&exact_edges, &exact));
        let size = error(&numbers(found.gathered), &numbers(expected.gathered));
        assert!(size < limit, "{name}, sums: {size:e}");
        assert_eq!(found.gates.is_some(), shape.gate);
        if let (Some(found), Some(expected)) = (found.gates, expected.gates) {
            let size = error(&numbers(found), &numbers(expected));
            assert!(size < limit, "{name}, gates: {size:e}");
        }
        for wanted in WANTED {
            let found = B::message_backward(&edges, &here, cotangents_on(&shape, device), wanted);
            let expected = reference::message_backward(&exact_edges, &exact, cotangents(&shape), wanted);
            assert_eq!([found.features.is_some(), found.weights.is_some()], [wanted.geometry, wanted.weights]);
            let (found, expected) = (flat(&found), flat(&expected));
            assert_eq!(found.len(), expected.len());
            for ((input, found), (_, expected)) in found.into_iter().zip(expected) {
                let size = error(&numbers(found), &numbers(expected));
                assert!(size < limit, "{name}, gradient of {input}: {size:e}");
            }
        }
    }
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

/// What autodiff finds through the operation, and through the reference's tensor operations.
#[test]
fn autodiff_agrees_with_differentiating_the_reference() {
    type Tracked = Autodiff<Flex>;
    for (name, shape) in shapes().into_iter().filter(|(_, shape)| !shape.edges.receivers.is_empty()) {
        let device = Default::default();
        let edges = EdgeIndex::<Tracked>::new(shape.edges.clone(), &device);
        let cotangents = cotangents::<Tracked>(&shape);
        let gradients = |fused: bool| {
            let tracked = tracked(inputs::<Tracked>(&shape));
            let outputs = if fused { Tracked::message(&edges, &tracked) } else { reference::message(&edges, &tracked) };
            let mut loss = (outputs.gathered * cotangents.gathered.clone()).sum();
            if let (Some(gates), Some(cotangent)) = (outputs.gates, &cotangents.gates) {
                loss = loss + (gates * cotangent.clone()).sum();
            }
            let grads = loss.backward();
            grads_of(&tracked, &grads)
        };
        for ((input, found), (_, expected)) in gradients(true).into_iter().zip(gradients(false)) {
            let size = error(&found, &expected);
            assert!(size < 2e-5, "{name}, gradient of {input}: {size:e}");
        }
    }
}

fn tracked<B: burn::tensor::backend::AutodiffBackend>(inputs: MessageInputs<B>) -> MessageInputs<B> {
    MessageInputs {
        receiver: inputs.receiver.require_grad(),
        sender: inputs.sender.require_grad(),
        features: inputs.features.require_grad(),
        envelope: inputs.envelope.map(Tensor::require_grad),
        edge_weight: inputs.edge_weight.require_grad(),
        weight: inputs.weight.require_grad(),
        bias: inputs.bias.require_grad(),
        gate: inputs.gate.map(|gate| GateInputs {
            weight: gate.weight.require_grad(),
            bias: gate.bias.require_grad(),
            readout: gate.readout.require_grad(),
        }),
    }
}

fn grads_of<B: burn::tensor::backend::AutodiffBackend>(
    inputs: &MessageInputs<B>,
    grads: &B::Gradients,
) -> Vec<(&'static str, Vec<f64>)> {
    let mut list = vec![
        ("receiver", numbers(inputs.receiver.grad(grads).unwrap())),
        ("sender", numbers(inputs.sender.grad(grads).unwrap())),
        ("features", numbers(inputs.features.grad(grads).unwrap())),
        ("edge_weight", numbers(inputs.edge_weight.grad(grads).unwrap())),
        ("weight", numbers(inputs.weight.grad(grads).unwrap())),
        ("bias", numbers(inputs.bias.grad(grads).unwrap())),
    ];
    list.extend(inputs.envelope.as_ref().map(|envelope| ("envelope", numbers(envelope.grad(grads).unwrap()))));
    if let Some(gate) = &inputs.gate {
        list.push(("gate.weight", numbers(gate.weight.grad(grads).unwrap())));
        list.push(("gate.bias", numbers(gate.bias.grad(grads).unwrap())));
        list.push(("gate.readout", numbers(gate.readout.grad(grads).unwrap())));
    }
    list
}

/// A function of all outputs that is not linear in them.
fn objective<B: MessageBackend>(edges: &EdgeIndex<B>, inputs: &MessageInputs<B>) -> Tensor<B, 1> {
    let outputs = B::message(edges, inputs);
    let sums = (outputs.gathered.clone() * outputs.gathered).sum();
    match outputs.gates {
        Some(gates) => sums + (gates.clone() * gates).sum(),
        None => sums,
    }
}

#[test]
fn derivatives_match_finite_differences() {
    type F64 = NdArray<f64>;
    type Tracked = Autodiff<F64>;
    let shape = shape(&[2, 0, 3, 1], 5, 3, true, true);
    let edges = EdgeIndex::<F64>::new(shape.edges.clone(), &Default::default());
    let tracked_edges = EdgeIndex::<Tracked>::new(shape.edges.clone(), &Default::default());
    let along = Random(5).tensor::<F64, 2>([6, 3], 1.0);
    let step = 1e-5;
    let at = |k: f64| {
        let mut inputs = inputs::<F64>(&shape);
        inputs.features = inputs.features + along.clone().mul_scalar(k * step);
        objective(&edges, &inputs).into_scalar()
    };
    let inputs = tracked(inputs::<Tracked>(&shape));
    let grads = objective(&tracked_edges, &inputs).backward();
    let exact = (inputs.features.grad(&grads).unwrap() * along.clone()).sum().into_scalar();
    let numeric = (at(1.0) - at(-1.0)) / (2.0 * step);
    assert!((exact - numeric).abs() < 1e-7 * exact.abs().max(1.0), "{exact} instead of {numeric}");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let shape = shape(&[61; 300], 24, 4, true, true);
    let edges = EdgeIndex::<Flex>::new(shape.edges.clone(), &Default::default());
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let inputs = inputs::<Flex>(&shape);
            let outputs = Flex::message(&edges, &inputs);
            let gradients = Flex::message_backward(&edges, &inputs, cotangents(&shape), WANTED[0]);
            let mut all = vec![outputs.gathered.into_data(), outputs.gates.unwrap().into_data()];
            all.extend(flat(&gradients).into_iter().map(|(_, tensor)| tensor.into_data()));
            all
        })
    };
    let one = run(1);
    for threads in [2, 3, 7] {
        assert_eq!(one, run(threads), "{threads} threads");
    }
}

/// Only one of the two outputs is used.
#[test]
fn one_output_alone_has_gradients() {
    type Tracked = Autodiff<Flex>;
    let shape = shape(&[3, 0, 5, 1, 4], 16, 8, true, true);
    let edges = EdgeIndex::<Tracked>::new(shape.edges.clone(), &Default::default());
    let cotangents = cotangents::<Tracked>(&shape);
    for gates in [true, false] {
        let gradients = |fused: bool| {
            let tracked = tracked(inputs::<Tracked>(&shape));
            let outputs = if fused { Tracked::message(&edges, &tracked) } else { reference::message(&edges, &tracked) };
            let loss = if gates {
                (outputs.gates.unwrap() * cotangents.gates.clone().unwrap()).sum()
            } else {
                (outputs.gathered * cotangents.gathered.clone()).sum()
            };
            let grads = loss.backward();
            [&tracked.receiver, &tracked.features].map(|input| numbers(input.grad(&grads).unwrap()))
        };
        for (found, expected) in gradients(true).iter().zip(&gradients(false)) {
            assert!(error(found, expected) < 2e-5);
        }
    }
}

#[test]
#[should_panic(expected = "shape of bias")]
fn shapes_that_do_not_fit_are_named() {
    let shape = shape(&[1, 2], 4, 2, true, false);
    let edges = EdgeIndex::<Flex>::new(shape.edges.clone(), &Default::default());
    let bias = Tensor::zeros([5], &Default::default());
    Flex::message(&edges, &MessageInputs { bias, ..inputs(&shape) });
}
