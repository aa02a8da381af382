//! The model in double precision: gradients of first and second order against finite differences,
//! symmetry, independence of graphs, smoothness at the cutoff.

use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use burn_ndarray::NdArray;
use isograd_backends::message::MessageBackend;
use isograd_core::graph::{GraphBatch, HostBatch, HostGraph};
use isograd_core::model::{self, Egnn, EgnnConfig, Envelope, Prediction};
use isograd_structure::{Cell, Geometry, neighbour_list};
use nalgebra::{Matrix3, Vector3};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

mod common;

use common::{config, configs};

type F64 = NdArray<f64>;

/// Elements of the models and structures here.
const ELEMENTS: usize = 3;

fn cluster(atoms: usize, seed: u64) -> (Vec<i32>, Geometry) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let positions = (0..atoms).map(|_| std::array::from_fn(|_| rng.random_range(0.0..3.0))).collect();
    let species = (0..atoms).map(|_| rng.random_range(0..3)).collect();
    let cell = Cell([[4.0, 0.0, 0.0], [0.7, 3.8, 0.0], [0.0, -0.4, 4.1]]);
    (species, Geometry { positions, cell: Some(cell), periodic: [true, true, false] })
}

/// Graphs as one batch.
fn batch<B: Backend>(graphs: &[(Vec<i32>, Geometry)], cutoff: f64, heads: &[usize]) -> GraphBatch<B> {
    let host: Vec<HostGraph> = graphs
        .iter()
        .zip(heads)
        .map(|((species, geometry), &head)| HostGraph {
            species: species.clone(),
            edges: neighbour_list(geometry, cutoff).unwrap(),
            head,
            ..Default::default()
        })
        .collect();
    let members: Vec<usize> = (0..graphs.len()).collect();
    GraphBatch::new(&HostBatch::new(&members, &host), ELEMENTS, &Default::default())
}

fn run(config: &EgnnConfig, graph: &(Vec<i32>, Geometry)) -> (f64, Vec<Vector3<f64>>) {
    let prediction = Egnn::<F64>::new(config, 5, &Default::default()).forward(&batch(
        std::slice::from_ref(graph),
        config.cutoff,
        &[0],
    ));
    unpack(prediction)
}

fn unpack(prediction: Prediction<F64>) -> (f64, Vec<Vector3<f64>>) {
    let energy = prediction.energies.sum().into_scalar();
    let forces = prediction.forces.into_data().to_vec::<f64>().unwrap();
    (energy, forces.as_chunks::<3>().0.iter().map(|f| Vector3::from(*f)).collect())
}

fn assert_close(name: &str, found: &[Vector3<f64>], expected: &[Vector3<f64>]) {
    let size = expected.iter().map(|v| v.norm()).fold(1e-3, f64::max);
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).norm() < 1e-11 * size, "{name}: {found} instead of {expected}");
    }
}

#[test]
fn rotations_and_reflections_turn_forces_and_keep_energies() {
    let orthogonal = Matrix3::new(0.36, 0.48, -0.8, -0.8, 0.6, 0.0, 0.48, 0.64, 0.6);
    let mirror = Matrix3::from_diagonal(&Vector3::new(-1.0, 1.0, 1.0));
    for (name, config) in configs() {
        for matrix in [orthogonal, orthogonal * mirror] {
            let (species, geometry) = cluster(9, 1);
            let turn = |v: &[f64; 3]| -> [f64; 3] { (matrix * Vector3::from(*v)).into() };
            let turned = Geometry {
                positions: geometry.positions.iter().map(turn).collect(),
                cell: geometry.cell.map(|cell| Cell(std::array::from_fn(|k| turn(&cell.0[k])))),
                periodic: geometry.periodic,
            };
            let (energy, forces) = run(&config, &(species.clone(), geometry));
            let (energy_turned, forces_turned) = run(&config, &(species, turned));
            assert!((energy - energy_turned).abs() < 1e-11 * energy.abs().max(1.0), "{name}");
            let expected: Vec<_> = forces.iter().map(|f| matrix * f).collect();
            assert_close(name, &forces_turned, &expected);
            assert!(forces.iter().any(|f| f.norm() > 1e-6), "{name}: forces are all zero, so nothing was tested");
        }
    }
}

#[test]
fn the_order_of_atoms_and_the_choice_of_images_do_not_matter() {
    for (name, config) in configs() {
        let (species, geometry) = cluster(7, 2);
        let order = [3, 6, 0, 2, 5, 1, 4];
        let cell = geometry.cell.unwrap();
        let moved = Geometry {
            positions: order
                .iter()
                .map(|&k| {
                    let shift = cell.translation([k as i32 - 3, 2 - k as i32, 0]);
                    std::array::from_fn(|axis| geometry.positions[k][axis] + shift[axis])
                })
                .collect(),
            ..geometry.clone()
        };
        let (energy, forces) = run(&config, &(species.clone(), geometry));
        let (energy_moved, forces_moved) = run(&config, &(order.iter().map(|&k| species[k]).collect(), moved));
        assert!((energy - energy_moved).abs() < 1e-10 * energy.abs().max(1.0), "{name}");
        let expected: Vec<_> = order.iter().map(|&k| forces[k]).collect();
        assert_close(name, &forces_moved, &expected);
    }
}

#[test]
fn a_batch_predicts_what_its_graphs_predict_alone_with_every_head() {
    let config = EgnnConfig { heads: 2, coordinate_updates: true, ..config() };
    let graphs = [cluster(4, 3), cluster(1, 4), cluster(6, 5)];
    let heads = [1, 1, 0];
    let model = Egnn::<F64>::new(&config, 5, &Default::default());
    let joined = model.forward(&batch(&graphs, config.cutoff, &heads));
    let energies = joined.energies.into_data().to_vec::<f64>().unwrap();
    // The batch puts head 0 first.
    for (place, index) in [2usize, 0, 1].into_iter().enumerate() {
        let alone = model.forward(&batch(&graphs[index..=index], config.cutoff, &heads[index..=index]));
        assert!((alone.energies.into_scalar() - energies[place]).abs() < 1e-12, "graph {index}");
    }
    let other = model.forward(&batch(&graphs[2..], config.cutoff, &[1])).energies.into_scalar();
    assert!((other - energies[0]).abs() > 1e-6, "the heads predict the same, so nothing was tested");
}

#[test]
fn a_graph_without_edges_has_an_energy_and_no_forces() {
    for (name, config) in configs() {
        let lonely = Geometry { positions: vec![[0.0; 3], [50.0, 0.0, 0.0]], ..Default::default() };
        let (energy, forces) = run(&config, &(vec![0, 2], lonely));
        assert!(energy.is_finite() && forces.iter().all(|f| f.norm() == 0.0), "{name}");
    }
}

#[test]
fn energies_and_forces_fade_in_smoothly_at_the_cutoff() {
    let config = config();
    let at = |distance: f64| {
        let positions = vec![[0.0; 3], [1.0, 0.0, 0.0], [-distance, 0.0, 0.0]];
        run(&config, &(vec![0, 1, 2], Geometry { positions, ..Default::default() }))
    };
    let step = 1e-5;
    let (inside, edge, outside) = (at(3.0 - step), at(3.0 - 1e-12), at(3.0 + step));
    // Without an envelope the jump is of the size of the energy itself.
    assert!((inside.0 - outside.0).abs() < 1e-8 && (edge.0 - outside.0).abs() < 1e-12);
    assert!((inside.1[0] - outside.1[0]).norm() < 1e-8);
    let near = at(2.0);
    assert!((near.0 - outside.0).abs() > 1e-4, "the third atom has no influence, so nothing was tested");
    let hard = EgnnConfig { envelope: Envelope::None, ..config };
    let jump = |distance: f64| {
        let positions = vec![[0.0; 3], [1.0, 0.0, 0.0], [-distance, 0.0, 0.0]];
        run(&hard, &(vec![0, 1, 2], Geometry { positions, ..Default::default() })).0
    };
    assert!((jump(3.0 - step) - jump(3.0 + step)).abs() > 1e-4);
}

/// A scalar of everything a model predicts.
fn objective<B: MessageBackend>(model: &Egnn<B>, graph: &GraphBatch<B>) -> Tensor<B, 1> {
    let Prediction { energies, forces } = model.forward(graph);
    (energies.clone() * energies).sum() + (forces.clone() * forces).sum().mul_scalar(0.7)
}

#[test]
fn parameter_gradients_match_finite_differences() {
    let graphs = [cluster(5, 7)];
    for (name, config) in configs() {
        let model = Egnn::<Autodiff<F64>>::new(&config, 5, &Default::default());
        let graph = batch::<Autodiff<F64>>(&graphs, config.cutoff, &[0]);
        let loss = objective(&model, &graph);
        let mut grads = burn::optim::GradientsParams::from_grads(loss.backward(), &model);
        let gradients = model::gradients(&model, &mut grads);
        let plain = model.valid();
        let graph = batch::<F64>(&graphs, config.cutoff, &[0]);
        let parameters = model::read(&plain);
        for (index, parameter) in parameters.iter().enumerate() {
            let size = parameter.shape.iter().product::<usize>();
            let place = size / 2;
            let shifted = |by: f64| {
                let mut nudge = vec![0.0; size];
                nudge[place] = by;
                let nudge = Tensor::from_data(TensorData::new(nudge, [size]), &Default::default());
                let moved =
                    model::map(plain.clone(), |k, values| if k == index { values + nudge.clone() } else { values });
                objective(&moved, &graph).into_scalar()
            };
            let numeric = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            let exact = gradients[index].to_data().to_vec::<f64>().unwrap()[place];
            let error = (numeric - exact).abs() / exact.abs().max(1e-3);
            assert!(error < 1e-6, "{name}, {}: {exact} instead of {numeric}", parameter.path);
        }
    }
}

#[test]
fn the_gradient_of_a_gradient_matches_finite_differences() {
    type Twice = Autodiff<Autodiff<F64>>;
    let graphs = [cluster(4, 8)];
    for (name, config) in configs() {
        // The squared energy gradient with respect to edge vectors, as a force loss would have it;
        // the weights are tracked by the inner autodiff, the edge vectors by the outer one.
        let squared_slope = |nudge: Option<(usize, usize, f64)>| {
            let mut inner = Egnn::<Autodiff<F64>>::new(&config, 5, &Default::default());
            if let Some((index, place, by)) = nudge {
                inner = model::map(inner, |k, values| {
                    let size = values.dims()[0];
                    let mut nudge = vec![0.0; size];
                    nudge[place % size] = if k == index { by } else { 0.0 };
                    values + Tensor::from_data(TensorData::new(nudge, [size]), &Default::default())
                });
            }
            let weights: Vec<_> =
                model::read(&inner).into_iter().map(|parameter| Tensor::from_inner(parameter.values)).collect();
            let model = model::write(Egnn::<Twice>::new(&config, 5, &Default::default()), &weights);
            let mut graph = batch::<Twice>(&graphs, config.cutoff, &[0]);
            graph.vectors = graph.vectors.require_grad();
            let energy = model.forward(&graph).energies.sum();
            let slope = graph.vectors.grad(&energy.backward()).unwrap();
            (inner, (slope.clone() * slope).sum())
        };
        let (model, value) = squared_slope(None);
        let grads = value.backward();
        let names: Vec<String> = model::read(&model).into_iter().map(|parameter| parameter.path).collect();
        let mut checked = 0;
        for wanted in
            ["layers.0.message.receiver.weight", "layers.1.message.second.weight", "heads.0.energy.first.weight"]
        {
            let index = names.iter().position(|name| name == wanted).unwrap();
            let weight = match index {
                k if names[k].starts_with("layers.0") => model.layers[0].message.receiver.weight.val(),
                k if names[k].starts_with("layers.1") => model.layers[1].message.second.weight.val(),
                _ => model.heads[0].energy.first.weight.val(),
            };
            let exact = weight.grad(&grads).unwrap().into_data().to_vec::<f64>().unwrap();
            let place = exact.len() / 3;
            let shifted = |by: f64| squared_slope(Some((index, place, by))).1.into_scalar();
            let numeric = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            let error = (numeric - exact[place]).abs() / exact[place].abs().max(1e-4);
            assert!(error < 1e-5, "{name}, {wanted}: {} instead of {numeric}", exact[place]);
            checked += 1;
        }
        assert_eq!(checked, 3);
    }
}

/// Fifty steps of training with the fused operation and with plain tensor operations.
#[test]
fn fused_and_composed_messages_train_alike() {
    use burn_flex::Flex;
    use isograd_core::engine::{Collect, Recompute};
    use isograd_core::graph::LabelCounts;
    use isograd_core::loss::LossConfig;
    use isograd_core::model::MessageKind;
    use isograd_core::train::{Optimizer, OptimizerConfig, Step, accumulate};

    let device = Default::default();
    for (name, config) in configs() {
        let graphs: Vec<HostGraph> = (0..4)
            .map(|k| {
                let (species, geometry) = cluster(5 + k, 20 + k as u64);
                let edges = neighbour_list(&geometry, config.cutoff).unwrap();
                let forces = geometry.positions.iter().map(|x| x.map(|x| (3.0 * x).sin())).collect();
                HostGraph { species, edges, energy: Some(0.3 * k as f64), forces: Some(forces), head: k % config.heads }
            })
            .collect();
        let batch = HostBatch::new(&[0, 1, 2, 3], &graphs);
        assert_eq!(batch.label_counts(), LabelCounts { energies: 4, force_components: 3 * batch.atoms() });
        let batches = [vec![batch]];
        let settings = LossConfig::default();
        let losses = |kind| {
            let mut model = Egnn::<Autodiff<Flex>>::new(&config, 5, &device);
            model.message = kind;
            let mut optimizer = Optimizer::new(&OptimizerConfig::default());
            let step = |_| {
                let segments = Recompute::None.segments(config.layers + 1);
                let mut sink = Collect::new(segments.len());
                let work = Step::new(&settings, &batches, &segments);
                let loss = accumulate(&model, &model.stages(), &work, &device, &mut sink).unwrap();
                let gradients = sink.gradients();
                model = optimizer.step(model.clone(), 1e-2, gradients, 1.0);
                loss
            };
            (0..50).map(step).collect::<Vec<f64>>()
        };
        let (fused, composed) = (losses(MessageKind::Fused), losses(MessageKind::Composed));
        assert!(fused[49] < 0.9 * fused[0], "{name}: nothing was learned, so nothing was tested");
        for (step, (a, b)) in fused.iter().zip(&composed).enumerate() {
            assert!((a - b).abs() < 1e-3 * b, "{name}, step {step}: {a} and {b}");
        }
        // Before rounding has grown with the steps.
        assert!((fused[0] - composed[0]).abs() < 1e-6 * fused[0], "{name}: {} and {}", fused[0], composed[0]);
    }
}
