//! Any Burn module as a block.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::{Block, BlockWeights, Declare, Flow, Init};

/// Held while a module draws its initial values.
static GENERATOR: Mutex<()> = Mutex::new(());

/// A Burn module and what to do with it, as a block: its float parameters become declared parameters, under their paths
/// in the module, which begin as the module's own initializers say.
///
/// The module is made anew wherever its shapes or initial values are needed. Parameters that Burn's own layers make are
/// lazy, so that no more of them is made than is asked for.
pub struct ModuleBlock<B: Backend, M, F> {
    module: M,
    forward: F,
    backend: PhantomData<fn() -> B>,
}

impl<B: Backend, M: Module<B> + Sync, F> ModuleBlock<B, M, F> {
    /// Declares the parameters of the module that `make` makes on a device. `forward` runs the module, whose parameters
    /// are then the block's weights, on the context and what flows in.
    ///
    /// # Panics
    /// If a block was not begun, or a name is taken.
    pub fn declare<C: ?Sized>(
        declare: &mut Declare,
        device: &B::Device,
        make: impl Fn(&B::Device) -> M + Send + Sync + 'static,
        forward: F,
    ) -> Self
    where
        F: Fn(&M, &C, Flow<B>) -> Flow<B>,
    {
        let module = make(device);
        let make = Arc::new(make);
        for (place, Parameter { path, shape, is_map }) in parameters(&module).into_iter().enumerate() {
            let (make, device) = (make.clone(), device.clone());
            let values = move |seed: u64| {
                // Burn's generator is the process's, and ranks may be threads of it.
                let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
                B::seed(&device, seed);
                let mut reader = Reader { place, next: 0, values: Vec::new() };
                make(&device).visit(&mut reader);
                reader.values
            };
            let init = Init::Values(Arc::new(values));
            match *shape {
                [rows, columns] if is_map => {
                    declare.matrices(&path, [rows, columns], [rows, columns], init);
                }
                _ => {
                    declare.dynamic_slot(&path, shape, init);
                }
            }
        }
        Self { module, forward, backend: PhantomData }
    }

    /// The module with these weights, of its float parameters in the order of their paths in it.
    pub fn module(&self, weights: &BlockWeights<B>) -> M {
        let mut writer = Writer { weights, next: 0 };
        self.module.clone().map(&mut writer)
    }
}

impl<B, M, F, C> Block<B, C> for ModuleBlock<B, M, F>
where
    B: Backend,
    M: Module<B> + Sync,
    F: Fn(&M, &C, Flow<B>) -> Flow<B> + Send + Sync,
    C: ?Sized,
{
    fn forward(&self, weights: &BlockWeights<B>, context: &C, flow: Flow<B>) -> Flow<B> {
        (self.forward)(&self.module(weights), context, flow)
    }
}

/// A float parameter of a module.
struct Parameter {
    path: String,
    shape: Vec<usize>,
    /// Whether it is one of Burn's `Linear`, whose weight is a matrix.
    is_map: bool,
}

/// A module's float parameters; none of them is made.
fn parameters<B: Backend, M: Module<B>>(module: &M) -> Vec<Parameter> {
    struct Parameters {
        path: Vec<String>,
        containers: Vec<String>,
        found: Vec<Parameter>,
    }
    impl<B: Backend> ModuleVisitor<B> for Parameters {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.push(name.to_owned());
            self.containers.push(container.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
            self.containers.pop();
        }
        fn visit_float<const R: usize>(&mut self, param: &Param<Tensor<B, R>>) {
            let is_map = self.containers.last().is_some_and(|container| container == "Struct:Linear");
            self.found.push(Parameter { path: self.path.join("."), shape: param.lazy_shape().to_vec(), is_map });
        }
    }
    let mut visitor = Parameters { path: Vec::new(), containers: Vec::new(), found: Vec::new() };
    module.visit(&mut visitor);
    visitor.found
}

/// Reads the values of one parameter, by its place.
struct Reader {
    place: usize,
    next: usize,
    values: Vec<f32>,
}

impl<B: Backend> ModuleVisitor<B> for Reader {
    fn visit_float<const R: usize>(&mut self, param: &Param<Tensor<B, R>>) {
        if self.next == self.place {
            self.values = param.val().into_data().iter::<f32>().collect();
        }
        self.next += 1;
    }
}

/// Puts weights in place of a module's float parameters, in their order.
struct Writer<'a, B: Backend> {
    weights: &'a BlockWeights<B>,
    next: usize,
}

impl<B: Backend> ModuleMapper<B> for Writer<'_, B> {
    fn map_float<const R: usize>(&mut self, param: Param<Tensor<B, R>>) -> Param<Tensor<B, R>> {
        self.next += 1;
        Param::initialized(param.id, self.weights.dynamic(self.next - 1))
    }
}
