/// Matrices whose rows are shared among the processes of a group.

#pragma once

#include "bindings/python/nest.h"

#include <libgrad/split.h>

#include <functional>

/// Rows, and how Python groups the outputs and inputs of their function.
struct GroupedRows {
  libgrad::MatrixRows rows;
  Nest outputs;
  Nest inputs;
};

/// The matrix whose rows `make` returns, computed by the processes of `group`
/// (calls libgrad._functional.split.matrix).
py::object split_matrix(
    py::handle group,
    const char* function,
    const std::function<GroupedRows()>& make);

void bind_split(py::module_& functional);
