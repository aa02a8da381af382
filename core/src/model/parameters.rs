//! A model's parameters as a list in module-path order: how weights, gradients, optimizer states
//! and averages are matched, saved and restored.
//!
//! Burn's parameter ids are random in each process; the path is the same everywhere.

use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

/// One parameter, flattened.
#[derive(Debug, Clone)]
pub struct Parameter<B: Backend> {
    /// Path in the module, as in `layers.0.message.second.weight`.
    pub path: String,
    /// Its shape before it was flattened.
    pub shape: Vec<usize>,
    /// Its values, flattened.
    pub values: Tensor<B, 1>,
}

/// The parameters of a module, in module-path order.
pub fn read<B: Backend, M: Module<B>>(module: &M) -> Vec<Parameter<B>> {
    struct Read<B: Backend> {
        path: Vec<String>,
        found: Vec<Parameter<B>>,
    }
    impl<B: Backend> ModuleVisitor<B> for Read<B> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const R: usize>(&mut self, param: &Param<Tensor<B, R>>) {
            let values = param.val();
            let shape = values.dims().to_vec();
            self.found.push(Parameter { path: self.path.join("."), shape, values: values.flatten(0, R - 1) });
        }
    }
    let mut visitor = Read { path: Vec::new(), found: Vec::new() };
    module.visit(&mut visitor);
    visitor.found
}

/// Number of scalars in a module's parameters.
pub fn count<B: Backend, M: Module<B>>(module: &M) -> usize {
    read(module).iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum()
}

/// The gradients of a module's parameters, in the order of [`read`]; zeros where there is none.
pub fn gradients<B: AutodiffBackend, M: AutodiffModule<B>>(
    module: &M,
    grads: &mut GradientsParams,
) -> Vec<Tensor<B::InnerBackend, 1>> {
    struct Take<'a, B: AutodiffBackend> {
        grads: &'a mut GradientsParams,
        found: Vec<Tensor<B::InnerBackend, 1>>,
    }
    impl<B: AutodiffBackend> ModuleVisitor<B> for Take<'_, B> {
        fn visit_float<const R: usize>(&mut self, param: &Param<Tensor<B, R>>) {
            let grad: Option<Tensor<B::InnerBackend, R>> = self.grads.remove(param.id);
            let grad = grad.unwrap_or_else(|| Tensor::zeros(param.val().dims(), &param.val().device()));
            self.found.push(grad.flatten(0, R - 1));
        }
    }
    let mut visitor = Take::<B> { grads, found: Vec::new() };
    module.visit(&mut visitor);
    visitor.found
}

/// Replaces each parameter by what `change` makes of it. `change` gets the position in the order of
/// [`read`] and the flattened values, and must return as many.
pub fn map<B: Backend, M: Module<B>>(module: M, change: impl FnMut(usize, Tensor<B, 1>) -> Tensor<B, 1>) -> M {
    struct Map<F> {
        next: usize,
        change: F,
    }
    impl<B: Backend, F: FnMut(usize, Tensor<B, 1>) -> Tensor<B, 1>> ModuleMapper<B> for Map<F> {
        fn map_float<const R: usize>(&mut self, param: Param<Tensor<B, R>>) -> Param<Tensor<B, R>> {
            let index = self.next;
            self.next += 1;
            param.map(|tensor| {
                let shape = tensor.dims();
                let tracked = tensor.is_require_grad();
                let changed = (self.change)(index, tensor.flatten(0, R - 1)).reshape(shape).detach();
                if tracked { changed.require_grad() } else { changed }
            })
        }
    }
    module.map(&mut Map { next: 0, change })
}

/// A module with the given values, which are in the order of [`read`]; what it held is not read.
///
/// # Panics
/// If `values` has fewer entries than the module has parameters, or one of another size.
pub fn write<B: Backend, M: Module<B>>(module: M, values: &[Tensor<B, 1>]) -> M {
    struct Write<'a, B: Backend> {
        values: std::slice::Iter<'a, Tensor<B, 1>>,
    }
    impl<B: Backend> ModuleMapper<B> for Write<'_, B> {
        fn map_float<const R: usize>(&mut self, param: Param<Tensor<B, R>>) -> Param<Tensor<B, R>> {
            let values = self.values.next().unwrap_or_else(|| panic!("write: fewer values than parameters"));
            param.map(|tensor| {
                let tracked = tensor.is_require_grad();
                let written = values.clone().reshape(tensor.dims()).detach();
                if tracked { written.require_grad() } else { written }
            })
        }
    }
    module.map(&mut Write { values: values.iter() })
}

/// A module of the same shapes whose parameters take no memory, to be written before it is used.
pub fn hollow<B: Backend, M: Module<B>>(module: M) -> M {
    struct Hollow;
    impl<B: Backend> ModuleMapper<B> for Hollow {
        fn map_float<const R: usize>(&mut self, param: Param<Tensor<B, R>>) -> Param<Tensor<B, R>> {
            param.map(|tensor| {
                let (shape, tracked) = (tensor.dims(), tensor.is_require_grad());
                let nothing = Tensor::<B, R>::zeros([1; R], &tensor.device()).expand(shape).detach();
                if tracked { nothing.require_grad() } else { nothing }
            })
        }
    }
    module.map(&mut Hollow)
}
