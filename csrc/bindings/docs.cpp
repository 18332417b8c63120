/// The docstrings of the extension, which the build takes from the stubs: they
/// stand in one place, and help() shows what an editor does.

#include "bindings/bindings.h"

#include <docstrings.h>  // made by build_support/docstrings.py

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

namespace {

/// What `module` has under a name such as "Graph.to_text"; null where it has
/// nothing, since Python adds it later.
py::object find(py::handle module, std::string_view name) {
  auto object = py::reinterpret_borrow<py::object>(module);
  while (object && !name.empty()) {
    const auto part = name.substr(0, name.find('.'));
    object = py::getattr(object, std::string(part).c_str(), py::object());
    name.remove_prefix(std::min(name.size(), part.size() + 1));
  }
  return object;
}

/// Gives `object` its docstring where its type keeps one. A copy: pybind11
/// frees those of its functions.
void document(py::handle object, const char* text) {
  if (PyInstanceMethod_Check(object.ptr())) {
    object = PyInstanceMethod_GET_FUNCTION(object.ptr());
  }
  auto* const raw = object.ptr();
  if (PyCFunction_Check(raw)) {
    reinterpret_cast<PyCFunctionObject*>(raw)->m_ml->ml_doc = strdup(text);
  } else if (Py_TYPE(raw) == &PyMethodDescr_Type) {
    reinterpret_cast<PyMethodDescrObject*>(raw)->d_method->ml_doc =
        strdup(text);
  } else if (Py_TYPE(raw) == &PyGetSetDescr_Type) {
    reinterpret_cast<PyGetSetDescrObject*>(raw)->d_getset->doc = strdup(text);
  } else {
    object.attr("__doc__") = text;
  }
}

std::string docstring(std::string_view name) {
  for (const auto& [of, text] : kDocstrings) {
    if (of == name) {
      const std::string_view all(text);
      const auto signature = all.find("\n--\n\n");
      return std::string(
          signature == all.npos ? all : all.substr(signature + 5));
    }
  }
  throw py::key_error(std::string(name));
}

}  // namespace

void bind_docs(py::module_& m) {
  m.def("docstring", docstring, "name"_a);
  for (const auto& [name, text] : kDocstrings) {
    if (const auto object = find(m, name)) {
      document(object, text);
    }
  }
}
