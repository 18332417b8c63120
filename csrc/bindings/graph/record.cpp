#include "bindings/bindings.h"
#include "bindings/python/arguments.h"
#include "bindings/python/caller.h"
#include "bindings/python/frames.h"
#include "bindings/python/guards.h"

#include <libgrad/record.h>

#include <pybind11/stl.h>

namespace {

/// set_module(number) returns the number before. It runs at each call of a
/// module, so it is bound without pybind11.
PyObject* set_module(PyObject*, PyObject* number) {
  const auto module = PyLong_AsUnsignedLong(number);
  if (module == static_cast<unsigned long>(-1) && PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  return PyLong_FromUnsignedLong(
      std::exchange(
          libgrad::detail::here.module, static_cast<uint32_t>(module)));
}

uint32_t number_of_module(const std::string& path) {
  return libgrad::detail::Origins::instance().number(path);
}

}  // namespace

void bind_record(py::module_& m) {
  auto& host = libgrad::detail::host();
  host.place_of_caller = place_of_caller;
  host.name_of_library_call = name_of_library_call;
  torch::impl::py_context_manager<libgrad::Record>(m, "Record");
  m.def("set_libraries", set_libraries, "folders"_a);
  m.def("number_of_module", &number_of_module, "path"_a);
  m.def("frames_can_be_read", frames_can_be_read);
  static PyMethodDef def = {"set_module", set_module, METH_O, nullptr};
  define(m, "set_module", &def, nullptr);
}
