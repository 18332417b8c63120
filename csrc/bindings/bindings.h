/// Includes and names that every binding file uses, and the functions that
/// module.cpp calls.

#pragma once

#include <torch/csrc/Exceptions.h>
#include <torch/csrc/utils/pybind.h>

using namespace py::literals;
using torch::wrap_pybind_function;

void bind_grad(py::module_& m);
void bind_gradcheck(py::module_& m);
void bind_modes(py::module_& m);
void bind_node(py::module_& m);
void bind_graph(py::module_& m);
void bind_draw(py::module_& m);  // after bind_graph: adds to its Graph
void bind_diff(py::module_& m);
void bind_plan(py::module_& m);
void bind_why(py::module_& m);
void bind_unused(py::module_& m);
void bind_record(py::module_& m);
void bind_alive(py::module_& m);
void bind_doctor(py::module_& m);
void bind_hooks(py::module_& m);
void bind_node_hooks(py::module_& m);
void bind_checkpoint(py::module_& m);
void bind_chain(py::module_& m);
void bind_function(py::module_& m);
void bind_function_class(py::module_& m);
void bind_functional(py::module_& m);
void bind_linear(py::module_& m);
void bind_inline(py::module_& m);
void bind_demo(py::module_& m);
void bind_docs(py::module_& m);  // last: documents what the others have bound
