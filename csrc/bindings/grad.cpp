#include "operands.h"

using libgrad::detail::accumulate_edge;
using libgrad::detail::EngineScope;
using libgrad::detail::overridden;
using libgrad::detail::root_edge;
using libgrad::detail::target_edge;
using OptionalBool = std::optional<bool>;

namespace {

py::object grad(
    py::handle outputs,
    py::handle inputs,
    py::handle grad_outputs,
    OptionalBool retain_graph,
    bool create_graph,
    OptionalBool allow_unused,
    bool is_grads_batched,
    bool materialize_grads,
    bool dispatch) {
  const auto ys = Operands::outputs(outputs, "grad", "outputs");
  const auto xs = Operands::inputs(inputs, "grad");
  if (dispatch && overridden(ys.items(), xs.items())) {
    return py::reinterpret_borrow<py::object>(Py_NotImplemented);
  }
  const auto y = ys.tensors();
  const auto x = xs.tensors();
  const libgrad::GradOptions options{
      .grad_outputs = read_seeds(grad_outputs, "grad", "grad_outputs"),
      .retain_graph = retain_graph,
      .create_graph = create_graph,
      .allow_unused = allow_unused,
      .is_grads_batched = is_grads_batched,
      .materialize_grads = materialize_grads};
  libgrad::variable_list grads;
  {
    EngineScope scope(ys.items());
    if (ys.has_edges() || xs.has_edges()) {
      const auto roots = ys.edges(y, root_edge);
      const auto targets = xs.edges(x, target_edge);
      py::gil_scoped_release no_gil;
      grads = libgrad::detail::grad_edges(roots, targets, x, options);
    } else {
      py::gil_scoped_release no_gil;
      grads = libgrad::grad(y, x, options);
    }
  }
  return xs.like_argument(grads);
}

py::object backward(
    py::handle tensors,
    py::handle grad_tensors,
    OptionalBool retain_graph,
    bool create_graph,
    py::handle inputs,
    bool dispatch) {
  const auto ys = Operands::outputs(tensors, "backward", "tensors");
  const auto xs = Operands::inputs(
      inputs.is_none() ? py::tuple() : inputs, "backward");
  TORCH_CHECK(
      inputs.is_none() || !xs.items().empty(),
      "`inputs` argument to `backward()` cannot be empty.");
  if (dispatch && overridden(ys.items(), xs.items())) {
    return py::reinterpret_borrow<py::object>(Py_NotImplemented);
  }
  const auto y = ys.tensors();
  const auto x = xs.tensors();
  auto seeds = read_seeds(grad_tensors, "backward", "grad_tensors");
  EngineScope scope(ys.items());
  if (ys.has_edges() || xs.has_edges()) {
    const auto roots = ys.edges(y, root_edge);
    const auto targets = xs.edges(x, accumulate_edge);
    py::gil_scoped_release no_gil;
    libgrad::backward(
        roots, {std::move(seeds), retain_graph, create_graph, targets});
  } else {
    py::gil_scoped_release no_gil;
    libgrad::backward(y, {std::move(seeds), retain_graph, create_graph, x});
  }
  return py::none();
}

} // namespace

void bind_grad(py::module_& m) {
  m.def(
      "grad",
      wrap_pybind_function(grad),
      "outputs"_a,
      "inputs"_a,
      "grad_outputs"_a,
      "retain_graph"_a,
      "create_graph"_a,
      "allow_unused"_a,
      "is_grads_batched"_a,
      "materialize_grads"_a,
      "dispatch"_a = true,
      "libgrad::grad, or NotImplemented when __torch_function__ wants the "
      "call and `dispatch` is true.");
  m.def(
      "backward",
      wrap_pybind_function(backward),
      "tensors"_a,
      "grad_tensors"_a,
      "retain_graph"_a,
      "create_graph"_a,
      "inputs"_a,
      "dispatch"_a = true,
      "libgrad::backward, or NotImplemented when __torch_function__ wants the "
      "call and `dispatch` is true.");
}
