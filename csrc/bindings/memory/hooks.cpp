#include "bindings/python/keep.h"
#include "bindings/python/torch_objects.h"

#include <libgrad/hooks.h>

#include <pybind11/stl/filesystem.h>

using libgrad::PackHooks;
using libgrad::SavedTensorHooksOptions;
using libgrad::detail::HookedTensor;
using libgrad::detail::HooksPtr;

namespace {

/// Hooks of C++ as a Python object on torch's stack. Torch calls the object as
/// a pack hook where Python packs the tensor, as torch.compile does.
struct PythonHooks {
  explicit PythonHooks(HooksPtr hooks) : hooks(std::move(hooks)) {}
  PythonHooks(PythonHooks&&) = default;
  PythonHooks(const PythonHooks&) = delete;
  ~PythonHooks() { ++gone; }

  HooksPtr hooks;
  static inline std::atomic<uint64_t> gone = 0;  // number of destroyed objects
};

/// Holds a CurrentOpScope from `__enter__` to `__exit__`.
struct OpWatch {
  std::optional<libgrad::detail::CurrentOpScope> watch;
};

PyTypeObject* type_of_hooks = nullptr;

/// The hooks of an entry of the stack. Each thread remembers the hooks of its
/// last entry, so that the next tensor does not need the GIL. It looks again
/// once any PythonHooks was destroyed: a new object may have the old address.
HooksPtr find_hooks(const libgrad::detail::HookSlot::Entry& entry) {
  thread_local PyObject* recent = nullptr;
  thread_local uint64_t gone = 0;
  thread_local std::weak_ptr<const libgrad::detail::Hooks> hooks;
  if (&entry.first.pyinterpreter() != getPyInterpreter()) {
    return nullptr;  // C++ of another extension
  }
  PyObject* const object = entry.first.ptr(getPyInterpreter());
  if (Py_TYPE(object) != type_of_hooks) {
    return nullptr;
  }
  if (object != recent || gone != PythonHooks::gone) {
    const py::gil_scoped_acquire gil;
    gone = PythonHooks::gone;
    recent = object;
    hooks = py::handle(object).cast<const PythonHooks&>().hooks;
  }
  return hooks.lock();
}

/// An entry for hooks of C++ that torch's Python may look at.
libgrad::detail::HookSlot::Entry stack_entry(HooksPtr hooks) {
  const py::gil_scoped_acquire gil;
  static const auto& unpack = *new py::object(
      py::module_::import("libgrad._C").attr("unpack"));  // never released
  return {
      c10::SafePyObject(
          py::cast(PythonHooks(std::move(hooks))).release().ptr(),
          getPyInterpreter()),
      c10::SafePyObject(
          py::reinterpret_borrow<py::object>(unpack).release().ptr(),
          getPyInterpreter())};
}

/// What a Python pack hook returned: a tensor, or another object.
using Value = std::pair<at::Tensor, Object>;

PackHooks hooks_of_callables(py::object pack, py::object unpack) {
  return {
      [pack = keep(std::move(pack))](const at::Tensor& tensor) -> Value {
        const py::gil_scoped_acquire gil;
        auto made = (*pack)(tensor);
        if (THPVariable_Check(made.ptr())) {
          return {THPVariable_Unpack(made.ptr()), nullptr};
        }
        return {at::Tensor(), keep(std::move(made))};
      },
      [unpack = keep(std::move(unpack))](const Value& value) {
        const py::gil_scoped_acquire gil;
        const auto made =
            value.second ? (*unpack)(*value.second) : (*unpack)(value.first);
        TORCH_CHECK_TYPE(
            THPVariable_Check(made.ptr()),
            "Output of saved tensor unpack_hook expected to be a Tensor but "
            "got result of type ",
            Py_TYPE(made.ptr())->tp_name);
        return THPVariable_Unpack(made.ptr());
      }};
}

PythonHooks with_options(
    PackHooks hooks, const py::object& only, bool compose) {
  SavedTensorHooksOptions options{.compose = compose};
  if (!only.is_none()) {
    options.only = [only = keep(only)](
                       std::string_view op, const at::Tensor& tensor) {
      const py::gil_scoped_acquire gil;
      return py::bool_((*only)(op, tensor)).cast<bool>();
    };
  }
  libgrad::detail::HookEngine::install();
  return PythonHooks(
      libgrad::detail::make_hooks(std::move(hooks), std::move(options)));
}

bool is_python(const libgrad::detail::HookSlot::Entry& entry) {
  return &entry.first.pyinterpreter() == getPyInterpreter();
}

/// What a checkpoint calls for a tensor that it keeps itself stands further in
/// than `self`: the hooks around `self` are those around it on the stack.
std::shared_ptr<HookedTensor> pack(
    const py::object& self, const at::Tensor& tensor) {
  const libgrad::detail::HooksUpTo here([&](const auto& entry) {
    return is_python(entry) &&
           entry.first.ptr(getPyInterpreter()) == self.ptr();
  });
  auto packed =
      std::make_shared<HookedTensor>(self.cast<const PythonHooks&>().hooks);
  packed->call_pack_hook(tensor);
  return packed;
}

/// The hooks on this thread's stack, the innermost first: pairs of the pack and
/// the unpack hook.
py::list hooks_on_stack() {
  py::list found;
  const auto& state = at::SavedTensorDefaultHooks::get_tls_state();
  if (state.is_tracing) {
    return found;  // as torch: they are not used
  }
  auto stack = state.stack;
  for (; !stack.empty(); stack.pop()) {
    auto entry = stack.top();
    if (libgrad::detail::HookSlot::is_ours(entry)) {
      if (auto hooks = libgrad::detail::HookSlot::find(entry)) {
        entry = stack_entry(std::move(hooks));
      }
    }
    if (is_python(entry)) {
      const auto object = [](const c10::SafePyObject& hook) {
        return py::reinterpret_borrow<py::object>(hook.ptr(getPyInterpreter()));
      };
      found.append(py::make_tuple(object(entry.first), object(entry.second)));
    }
  }
  return found;
}

/// The hooks around `self` on this thread's stack; None where there are none.
py::object hooks_around(const py::object& self) {
  bool is_around = false;
  for (const auto& pair : hooks_on_stack()) {
    if (is_around) {
      return py::reinterpret_borrow<py::object>(pair);
    }
    is_around = PyTuple_GET_ITEM(pair.ptr(), 0) == self.ptr();
  }
  return py::none();
}

}  // namespace

void bind_hooks(py::module_& m) {
  py::class_<OpWatch>(m, "CurrentOpScope", "libgrad::detail::CurrentOpScope.")
      .def(py::init<>())
      .def("__enter__", [](OpWatch& self) { self.watch.emplace(); })
      .def("__exit__", [](OpWatch& self, const py::args&) {
        self.watch.reset();
      });
  py::class_<HookedTensor, std::shared_ptr<HookedTensor>>(
      m, "PackedTensor", "libgrad::detail::HookedTensor.");
  py::class_<PythonHooks> hooks(
      m,
      "PackHooks",
      "libgrad::PackHooks with its options, callable as a pack hook.");
  hooks.def("__call__", torch::wrap_pybind_function(pack), "tensor"_a)
      .def_property_readonly(  // torch.utils.checkpoint looks for these two
          "_checkpoint_internal",
          [](const PythonHooks& self) { return self.hooks->of_checkpoint; })
      .def_property_readonly(
          "_user_hooks", torch::wrap_pybind_function(hooks_around));
  m.def("hooks_on_stack", wrap_pybind_function(hooks_on_stack));
  type_of_hooks = reinterpret_cast<PyTypeObject*>(hooks.ptr());
  auto& host = libgrad::detail::host();
  host.hooks_of_entry = find_hooks;
  host.entry_of_hooks = stack_entry;
  m.def(
      "unpack",
      wrap_pybind_function(
          [](HookedTensor& packed) { return packed.call_unpack_hook(); }),
      "packed"_a);
  m.def(
      "pack_hooks",
      wrap_pybind_function([](py::object pack,
                              py::object unpack,
                              py::object only,
                              bool compose) {
        return with_options(
            hooks_of_callables(std::move(pack), std::move(unpack)),
            only,
            compose);
      }),
      "pack"_a,
      "unpack"_a,
      "only"_a,
      "compose"_a);
  m.def(
      "compress",
      wrap_pybind_function(
          [](at::ScalarType dtype, py::object only, bool compose) {
            return with_options(libgrad::compress(dtype), only, compose);
          }),
      "dtype"_a,
      "only"_a,
      "compose"_a);
  m.def(
      "save_on_cpu",
      wrap_pybind_function([](bool pin_memory, py::object only, bool compose) {
        return with_options(libgrad::save_on_cpu(pin_memory), only, compose);
      }),
      "pin_memory"_a,
      "only"_a,
      "compose"_a);
  m.def(
      "save_on_disk",
      wrap_pybind_function(
          [](const std::filesystem::path& path, py::object only, bool compose) {
            return with_options(libgrad::save_on_disk(path), only, compose);
          }),
      "path"_a,
      "only"_a,
      "compose"_a);
}
