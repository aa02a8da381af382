//! What our own operations take: those of [`kernels`](crate::kernels), and the fused edge operation.

use std::sync::Arc;

use burn::tensor::{DType, Shape, Tensor};

use super::tiles::Tiles;
use super::{Meter, Sketch, Sketched};
use crate::dual::Dual;
use crate::index::{EdgeIndex, Grouping};
use crate::kernels::KernelBackend;
use crate::kernels::contraction::{self, Contraction};
use crate::kernels::mixing::{self, Mixing, Role};
use crate::kernels::tensor_product::{self, Slot, Table};
use crate::message::scratch::{MessageShape, Scratch, scratch};
use crate::message::{
    DualGradients, DualInputs, DualOutputs, GateInputs, MessageBackend, MessageGradients, MessageInputs,
    MessageOutputs, MessageTangents, Wanted, WeightGradients, sizes,
};
use crate::primitive::{primitive, tensor};
use crate::profile::{Profile, VALUE};

type Matrix = Tensor<Sketch, 2>;

fn of<const R: usize>(like: &Sketched, shape: [usize; R]) -> Tensor<Sketch, R> {
    tensor(like.fresh(Shape::new(shape)))
}

impl KernelBackend for Sketch {
    fn silu<const R: usize>(x: Tensor<Self, R>) -> Tensor<Self, R> {
        tensor(primitive(x).whole().copied())
    }

    fn silu_backward<const R: usize>(x: Tensor<Self, R>, gradient: Tensor<Self, R>) -> Tensor<Self, R> {
        let _x = primitive(x).whole();
        tensor(primitive(gradient).elementwise())
    }

    fn contract(contraction: Contraction, a: Matrix, b: Matrix) -> Matrix {
        let ([rows, first], [_, second]) = (a.dims(), b.dims());
        let sizes = contraction.sizes(first, second);
        let a = primitive(a);
        if a.is_gpu() {
            return contraction::reference(contraction, tensor(a), b);
        }
        let (a, _b) = (a.whole(), primitive(b).whole());
        of(&a, [rows, contraction.columns(sizes)])
    }

    fn tensor_product(table: &Arc<Table>, missing: Slot, factors: [Dual<Self>; 3]) -> Dual<Self> {
        if primitive(factors[0].value.clone()).is_gpu() && !table.is_full(missing) {
            return tensor_product::tensor_product(table, missing, factors);
        }
        let [rows, channels] = table.channels(missing, &factors);
        let shape = [rows, table.size(missing) * channels];
        let dual = factors.iter().any(|factor| factor.tangent.is_some());
        let like = primitive(factors[0].value.clone()).whole();
        let read = factors.into_iter().flat_map(|factor| [Some(factor.value), factor.tangent]).flatten();
        let _read: Vec<Sketched> = read.map(|read| primitive(read).whole()).collect();
        Dual { value: of(&like, shape), tangent: dual.then(|| of(&like, shape)) }
    }

    fn bound(components: usize, x: Dual<Self>) -> Dual<Self> {
        assert!(x.value.dims()[1].is_multiple_of(components), "bound: columns of {components} components");
        x.map(|x| tensor(primitive(x).whole().copied()))
    }

    fn bound_backward(components: usize, x: Dual<Self>, gradient: Dual<Self>) -> Dual<Self> {
        let read = [Some(x.value), x.tangent].into_iter().flatten();
        let _read: Vec<Sketched> = read.map(|read| primitive(read).whole()).collect();
        assert!(gradient.value.dims()[1].is_multiple_of(components), "bound: columns of {components} components");
        gradient.map(|gradient| tensor(primitive(gradient).whole().copied()))
    }

    fn mix(mixing: &Arc<Mixing>, missing: Role, a: Matrix, b: Matrix) -> Matrix {
        let rows = mixing.rows(missing, [a.dims(), b.dims()]);
        let a = primitive(a);
        if a.is_gpu() {
            return mixing::mix(mixing, missing, tensor(a), b);
        }
        let (a, _b) = (a.whole(), primitive(b).whole());
        of(&a, mixing.shape(missing, rows))
    }

    fn gather(grouping: &Grouping<Self>, values: Matrix) -> Matrix {
        let [_, columns] = values.dims();
        of(&primitive(values).whole(), [grouping.rows(), columns])
    }

    fn sum_groups(grouping: &Grouping<Self>, rows: Matrix) -> Matrix {
        let [_, columns] = rows.dims();
        of(&primitive(rows).whole(), [grouping.groups(), columns])
    }

    /// As if all groups had as many rows.
    fn max_groups(grouping: &Grouping<Self>, rows: Matrix) -> Matrix {
        let ([count, columns], groups) = (rows.dims(), grouping.groups());
        let rows = primitive(rows);
        let places = groups * count.div_ceil(groups.max(1));
        let padded = rows.fresh(Shape::new([count + 1, columns]));
        drop(rows);
        let _places = padded.typed(Shape::new([places]), DType::I32);
        let picked = padded.fresh(Shape::new([places, columns]));
        drop(padded);
        of(&picked, [groups, columns])
    }
}

/// What the operation is given that is no part of its shape.
#[derive(Clone, Copy)]
struct Asked {
    wanted: Wanted,
    dual: bool,
}

/// The operation on its way.
struct Work<'a> {
    edges: &'a EdgeIndex<Sketch>,
    inputs: &'a MessageInputs<Sketch>,
    like: Sketched,
    shape: MessageShape,
    /// Inputs that do not lie in order are copied.
    _copies: Vec<Sketched>,
}

impl<'a> Work<'a> {
    fn new(edges: &'a EdgeIndex<Sketch>, inputs: &'a MessageInputs<Sketch>, asked: Asked) -> Self {
        let [nodes, count, basis, width] = sizes(edges, inputs).map(|size| size as u64);
        let like = primitive(inputs.receiver.clone());
        let shape = MessageShape {
            nodes,
            edges: count,
            width,
            basis,
            gate: inputs.gate.is_some(),
            envelope: inputs.envelope.is_some(),
            geometry: asked.wanted.geometry,
            weights: asked.wanted.weights,
            dual: asked.dual,
            graphs: like.meter().map_or(1, Meter::graphs),
        };
        let read = [&inputs.receiver, &inputs.sender, &inputs.features].into_iter().chain(&inputs.envelope);
        let copies = read.map(|input| primitive(input.clone()).whole()).collect();
        Self { edges, inputs, like, shape, _copies: copies }
    }

    fn copy(&mut self, tangents: &MessageTangents<Sketch>) {
        let read = [&tangents.receiver, &tangents.sender].into_iter().chain(&tangents.features);
        self._copies.extend(read.chain(&tangents.envelope).map(|input| primitive(input.clone()).whole()));
    }

    fn outputs(&self) -> MessageOutputs<Sketch> {
        MessageOutputs {
            gathered: self.like(&self.inputs.receiver),
            gates: self.inputs.gate.as_ref().map(|_| of(&self.like, [self.edges.len(), 1])),
        }
    }

    fn like<const R: usize>(&self, input: &Tensor<Sketch, R>) -> Tensor<Sketch, R> {
        of(&self.like, input.dims())
    }

    fn forward(&self) {
        let Some(meter) = self.like.meter() else { return };
        match meter.profile() {
            Profile::Cpu { threads } => pass(meter, threads, self.shape, |scratch| scratch.forward),
            Profile::Gpu { largest, .. } => Tiles::new(&self.like, self.shape, largest).forward(),
        }
    }

    fn backward(&self) {
        let Some(meter) = self.like.meter() else { return };
        let MessageShape { nodes, width, dual, .. } = self.shape;
        // Of the gradients of nodes, which are there while the operation runs.
        let of_nodes = 2 * (1 + u64::from(dual)) * VALUE * nodes * width;
        match meter.profile() {
            Profile::Cpu { threads } => pass(meter, threads, self.shape, |scratch| of_nodes + scratch.backward),
            Profile::Gpu { largest, .. } => Tiles::new(&self.like, self.shape, largest).backward(),
        }
    }

    fn gradients(&self, wanted: Wanted) -> MessageGradients<Sketch> {
        let inputs = self.inputs;
        let [receiver, sender] = [self.like(&inputs.receiver), self.like(&inputs.sender)];
        MessageGradients {
            receiver,
            sender,
            features: wanted.geometry.then(|| self.like(&inputs.features)),
            envelope: inputs.envelope.as_ref().filter(|_| wanted.geometry).map(|envelope| self.like(envelope)),
            weights: wanted.weights.then(|| WeightGradients {
                edge_weight: self.like(&inputs.edge_weight),
                weight: self.like(&inputs.weight),
                bias: self.like(&inputs.bias),
                gate: inputs.gate.as_ref().map(|gate| GateInputs {
                    weight: self.like(&gate.weight),
                    bias: self.like(&gate.bias),
                    readout: self.like(&gate.readout),
                }),
            }),
        }
    }
}

/// What the CPU's threads have beside inputs and outputs.
fn pass(meter: &Meter, threads: usize, shape: MessageShape, bytes: impl Fn(Scratch) -> u64) {
    let scratch = scratch(threads as u64, shape);
    meter.hold(scratch.held);
    meter.multiply(true);
    meter.pass(bytes(scratch));
}

impl MessageBackend for Sketch {
    fn message(edges: &EdgeIndex<Self>, inputs: &MessageInputs<Self>) -> MessageOutputs<Self> {
        let wanted = Wanted { geometry: false, weights: false };
        let work = Work::new(edges, inputs, Asked { wanted, dual: false });
        let outputs = work.outputs();
        work.forward();
        outputs
    }

    fn message_backward(
        edges: &EdgeIndex<Self>,
        inputs: &MessageInputs<Self>,
        outputs: MessageOutputs<Self>,
        wanted: Wanted,
    ) -> MessageGradients<Self> {
        let work = Work::new(edges, inputs, Asked { wanted, dual: false });
        let _given = outputs;
        work.backward();
        work.gradients(wanted)
    }

    fn message_dual(edges: &EdgeIndex<Self>, inputs: &DualInputs<Self>) -> DualOutputs<Self> {
        let wanted = Wanted { geometry: false, weights: false };
        let mut work = Work::new(edges, &inputs.primal, Asked { wanted, dual: true });
        work.copy(&inputs.tangent);
        let outputs = DualOutputs { primal: work.outputs(), tangent: work.outputs() };
        work.forward();
        outputs
    }

    fn message_dual_backward(
        edges: &EdgeIndex<Self>,
        inputs: &DualInputs<Self>,
        outputs: DualOutputs<Self>,
        wanted: Wanted,
    ) -> DualGradients<Self> {
        let mut work = Work::new(edges, &inputs.primal, Asked { wanted, dual: true });
        work.copy(&inputs.tangent);
        let _given = outputs;
        work.backward();
        let tangent = &inputs.tangent;
        DualGradients {
            primal: work.gradients(wanted),
            tangent: MessageTangents {
                receiver: work.like(&tangent.receiver),
                sender: work.like(&tangent.sender),
                features: tangent.features.as_ref().filter(|_| wanted.geometry).map(|own| work.like(own)),
                envelope: tangent.envelope.as_ref().filter(|_| wanted.geometry).map(|own| work.like(own)),
            },
        }
    }
}
