/// bindings/python/torch_objects.h -- torch's Python objects, seen from C++.
/// Needs Python; every function is called with the GIL held.
///
/// Relies on (covered by tests/torch/test_internals.py):
/// - a GradientEdge is a tuple (node, output_nr, ...) whose node is either a
///   THPCppFunction or a THPFunction, both with a smart pointer `cdata`;
/// - torch.autograd.graph runs the engine with the caller's contextvars in
///   ThreadLocalPythonObjects under "context", and, when its logger is at
///   DEBUG, with hooks from _register_logging_hooks_on_whole_graph;
/// - a logger keeps what isEnabledFor answered in the dict `_cache`.

#pragma once

#include <libgrad/torch/autograd/edges.h>

#include <ATen/ThreadLocalPythonObjects.h>
#include <pybind11/gil_safe_call_once.h>
#include <torch/csrc/PyInterpreter.h>
#include <torch/csrc/autograd/python_cpp_function.h>
#include <torch/csrc/autograd/python_function.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/utils/pybind.h>

#include <limits>
#include <memory>

namespace libgrad::detail {

/// Operands as Python gave them; borrowed.
using Objects = c10::SmallVector<PyObject*, 4>;

inline py::tuple to_tuple(const Objects& objects) {
  py::tuple tuple(objects.size());
  for (size_t i = 0; i < objects.size(); ++i) {
    tuple[i] = py::reinterpret_borrow<py::object>(objects[i]);
  }
  return tuple;
}

/// The objects of torch's Python modules that are used here; looked up once,
/// never released.
struct TorchObjects {
  py::object graph = py::module_::import("torch.autograd.graph");
  py::object gradient_edge = graph.attr("GradientEdge");
  py::object log = graph.attr("log");
  py::dict log_cache = py::getattr(log, "_cache", py::dict());
  py::int_ debug = 10;  // logging.DEBUG
  py::object has_torch_function =
      py::module_::import("torch._C").attr("_has_torch_function");

  bool device_threads = !py::module_::import("torch.accelerator")
                             .attr("current_accelerator")()
                             .is_none();
  py::object modules = py::module_::import("sys").attr("modules");
  py::str context_reader = "torch._functorch._aot_autograd.runtime_wrappers";

  static const TorchObjects& get() {
    PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<TorchObjects>
        storage;
    return storage.call_once_and_store_result([] { return TorchObjects(); })
        .get_stored();
  }
};

inline bool is_gradient_edge(py::handle object) {
  return py::isinstance(object, TorchObjects::get().gradient_edge);
}

/// True when torch logs each node that the engine runs.
inline bool logs_nodes() {
  const auto& torch = TorchObjects::get();
  py::handle enabled = PyDict_GetItem(torch.log_cache.ptr(), torch.debug.ptr());
  return enabled ? enabled.ptr() == Py_True
                 : torch.log.attr("isEnabledFor")(torch.debug).cast<bool>();
}

/// True when __torch_function__, of a subclass or of a mode, wants to see a
/// call with `outputs` and `inputs`.
inline bool has_torch_function(const Objects& outputs, const Objects& inputs) {
  Objects operands = outputs;
  operands.append(inputs.begin(), inputs.end());
  return TorchObjects::get()
      .has_torch_function(to_tuple(operands))
      .cast<bool>();
}

/// The node in a THPFunction: weak in an older torch, owned since.
template <class Function>
NodePtr node_of(const Function& function) {
  if constexpr (requires { function.cdata.lock(); }) {
    return function.cdata.lock();
  } else {
    return function.cdata;
  }
}

/// The output_nr of a Python GradientEdge. A number that no uint32 can hold
/// becomes one that is out of range for any node.
inline uint32_t unpack_input_nr(py::handle number) {
  const Py_ssize_t value =
      PyNumber_AsSsize_t(number.ptr(), /*clip on overflow*/ nullptr);
  if (value == -1 && PyErr_Occurred()) {
    PyErr_Clear();
    PyErr_Format(
        PyExc_TypeError,
        "GradientEdge's output_nr must be an int but got %s",
        Py_TYPE(number.ptr())->tp_name);
    throw py::error_already_set();
  }
  constexpr auto none = std::numeric_limits<uint32_t>::max();
  return value < 0 || value > none ? none : static_cast<uint32_t>(value);
}

/// The edge that a Python GradientEdge stands for.
inline Edge unpack_gradient_edge(py::handle edge) {
  const py::object node = edge.attr("node");
  const auto input_nr = unpack_input_nr(edge.attr("output_nr"));
  if (THPFunction_Check(node.ptr())) {
    return {node_of(*reinterpret_cast<THPFunction*>(node.ptr())), input_nr};
  }
  if (torch::autograd::THPCppFunction_Check(node.ptr())) {
    return {
        reinterpret_cast<torch::autograd::THPCppFunction*>(node.ptr())->cdata,
        input_nr};
  }
  PyErr_Format(
      PyExc_AttributeError,
      "GradientEdge's first object must be an autograd.graph.Node but got %s",
      Py_TYPE(node.ptr())->tp_name);
  throw py::error_already_set();
}

/// The hooks of torch's debug log on the graph of `roots`, when it is on.
class LogHooks {
 public:
  explicit LogHooks(const Objects& roots) {
    if (logs_nodes()) {
      unregister_ = TorchObjects::get().graph.attr(
          "_register_logging_hooks_on_whole_graph")(to_tuple(roots));
    }
  }
  LogHooks(const LogHooks&) = delete;
  LogHooks& operator=(const LogHooks&) = delete;
  ~LogHooks() {
    if (unregister_) {
      py::error_scope keep_error;
      try {
        unregister_();
      } catch (py::error_already_set& error) {
        error.discard_as_unraisable("libgrad");
      }
    }
  }

 private:
  py::object unregister_;
};

/// Puts the caller's contextvars where a backward that is compiled on a device
/// thread finds them.
///
/// They slow down every node. So they are left out if there are no device
/// threads (a torch without accelerator), if nothing that reads them has been
/// imported, or if this torch does not hand them on (an older one, which cannot
/// erase them either).
template <class Locals = at::impl::ThreadLocalPythonObjects>
class ContextStash {
 public:
  ContextStash() {
    if constexpr (kSupported) {
      const auto& torch = TorchObjects::get();
      if (!torch.device_threads ||
          PyDict_Contains(torch.modules.ptr(), torch.context_reader.ptr()) !=
              1) {
        return;
      }
      auto context = py::reinterpret_steal<py::object>(PyContext_CopyCurrent());
      if (!context) {
        throw py::error_already_set();
      }
      if (Locals::contains(kKey)) {
        outer_ = Locals::get(kKey);
      }
      Locals::set(
          kKey,
          std::make_shared<c10::SafePyObject>(
              context.release().ptr(), getPyInterpreter()));
      stashed_ = true;
    }
  }
  ContextStash(const ContextStash&) = delete;
  ContextStash& operator=(const ContextStash&) = delete;
  ~ContextStash() {
    if constexpr (kSupported) {
      if (outer_) {
        Locals::set(kKey, outer_);
      } else if (stashed_) {
        Locals::erase(kKey);
      }
    }
  }

 private:
  static constexpr bool kSupported = requires { Locals::erase("context"); };
  static constexpr const char* kKey = "context";
  std::shared_ptr<c10::SafePyObject> outer_;
  bool stashed_ = false;
};

/// What torch puts around a run of the engine.
struct EngineScope {
  explicit EngineScope(const Objects& roots) : hooks(roots) {}
  LogHooks hooks;
  ContextStash<> context;
};

}  // namespace libgrad::detail
