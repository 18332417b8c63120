#include "bindings/bindings.h"
#include "bindings/python/keep.h"

#include <libgrad/node_hooks.h>

#include <torch/csrc/autograd/python_cpp_function.h>

#include <memory>

namespace {

/// A NodeCreationHook from `__enter__` to `__exit__`.
class NodeHookScope {
 public:
  explicit NodeHookScope(py::object hook) : hook_(keep(std::move(hook))) {}
  NodeHookScope(const NodeHookScope&) = delete;
  NodeHookScope& operator=(const NodeHookScope&) = delete;
  /// A hook that nobody took back stays: this may be another thread.
  ~NodeHookScope() { (void)guard_.release(); }

  void enter() {
    guard_ = std::make_unique<libgrad::NodeCreationHook>(
        [hook = hook_](const libgrad::detail::NodePtr& node) {
          const py::gil_scoped_acquire gil;
          (*hook)(py::reinterpret_steal<py::object>(
              torch::autograd::functionToPyObject(node)));
        });
  }
  void exit() { guard_.reset(); }

 private:
  Object hook_;
  std::unique_ptr<libgrad::NodeCreationHook> guard_;
};

}  // namespace

void bind_node_hooks(py::module_& m) {
  py::class_<NodeHookScope>(
      m, "NodeHookScope", "libgrad::NodeCreationHook of a callable.")
      .def(py::init<py::object>(), "hook"_a)
      .def("__enter__", torch::wrap_pybind_function(&NodeHookScope::enter))
      .def("__exit__", [](NodeHookScope& self, const py::args&) {
        self.exit();
      });
  m.def(
      "queue_callback",
      wrap_pybind_function([](py::object callback) {
        libgrad::queue_callback([callback = keep(std::move(callback))] {
          const py::gil_scoped_acquire gil;
          (*callback)();
        });
      }),
      "callback"_a);
}
