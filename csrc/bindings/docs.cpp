/// Gives the extension its docstrings, which the build takes from the stubs: so
/// they are written once, and help() shows the same text as an editor.

#include "bindings/bindings.h"

#include <docstrings.h>  // made by build_support/docstrings.py

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

namespace {

/// The object in `module` with a name such as "Graph.to_text"; null where there
/// is none, since Python adds it later.
py::object find(py::handle module, std::string_view name) {
  auto object = py::reinterpret_borrow<py::object>(module);
  while (object && !name.empty()) {
    const auto part = name.substr(0, name.find('.'));
    object = py::getattr(object, std::string(part).c_str(), py::object());
    name.remove_prefix(std::min(name.size(), part.size() + 1));
  }
  return object;
}

/// Sets the docstring of `object` in the place where its type keeps one. The
/// text is copied because pybind11 frees the docstrings of its functions.
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
