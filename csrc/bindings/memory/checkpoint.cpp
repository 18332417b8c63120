#include "bindings/memory/steps.h"
#include "bindings/python/torch_objects.h"

#include <libgrad/checkpoint.h>
#include <libgrad/name.h>

#include <pybind11/stl.h>

using libgrad::CheckpointOptions;
using torch::autograd::variable_list;

namespace {

/// A Python call that is made again with other tensors.
struct Call {
  Object again;
  Object args;  // None in the places of tensors
  Object kwargs;
  std::vector<size_t> places;  // of tensors in `args`

  void run_again(const variable_list& tensors) const {
    const py::gil_scoped_acquire gil;
    const auto kept = py::reinterpret_borrow<py::tuple>(*args);
    py::tuple all(kept.size());
    for (size_t i = 0; i < kept.size(); ++i) {
      all[i] = kept[i];
    }
    for (size_t i = 0; i < tensors.size(); ++i) {
      all[places[i]] = py::cast(tensors[i]);
    }
    const Eagerly eagerly;
    (*again)(*all, **py::reinterpret_borrow<py::dict>(*kwargs));
  }
};

/// Adds the devices of tensors in lists, tuples and dicts.
void add_devices(py::handle value, std::vector<c10::Device>& devices) {
  if (THPVariable_Check(value.ptr())) {
    devices.push_back(THPVariable_Unpack(value.ptr()).device());
  } else if (py::isinstance<py::dict>(value)) {
    for (const auto& item : py::reinterpret_borrow<py::dict>(value)) {
      add_devices(item.second, devices);
    }
  } else if (
      py::isinstance<py::list>(value) || py::isinstance<py::tuple>(value)) {
    for (const auto& item : py::reinterpret_borrow<py::sequence>(value)) {
      add_devices(item, devices);
    }
  }
}

py::object checkpoint(
    const py::object& forward,
    const py::object& again,
    const py::tuple& args,
    const py::dict& kwargs,
    bool preserve_rng_state,
    bool determinism_check,
    bool early_stop,
    std::vector<std::string> save,
    std::vector<std::string> offload,
    bool respect_saved_tensors_hooks) {
  CheckpointOptions options{
      .preserve_rng_state = preserve_rng_state,
      .determinism_check = determinism_check,
      .early_stop = early_stop,
      .save = std::move(save),
      .offload = std::move(offload),
      .respect_saved_tensors_hooks = respect_saved_tensors_hooks};
  const auto call = std::make_shared<Call>();
  variable_list tensors;
  py::tuple others(args.size());
  for (size_t i = 0; i < args.size(); ++i) {
    if (THPVariable_Check(args[i].ptr())) {
      call->places.push_back(i);
      tensors.push_back(THPVariable_Unpack(args[i].ptr()));
      others[i] = py::none();
    } else {
      add_devices(args[i], options.devices);
      others[i] = args[i];
    }
  }
  call->again = keep(again);
  call->args = keep(std::move(others));
  call->kwargs = keep(kwargs);
  libgrad::detail::HookEngine::install();
  const auto segment = std::make_shared<libgrad::detail::Segment>(
      [call](const variable_list& inputs) {
        call->run_again(inputs);
        return variable_list();
      },
      tensors,
      options,
      refuse_checkpoint);
  const Eagerly eagerly;
  return segment->forward([&] { return forward(*args, **kwargs); });
}

}  // namespace

void bind_checkpoint(py::module_& m) {
  m.def(
      "checkpoint",
      wrap_pybind_function(checkpoint),
      "forward"_a,
      "again"_a,
      "args"_a,
      "kwargs"_a,
      "preserve_rng_state"_a,
      "determinism_check"_a,
      "early_stop"_a,
      "save"_a,
      "offload"_a,
      "respect_saved_tensors_hooks"_a);
  m.def(
      "name",
      wrap_pybind_function([](const at::Tensor& tensor, std::string_view name) {
        return libgrad::name(tensor, name);
      }),
      "tensor"_a,
      "name"_a);
}
