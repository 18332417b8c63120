#include "bindings/gradcheck/host.h"

#include <c10/core/impl/TorchDispatchModeTLS.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <type_traits>
#include <variant>

using gradcheck_host::as_tuple;
using gradcheck_host::Checked;
using gradcheck_host::python_host;
using gradcheck_host::tensors_of;
using libgrad::GradcheckError;
using libgrad::GradcheckOptions;
using libgrad::GradgradcheckOptions;
using libgrad::variable_list;

namespace {

py::object number(const c10::complex<double>& value, bool complex) {
  return complex ? py::object(py::cast(value))
                 : py::object(py::float_(value.real()));
}

py::tuple place(const std::vector<int64_t>& indices) {
  py::tuple result(indices.size());
  for (size_t d = 0; d < indices.size(); ++d) {
    result[d] = indices[d];
  }
  return result;
}

/// `cause` as a Python exception, or None.
py::object cause_of(const std::exception_ptr& cause) {
  if (!cause) {
    return py::none();
  }
  torch::translate_exception_to_python(cause);
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback != nullptr) {
    PyException_SetTraceback(value, traceback);
  }
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  return py::reinterpret_steal<py::object>(value);
}

/// The members of `error`, by the names of libgrad.GradcheckError's attributes.
py::dict to_dict(const GradcheckError& error) {
  const bool complex =
      error.analytic.defined() &&
      (error.analytic.is_complex() || error.numeric.is_complex());
  py::list worst, sweep;
  for (const auto& entry : error.worst) {
    worst.append(
        py::make_tuple(
            place(entry.output),
            place(entry.input),
            number(entry.analytic, complex),
            number(entry.numeric, complex),
            entry.error,
            entry.allowed));
  }
  for (const auto& step : error.sweep) {
    sweep.append(
        py::make_tuple(
            step.eps, number(step.numeric, complex), step.error, step.agrees));
  }
  py::dict result;
  const auto index = [](const std::optional<size_t>& i) {
    return i ? py::object(py::int_(*i)) : py::object(py::none());
  };
  result["message"] = error.message;
  result["cause"] = cause_of(error.cause);
  result["kind"] = libgrad::name(error.kind);
  result["forward_mode"] = error.forward_mode;
  result["output"] = index(error.output);
  result["input"] = index(error.input);
  result["part"] = error.part;
  result["worst"] = worst;
  result["wrong"] = error.wrong;
  result["entries"] = error.entries;
  result["analytic"] = libgrad::detail::to_python(error.analytic);
  result["numeric"] = libgrad::detail::to_python(error.numeric);
  result["sweep"] = sweep;
  result["advice"] = error.advice;
  return result;
}

/// The result of `check`: True or False, or a dict of the GradcheckError that
/// it throws.
template <class Check>
py::object outcome(const Check& check) {
  const libgrad::detail::ContextStash<> context;
  try {
    bool passed = false;
    {
      py::gil_scoped_release no_gil;
      passed = check();
    }
    return py::bool_(passed);
  } catch (const GradcheckError& error) {
    return to_dict(error);
  } catch (const libgrad::GradcheckAssertion& error) {
    PyErr_SetString(PyExc_AssertionError, error.what_without_backtrace());
    throw py::error_already_set();
  }
}

/// True when the inputs are ordinary tensors and nothing intercepts torch's
/// operators.
bool takes_gradcheck(const py::object& inputs) {
  using namespace libgrad::detail;
  Objects objects;
  const auto arguments = gradcheck_host::as_tuple(inputs);
  for (const auto argument : arguments) {
    objects.push_back(argument.ptr());
  }
  if (has_torch_function(objects, {}) || functorch_active() || in_vmap() ||
      c10::impl::TorchDispatchModeTLS::any_modes_set()) {
    return false;
  }
  for (const auto& tensor : tensors_of(arguments)) {
    if (tensor.defined() && (tensor.layout() != at::kStrided ||
                             is_subclass(tensor) || tensor.is_nested())) {
      return false;
    }
  }
  return true;
}

/// A member of a C++ options struct, and its name in Python.
template <class Options>
struct Option {
  std::string_view name;
  std::variant<bool Options::*, double Options::*> member;
};

/// The options that both functions have.
template <class Options>
constexpr std::array kCommon{
    Option<Options>{"eps", &Options::eps},
    Option<Options>{"atol", &Options::atol},
    Option<Options>{"rtol", &Options::rtol},
    Option<Options>{"raise_exception", &Options::raise_exception},
    Option<Options>{"nondet_tol", &Options::nondet_tol},
    Option<Options>{"check_undefined_grad", &Options::check_undefined_grad},
    Option<Options>{"check_grad_dtypes", &Options::check_grad_dtypes},
    Option<Options>{"check_batched_grad", &Options::check_batched_grad},
    Option<Options>{"fast_mode", &Options::fast_mode},
    Option<Options>{"masked", &Options::masked}};

constexpr std::array kGradcheck{
    Option<GradcheckOptions>{
        "check_batched_forward_grad",
        &GradcheckOptions::check_batched_forward_grad},
    Option<GradcheckOptions>{
        "check_forward_ad", &GradcheckOptions::check_forward_ad},
    Option<GradcheckOptions>{
        "check_backward_ad", &GradcheckOptions::check_backward_ad}};

constexpr std::array kGradgradcheck{
    Option<GradgradcheckOptions>{
        "gen_non_contig_grad_outputs",
        &GradgradcheckOptions::gen_non_contig_grad_outputs},
    Option<GradgradcheckOptions>{
        "check_fwd_over_rev", &GradgradcheckOptions::check_fwd_over_rev},
    Option<GradgradcheckOptions>{
        "check_rev_over_rev", &GradgradcheckOptions::check_rev_over_rev}};

template <class T>
T read_option(const char* function, std::string_view name, py::handle value) {
  py::detail::make_caster<T> caster;
  if (!caster.load(value, /*convert=*/true)) {
    throw py::type_error(
        c10::str(
            function,
            ": ",
            name,
            std::is_same_v<T, bool> ? " must be a bool" : " must be a float",
            ", but is ",
            Py_TYPE(value.ptr())->tp_name));
  }
  return py::detail::cast_op<T>(caster);
}

/// The options in the dict `given`.
template <class Options, class Others>
Options read_options(
    const char* function, const py::dict& given, const Others& others) {
  Options options;
  const auto read = [&](const Option<Options>& option) {
    const auto value = given[py::cast(option.name)];
    std::visit(
        [&]<class T>(T Options::* member) {
          options.*member = read_option<T>(function, option.name, value);
        },
        option.member);
  };
  std::ranges::for_each(kCommon<Options>, read);
  std::ranges::for_each(others, read);
  return options;
}

py::object gradcheck(
    py::object func, const py::object& inputs, const py::dict& options) {
  const Checked checked(std::move(func), gradcheck_host::as_tuple(inputs));
  const auto chosen =
      read_options<GradcheckOptions>("gradcheck", options, kGradcheck);
  return outcome([&] {
    return libgrad::detail::gradcheck_in(
        python_host(), std::cref(checked), checked.tensors(), chosen);
  });
}

py::object gradgradcheck(
    py::object func,
    const py::object& inputs,
    const py::object& grad_outputs,
    const py::dict& options) {
  const Checked checked(std::move(func), gradcheck_host::as_tuple(inputs));
  const auto vectors = grad_outputs.is_none()
                           ? variable_list()
                           : tensors_of(gradcheck_host::as_tuple(grad_outputs));
  const auto chosen = read_options<GradgradcheckOptions>(
      "gradgradcheck", options, kGradgradcheck);
  return outcome([&] {
    return libgrad::detail::gradgradcheck_in(
        python_host(), std::cref(checked), checked.tensors(), vectors, chosen);
  });
}

}  // namespace

void bind_gradcheck(py::module_& m) {
  m.def("takes_gradcheck", wrap_pybind_function(takes_gradcheck), "inputs"_a);
  m.def("gradcheck", wrap_pybind_function(gradcheck));
  m.def("gradgradcheck", wrap_pybind_function(gradgradcheck));
}
