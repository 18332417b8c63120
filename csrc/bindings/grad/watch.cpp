#include "bindings/grad/watch.h"

#include <vector>

namespace {

PyObject* watch = nullptr;  // with the GIL
thread_local bool inside = false;

/// While it lives, this thread's calls are not watched.
class Inside {
 public:
  Inside() { inside = true; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() { inside = false; }
};

}  // namespace

std::optional<PyObject*> call_watch(
    PyObject* function,
    PyObject* const* args,
    Py_ssize_t positional,
    PyObject* keywords) {
  if (watch == nullptr || inside) {
    return std::nullopt;
  }
  const Inside guard;
  const auto count =
      positional + (keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords));
  std::vector<PyObject*> all{function};
  all.insert(all.end(), args, args + count);
  const auto mine = py::reinterpret_borrow<py::object>(watch);
  return PyObject_Vectorcall(
      mine.ptr(), all.data(), static_cast<size_t>(positional) + 1, keywords);
}

void watch_engine(py::object new_watch) {
  const auto before = py::reinterpret_steal<py::object>(watch);
  watch = new_watch.is_none() ? nullptr : new_watch.release().ptr();
}
