/// The Functions of libgrad.load_inline. Arguments are read here, so that the
/// user's library is compiled without pybind11.

#include "bindings/function/inline_types.h"

#include <libgrad/function/inline.h>
#include <libgrad/python/arguments.h>
#include <libgrad/torch/transforms/vmap.h>

namespace libgrad::detail {

namespace {

struct Parameter {
  std::string name;  // empty: by position only
  bool keyword_only;
  py::object fallback;  // the default; null where there is none
  std::string text;     // the type in the schema
  Type type;
  bool (*fits)(const at::IValue&);
};

/// The callable behind a Python function of load_inline.
class InlineFunction {
 public:
  InlineFunction(
      std::string name, const Inlined& inlined, const py::list& parameters)
      : name_(std::move(name)),
        erased_(inlined.function) {
    for (size_t i = 0; i < erased_->types.size(); ++i) {
      const auto given = py::reinterpret_borrow<py::tuple>(parameters[i]);
      const auto& text = erased_->types[i];
      const auto name = given[0].is_none() ? "" : given[0].cast<std::string>();
      parameters_.push_back(
          {name,
           given[1].cast<bool>(),
           given.size() > 2 ? py::object(given[2]) : py::object(),
           text,
           Type(text),
           inlined.fits[i]});
      at::IValue value;
      bool special = false;
      if (parameters_[i].fallback) {
        read(i, parameters_[i].fallback, value, special);
      }
    }
  }

  py::object operator()(const py::args& args, const py::kwargs& kwargs) const {
    const auto objects = match(args, kwargs);
    std::vector<at::IValue> values(objects.size());
    bool special = functorch_active() ||
                   at::impl::torch_function_mode_enabled() ||
                   c10::impl::TorchDispatchModeTLS::any_modes_set();
    for (size_t i = 0; i < objects.size(); ++i) {
      read(i, objects[i], values[i], special);
    }
    if (special) [[unlikely]] {
      return call_special(std::move(values), objects);
    }
    auto outputs = [&] {
      py::gil_scoped_release no_gil;
      return erased_->apply(values);
    }();
    return erased_->single ? to_python(outputs.at(0))
                           : py::object(to_python(outputs));
  }

  py::object* special() const { return special_; }

 private:
  template <class... Args>
  [[noreturn]] void refuse(const char* format, Args... args) const {
    const auto text = name_ + "(): " + format;
    PyErr_Format(PyExc_TypeError, text.c_str(), args...);
    throw py::error_already_set();
  }

  void read(
      size_t i, py::handle object, at::IValue& value, bool& special) const {
    const auto& p = parameters_[i];
    if (p.type.load(object, value, special, p.type.suffixes.size())) {
      if (!p.fits(value)) {
        refuse(
            "argument %zu (%s) is %R, which its C++ type cannot hold",
            i + 1,
            p.name.c_str(),
            object.ptr());
      }
      return;
    }
    PyErr_Clear();
    refuse(
        "argument %zu (%s) must be %s, but got %s",
        i + 1,
        p.name.c_str(),
        p.text.c_str(),
        Py_TYPE(object.ptr())->tp_name);
  }

  /// The argument of each parameter: the given object, or the default.
  std::vector<py::object> match(
      const py::args& args, const py::kwargs& kwargs) const {
    std::vector<py::object> objects(parameters_.size());
    size_t positional = 0;
    size_t used = 0;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const auto& p = parameters_[i];
      if (!p.keyword_only && ++positional <= args.size()) {
        objects[i] = args[i];
      } else if (
          !kwargs.empty() && !p.name.empty() && kwargs.contains(p.name)) {
        objects[i] = kwargs[p.name.c_str()];
        ++used;
      } else if (p.fallback) {
        objects[i] = p.fallback;
      } else {
        refuse("argument %zu (%s) is missing", i + 1, p.name.c_str());
      }
    }
    if (args.size() > positional) {
      refuse("takes %zu arguments, but got %zu", positional, args.size());
    }
    if (used != kwargs.size()) {
      refuse_keywords(kwargs, objects);
    }
    return objects;
  }

  [[noreturn]] void refuse_keywords(
      const py::kwargs& kwargs, const std::vector<py::object>& objects) const {
    for (const auto& [key, value] : kwargs) {
      const auto name = key.cast<std::string>();
      bool taken = false;
      for (size_t i = 0; i < parameters_.size(); ++i) {
        taken = taken || (parameters_[i].name == name && objects[i].is(value));
      }
      if (!taken) {
        refuse("has no argument %R, or got it twice", key.ptr());
      }
    }
    refuse("got an argument twice");
  }

  py::object call_special(
      std::vector<at::IValue> values,
      const std::vector<py::object>& objects) const {
    using Values = std::vector<at::IValue>;
    const py::capsule capsule(
        new Values(std::move(values)), kValuesCapsule, [](PyObject* capsule) {
          delete static_cast<Values*>(
              PyCapsule_GetPointer(capsule, kValuesCapsule));
        });
    py::tuple args(objects.size());
    for (size_t i = 0; i < objects.size(); ++i) {
      args[i] = objects[i];
    }
    return (*special_)(capsule, *args);
  }

  std::string name_;
  const Erased* erased_;
  std::vector<Parameter> parameters_;
  py::object* special_ = new py::object();  // leaked, like the function
};

const Inlined& inlined_at(uintptr_t address) {
  return *reinterpret_cast<const Inlined*>(address);
}

}  // namespace

}  // namespace libgrad::detail

void bind_inline(py::module_& m) {
  using namespace libgrad::detail;
  m.def("_inline_types", [](uintptr_t address) {
    auto types = inlined_at(address).function->types;
    for (auto& type : types) {
      type = Type(type).read == nullptr ? "" : type;
    }
    return types;
  });
  m.def(
      "_bind_inline",
      [](py::module_ module,
         const std::string& name,
         const std::string& doc,
         uintptr_t address,
         const py::list& parameters) {
        py::options options;
        options.disable_function_signatures();  // `doc` has the signature
        const auto& inlined = inlined_at(address);
        const InlineFunction bound(name, inlined, parameters);
        const py::cpp_function function(
            torch::wrap_pybind_function(bound),
            py::name(name.c_str()),
            py::scope(module),
            doc.c_str());
        module.attr(name.c_str()) = function;
        *bound.special() =
            py::module_::import("libgrad._function.bound")
                .attr("bind")(
                    function,
                    module.attr("__name__"),
                    py::capsule(inlined.function, kErasedCapsule),
                    parameters,
                    py::list());
      });
}
