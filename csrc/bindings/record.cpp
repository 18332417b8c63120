#include "arguments.h"
#include "bindings.h"

#include <libgrad/record.h>

#include <c10/util/flat_hash_map.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/python_raii.h>

using libgrad::detail::Place;

namespace {

/// Which code is that of a library, below whose calls the user's line is; only
/// used with the GIL. Code that was seen stays alive: places point at it.
class Libraries {
 public:
  void set(std::vector<std::string> folders) {
    folders_ = std::move(folders);
    seen_.clear();
  }

  bool contain(PyCodeObject* code) {
    const auto found = seen_.find(code);
    if (found != seen_.end()) {
      return found->second;
    }
    Py_INCREF(code);
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(code->co_filename, &size);
    if (text == nullptr) {
      PyErr_Clear();
    }
    const std::string_view file(text == nullptr ? "" : text, size);
    const bool mine =
        file.starts_with("<frozen ") ||
        std::any_of(
            folders_.begin(), folders_.end(), [&](const std::string& folder) {
              return file.starts_with(folder);
            });
    seen_.emplace(code, mine);
    return mine;
  }

 private:
  std::vector<std::string> folders_;
  ska::flat_hash_map<PyCodeObject*, bool> seen_;
};

Libraries& libraries() {
  static Libraries* const libraries =
      new Libraries;  // outlives the interpreter
  return *libraries;
}

#if PY_VERSION_HEX >= 0x030B0000
int32_t position(PyFrameObject* frame) {
  return PyFrame_GetLasti(frame);
}
int32_t line(PyCodeObject* code, int32_t at) {
  return PyCode_Addr2Line(code, at);
}
#else
int32_t position(PyFrameObject* frame) {
  return PyFrame_GetLineNumber(frame);
}
int32_t line(PyCodeObject*, int32_t at) {
  return at;
}
#endif

std::pair<std::string, int32_t> describe(const Place& place) {
  py::gil_scoped_acquire gil;
  auto* code = static_cast<PyCodeObject*>(const_cast<void*>(place.key));
  return {
      py::cast<std::string>(py::handle(code->co_filename)),
      line(code, place.at)};
}

/// py::gil_scoped_acquire for threads that Python knows, in half the time.
class Gil {
 public:
  Gil() : state_(PyGILState_Ensure()) {}
  Gil(const Gil&) = delete;
  Gil& operator=(const Gil&) = delete;
  ~Gil() { PyGILState_Release(state_); }

 private:
  PyGILState_STATE state_;
};

/// The innermost line of this thread that is not a library's; where there is no
/// such line the innermost one.
Place place_of_caller() {
  if (Py_IsInitialized() == 0) {
    return {};
  }
  const Gil gil;
  auto frame = py::reinterpret_borrow<py::object>(
      reinterpret_cast<PyObject*>(PyEval_GetFrame()));
  Place place;
  while (frame) {
    auto* at = reinterpret_cast<PyFrameObject*>(frame.ptr());
    auto* code = PyFrame_GetCode(at);
    const bool library = libraries().contain(code);
    if (!library || place.key == nullptr) {
      place = {code, position(at), describe};
    }
    Py_DECREF(code);
    if (!library) {
      break;
    }
    frame = py::reinterpret_steal<py::object>(
        reinterpret_cast<PyObject*>(PyFrame_GetBack(at)));
  }
  return place;
}

/// set_module(number): runs at each call of a module, hence by hand.
PyObject* set_module(PyObject*, PyObject* number) {
  const auto module = PyLong_AsUnsignedLong(number);
  if (module == static_cast<unsigned long>(-1) && PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  return PyLong_FromUnsignedLong(
      std::exchange(
          libgrad::detail::here.module, static_cast<uint32_t>(module)));
}

uint32_t number(const std::string& path) {
  return libgrad::detail::Origins::instance().number(path);
}

}  // namespace

void bind_record(py::module_& m) {
  libgrad::detail::place_of_caller = place_of_caller;
  torch::impl::py_context_manager<libgrad::Record>(m, "Record");
  m.def(
      "set_libraries",
      [](std::vector<std::string> folders) {
        libraries().set(std::move(folders));
      },
      "folders"_a,
      "Look for the user's line outside of these folders.");
  m.def(
      "number_of_module",
      &number,
      "path"_a,
      "Return the number that `set_module` takes for a path.");
  static PyMethodDef def = {
      "set_module",
      set_module,
      METH_O,
      "Say in which module this thread is; return the number before."};
  define(m, "set_module", &def, nullptr);
}
