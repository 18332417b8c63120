#include "bindings/bindings.h"

PYBIND11_MODULE(_C, m) {
  py::options options;
  options.disable_function_signatures();
  m.attr("__version__") = LIBGRAD_VERSION;
  m.attr("pybind11_version") =
      PYBIND11_TOSTRING(PYBIND11_VERSION_MAJOR) "." PYBIND11_TOSTRING(
          PYBIND11_VERSION_MINOR) "." PYBIND11_TOSTRING(PYBIND11_VERSION_PATCH);
  bind_grad(m);
  bind_gradcheck(m);
  bind_modes(m);
  bind_node(m);
  bind_graph(m);
  bind_draw(m);
  bind_diff(m);
  bind_plan(m);
  bind_why(m);
  bind_unused(m);
  bind_record(m);
  bind_alive(m);
  bind_doctor(m);
  bind_hooks(m);
  bind_node_hooks(m);
  bind_checkpoint(m);
  bind_chain(m);
  bind_function(m);
  bind_function_class(m);
  bind_functional(m);
  bind_linear(m);
  bind_inline(m);
  bind_demo(m);
  bind_docs(m);
}
