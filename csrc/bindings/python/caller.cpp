#include "bindings/python/caller.h"
#include "bindings/bindings.h"
#include "bindings/python/frames.h"

#include <c10/util/flat_hash_map.h>

#include <algorithm>
#include <array>
#include <atomic>

using libgrad::detail::Place;

namespace {

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

std::string_view file_of(PyCodeObject* code) {
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(code->co_filename, &size);
  if (text == nullptr) {
    PyErr_Clear();
    return "";
  }
  return {text, static_cast<size_t>(size)};
}

/// Tells which code belongs to a library. Code that was seen is kept alive:
/// places point to it, and its address identifies it without the GIL.
class Libraries {
 public:
  /// With the GIL.
  void set(std::vector<std::string> folders) {
    static const bool readable = frames_can_be_read();
    frames_ = readable;
    if (folders != folders_) {
      folders_ = std::move(folders);
      seen_.clear();
      ++generation_;
    }
  }

  /// True when frames can be read without the GIL.
  bool frames() const { return frames_; }

  /// With or without the GIL.
  bool contain(PyCodeObject* code) {
    thread_local std::array<Known, 256> known;
    auto& entry = known[reinterpret_cast<uintptr_t>(code) / 64 % known.size()];
    const auto generation = generation_.load(std::memory_order_acquire);
    if (entry.code != code || entry.generation != generation) {
      entry = {code, generation, look(code)};
    }
    return entry.library;
  }

 private:
  struct Known {
    PyCodeObject* code = nullptr;
    uint64_t generation = 0;
    bool library = false;
  };

  bool look(PyCodeObject* code) {
    const Gil gil;
    const auto found = seen_.find(code);
    if (found != seen_.end()) {
      return found->second;
    }
    Py_INCREF(code);
    const auto file = file_of(code);
    const auto starts = [&](std::string_view text) {
      return file.starts_with(text);
    };
    const bool library = starts("<frozen ") || starts("<eval_with_key>") ||
                         std::any_of(folders_.begin(), folders_.end(), starts);
    seen_.emplace(code, library);
    return library;
  }

  std::vector<std::string> folders_;
  ska::flat_hash_map<PyCodeObject*, bool> seen_;
  std::atomic<uint64_t> generation_ = 1;
  std::atomic<bool> frames_ = false;
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
#else
int32_t position(PyFrameObject* frame) {
  return frame->f_lasti * static_cast<int32_t>(sizeof(_Py_CODEUNIT));
}
#endif

std::pair<std::string, int32_t> describe(const Place& place) {
  const Gil gil;
  auto* code = static_cast<PyCodeObject*>(const_cast<void*>(place.key));
  return {std::string(file_of(code)), PyCode_Addr2Line(code, place.at)};
}

/// Finds the caller among the frames that it is shown, the innermost first.
class Search {
 public:
  /// Returns true at the user's line.
  bool found(PyCodeObject* code, int32_t at) {
    const bool library = libraries().contain(code);
    if (library && innermost_ == nullptr) {
      innermost_ = code;
    }
    if (!library || place_.key == nullptr) {
      place_ = {code, at, describe};
    }
    return !library;
  }

  Place result(const void** library) const {
    if (library != nullptr) {
      *library = innermost_;
    }
    return place_;
  }

 private:
  Place place_;
  const void* innermost_ = nullptr;
};

/// Shows `search` the frames by means of the interpreter's functions.
void search_by_interpreter(Search& search) {
  const Gil gil;
  auto frame = py::reinterpret_borrow<py::object>(
      reinterpret_cast<PyObject*>(PyEval_GetFrame()));
  while (frame) {
    auto* at = reinterpret_cast<PyFrameObject*>(frame.ptr());
    auto* code = PyFrame_GetCode(at);
    const bool found = search.found(code, position(at));
    Py_DECREF(code);
    if (found) {
      return;
    }
    frame = py::reinterpret_steal<py::object>(
        reinterpret_cast<PyObject*>(PyFrame_GetBack(at)));
  }
}

}  // namespace

void set_libraries(std::vector<std::string> folders) {
  libraries().set(std::move(folders));
}

Place place_of_caller(const void** library) {
  if (Py_IsInitialized() == 0) {
    return {};
  }
  Search search;
  if (libraries().frames()) {
    Frames frames;
    while (!frames.at_end() &&
           !search.found(frames.code(), frames.position())) {
      frames.next();
    }
  } else {
    search_by_interpreter(search);
  }
  return search.result(library);
}

std::string name_of_library_call(const void* library) {
  const Gil gil;
  auto* code = static_cast<PyCodeObject*>(const_cast<void*>(library));
  std::string name(file_of(code));
  if (const auto place = name.rfind("/torch/"); place != name.npos) {
    name.erase(0, place + 1);
  } else {
    name.erase(0, name.rfind('/') + 1);
  }
  if (name.ends_with(".py")) {
    name.resize(name.size() - 3);
  }
  std::replace(name.begin(), name.end(), '/', '.');
#if PY_VERSION_HEX >= 0x030B0000
  const py::handle function(code->co_qualname);
#else
  const py::handle function(code->co_name);
#endif
  return name + "." + py::cast<std::string>(function);
}
