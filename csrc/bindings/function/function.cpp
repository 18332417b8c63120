/// The C++ Functions of def_function, for libgrad._function.bound.

#include "bindings/bindings.h"
#include "bindings/function/node_class.h"
#include "bindings/function/operators.h"

#include <libgrad/function/forward_mode.h>
#include <libgrad/python/arguments.h>

#include <pybind11/stl.h>

namespace libgrad::detail {

namespace {

using MaybeTensors = std::vector<std::optional<at::Tensor>>;

/// A Function and the arguments of one call.
struct OneCall {
  const Erased* function;
  std::vector<int64_t> mutated;  // indices of arguments
  std::vector<at::IValue> values;
};

/// The content of a capsule of a module that uses def_function.
template <class T>
T& content(const py::capsule& capsule, const char* name) {
  if (std::string_view(capsule.name()) != name) {
    PyErr_Format(
        PyExc_ImportError,
        "this module was built with the headers of another libgrad (it speaks "
        "%s, the one that is installed %s); build it again",
        capsule.name(),
        name);
    throw py::error_already_set();
  }
  return *capsule.get_pointer<T>();
}

const Erased& erased_in(const py::capsule& capsule) {
  return content<const Erased>(capsule, kErasedCapsule);
}

ErasedKernel& kernel_in(const py::capsule& capsule) {
  return content<ErasedKernel>(capsule, kKernelCapsule);
}

variable_list undefined_for_none(const MaybeTensors& tensors) {
  variable_list result;
  result.reserve(tensors.size());
  for (const auto& tensor : tensors) {
    result.push_back(tensor.value_or(at::Tensor()));
  }
  return result;
}

template <class Body>
auto without_gil(const Body& body) {
  py::gil_scoped_release no_gil;
  return body();
}

py::object result_of(const Erased& function, const variable_list& outputs) {
  return function.single ? to_python(outputs.at(0))
                         : py::object(to_python(outputs));
}

void bind_leftover(py::module_& m) {
  const auto pairs = [](const std::vector<Origin>& origins) {
    std::vector<std::pair<int, int64_t>> result;
    for (const auto& origin : origins) {
      result.emplace_back(origin.kind, origin.index);
    }
    return result;
  };
  py::class_<Leftover>(m, "Leftover")
      .def_property_readonly(
          "saved",
          [pairs](const Leftover& left) {
            auto origins = left.saved;
            for (const auto& named : left.named) {
              origins.push_back(named.origin);
            }
            return pairs(origins);
          })
      .def_readonly("non_differentiable", &Leftover::non_differentiable)
      .def_readonly("dirty", &Leftover::dirty)
      .def_readonly("input_of_output", &Leftover::input_of_output)
      .def_readonly("materialize", &Leftover::materialize);
}

void bind_call(py::module_& m) {
  py::class_<OneCall>(m, "Call")
      .def(
          py::init([](const py::capsule& function,
                      std::vector<int64_t> mutated,
                      const py::capsule& values) {
            return OneCall{
                &erased_in(function),
                std::move(mutated),
                content<std::vector<at::IValue>>(values, kValuesCapsule)};
          }))
      .def_property_readonly(
          "name",
          [](const OneCall& call) {
            return libgrad::detail::function_name(*call.function->function);
          })
      .def_property_readonly(
          "mutated",
          [](const OneCall& call) {
            return tensor_places(call.values, call.mutated);
          })
      .def_property_readonly(
          "tensors",
          [](const OneCall& call) {
            return to_python(tensors_of(call.values));
          })
      .def_property_readonly(
          "has_jvp",
          [](const OneCall& call) { return call.function->jvp != nullptr; })
      .def_property_readonly(
          "has_vmap",
          [](const OneCall& call) { return call.function->vmap != nullptr; })
      .def("apply", wrap_pybind_function([](const OneCall& call) {
             return result_of(*call.function, without_gil([&] {
               return apply(*call.function, call.values, call.mutated);
             }));
           }))
      .def("apply_as_operator", wrap_pybind_function([](const OneCall& call) {
             return result_of(*call.function, without_gil([&] {
               return OperatorCall(*call.function, call.values, call.mutated)();
             }));
           }))
      .def(
          "result",
          [](const OneCall& call, const variable_list& outputs) {
            return result_of(*call.function, outputs);
          })
      .def(
          "forward",
          wrap_pybind_function(
              [](const OneCall& call, const variable_list& tensors) {
                auto done = without_gil([&] {
                  return forward(*call.function, call.values, tensors);
                });
                return py::make_tuple(
                    to_python(done.outputs),
                    to_python(done.constants),
                    std::move(done.left));
              }))
      .def(
          "backward",
          wrap_pybind_function([](const OneCall& call,
                                  const Leftover& left,
                                  const MaybeTensors& saved,
                                  const MaybeTensors& grads,
                                  const std::vector<bool>& needs) {
            return to_python(without_gil([&] {
              AutogradContext ctx;
              put(ctx, left, undefined_for_none(saved), needs);
              return backward(
                  *call.function, ctx, call.values, undefined_for_none(grads));
            }));
          }))
      .def(
          "jvp",
          wrap_pybind_function([](const OneCall& call,
                                  const Leftover& left,
                                  const MaybeTensors& saved,
                                  const MaybeTensors& tangents,
                                  size_t outputs) {
            return to_python(without_gil([&] {
              AutogradContext ctx;
              put(ctx, left, undefined_for_none(saved), {});
              return jvp(
                  *call.function,
                  ctx,
                  call.values,
                  undefined_for_none(tangents),
                  outputs);
            }));
          }))
      .def(
          "vmap",
          wrap_pybind_function([](const OneCall& call,
                                  const libgrad::Dims& in_dims,
                                  const variable_list& tensors,
                                  int64_t batch_size,
                                  const std::string& randomness) {
            auto result = without_gil([&] {
              return vmap(
                  *call.function,
                  {batch_size, randomness},
                  in_dims,
                  call.values,
                  tensors);
            });
            return std::pair(to_python(result.first), result.second);
          }));
}

}  // namespace

}  // namespace libgrad::detail

void bind_function(py::module_& m) {
  using namespace libgrad::detail;
  bind_leftover(m);
  bind_call(m);
  m.attr("CANNOT_PUSH") = libgrad::detail::kCannotPush;
  m.def("probe", wrap_pybind_function(&libgrad::detail::probe));
  m.def("depends_on", &libgrad::detail::depends_on);
  m.def("mismatch", wrap_pybind_function(&libgrad::detail::mismatch));
  m.def("is_single", [](const py::capsule& function) {
    return erased_in(function).single;
  });
  m.def("schema_types", [](const py::capsule& function) {
    return erased_in(function).types;
  });
  m.def("register_node_class", [](const py::capsule& function) {
    return register_node_class(erased_in(function));
  });
  m.def(
      "define_operator",
      wrap_pybind_function([](const py::capsule& function,
                              const std::vector<int64_t>& mutated,
                              const std::string& space,
                              const std::string& name,
                              const std::string& schema,
                              py::function transformed) {
        const auto& erased = erased_in(function);
        // Operators live as long as the program, so the rule is never released.
        const auto rule = transformed.release();
        define_operator(
            Operator(space, name, schema, erased.single),
            erased,
            mutated,
            [rule, mutated, &erased](std::vector<at::IValue> values) {
              py::gil_scoped_acquire gil;
              return rule(OneCall{&erased, mutated, std::move(values)})
                  .cast<variable_list>();
            });
      }));
  m.def("kernel_types", [](const py::capsule& kernel) {
    const auto& erased = kernel_in(kernel);
    return std::pair(erased.types, erased.single);
  });
  m.def(
      "define_kernel",
      wrap_pybind_function([](const py::capsule& kernel,
                              const std::string& space,
                              const std::string& name,
                              const std::string& schema) {
        auto& erased = kernel_in(kernel);
        define_kernel(Operator(space, name, schema, erased.single), erased);
      }));
}
