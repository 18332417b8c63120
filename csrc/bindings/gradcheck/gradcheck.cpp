#include "bindings/gradcheck/host.h"

#include <c10/core/impl/TorchDispatchModeTLS.h>

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

/// The exception behind `cause`, or None.
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

/// What `error` tells, under the names of libgrad.GradcheckError's attributes.
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

/// True or False, as `check` says, or a dict of what it throws.
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

/// True where the inputs are ordinary tensors and nothing intercepts torch.
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

py::object gradcheck(
    py::object func,
    const py::object& inputs,
    const GradcheckOptions& options) {
  const Checked checked(std::move(func), gradcheck_host::as_tuple(inputs));
  return outcome([&] {
    return libgrad::detail::gradcheck_in(
        python_host(), std::cref(checked), checked.tensors(), options);
  });
}

py::object gradgradcheck(
    py::object func,
    const py::object& inputs,
    const py::object& grad_outputs,
    const GradgradcheckOptions& options) {
  const Checked checked(std::move(func), gradcheck_host::as_tuple(inputs));
  const auto vectors = grad_outputs.is_none()
                           ? variable_list()
                           : tensors_of(gradcheck_host::as_tuple(grad_outputs));
  return outcome([&] {
    return libgrad::detail::gradgradcheck_in(
        python_host(), std::cref(checked), checked.tensors(), vectors, options);
  });
}

void def_gradcheck(py::module_& m) {
  m.def(
      "gradcheck",
      wrap_pybind_function([](py::object func,
                              const py::object& inputs,
                              double eps,
                              double atol,
                              double rtol,
                              bool raise_exception,
                              double nondet_tol,
                              bool check_undefined_grad,
                              bool check_grad_dtypes,
                              bool check_batched_grad,
                              bool check_batched_forward_grad,
                              bool check_forward_ad,
                              bool check_backward_ad,
                              bool fast_mode,
                              std::optional<bool> masked) {
        return gradcheck(
            std::move(func),
            inputs,
            {eps,
             atol,
             rtol,
             raise_exception,
             nondet_tol,
             check_undefined_grad,
             check_grad_dtypes,
             check_batched_grad,
             check_batched_forward_grad,
             check_forward_ad,
             check_backward_ad,
             fast_mode,
             masked.value_or(false)});
      }));
}

void def_gradgradcheck(py::module_& m) {
  m.def(
      "gradgradcheck",
      wrap_pybind_function([](py::object func,
                              const py::object& inputs,
                              const py::object& grad_outputs,
                              double eps,
                              double atol,
                              double rtol,
                              bool gen_non_contig_grad_outputs,
                              bool raise_exception,
                              double nondet_tol,
                              bool check_undefined_grad,
                              bool check_grad_dtypes,
                              bool check_batched_grad,
                              bool check_fwd_over_rev,
                              bool check_rev_over_rev,
                              bool fast_mode,
                              std::optional<bool> masked) {
        return gradgradcheck(
            std::move(func),
            inputs,
            grad_outputs,
            {eps,
             atol,
             rtol,
             gen_non_contig_grad_outputs,
             raise_exception,
             nondet_tol,
             check_undefined_grad,
             check_grad_dtypes,
             check_batched_grad,
             check_fwd_over_rev,
             check_rev_over_rev,
             fast_mode,
             masked.value_or(false)});
      }));
}

}  // namespace

void bind_gradcheck(py::module_& m) {
  m.def("takes_gradcheck", wrap_pybind_function(takes_gradcheck), "inputs"_a);
  def_gradcheck(m);
  def_gradgradcheck(m);
}
