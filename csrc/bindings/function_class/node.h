/// bindings/function_class/node.h -- the node of a Function that is written
/// in Python. Needs Python; where a node cannot own its ctx (an older torch)
/// this header defines nothing.
///
/// Relies on (covered by
/// tests/function_class/test_function_class_internals.py):
/// - Function<T>::apply makes a CppNode<T>, calls T::forward with its context
///   and finds to_optional, _wrap_outputs and to_output_type by
///   argument-dependent lookup; an explicit specialization CppNode<T> is a
///   friend of AutogradContext;
/// - a THPFunction is plain data whose `cdata` may be any Node, so that torch's
///   code for the grad_fn of its own Functions works for libgrad's;
/// - PyObjectPreservation keeps that object and its node alive together, also
///   in the garbage collector;
/// - THPFunction's type frees and traverses the fields that `new_context` sets.

#pragma once

#include <libgrad/torch/features.h>

#ifdef LIBGRAD_TORCH_OWNS_NODES
#define LIBGRAD_HAS_PYTHON_FUNCTION 1

#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/python_cpp_function.h>
#include <torch/csrc/autograd/python_function.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/csrc/utils/pyobject_preservation.h>

#include <c10/util/SmallVector.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace libgrad::detail {

using Impls = std::unordered_set<at::TensorImpl*>;
using torch::autograd::variable_list;

/// A yes or no for each argument of apply.
using Flags = c10::SmallVector<bool, 16>;

[[noreturn]] inline void throw_python_error() {
  python_error error;
  error.persist();  // the exception may cross the engine, and threads
  throw std::move(error);
}

/// `object`; throws the Python exception where it is null.
inline THPObjectPtr checked(PyObject* object) {
  if (!object) {
    throw_python_error();
  }
  return THPObjectPtr(object);
}

/// One call of `apply`; lives on its stack.
struct PythonCall {
  PyObject* cls;
  PyObject* const* args;
  size_t count;
  bool is_executable = false;
  bool has_setup_context = false;
  Flags is_variable{};                        // it is a tensor
  Flags needs_grad{};                         // one that requires grad
  c10::SmallVector<at::Tensor, 8> tensors{};  // those of the arguments
  THPObjectPtr context{};      // a THPFunction: what Python calls ctx
  THPObjectPtr result{};       // what forward returned
  THPObjectPtr grad_dtypes{};  // tuple; null: set_output_grad_dtype not called
  variable_list to_save{};     // undefined for None
  c10::SmallVector<at::TensorImpl*, 4> outputs{};  // that have a node
  Impls saved_by_setup{};  // tensors that setup_context saves

  THPFunction* ctx() { return reinterpret_cast<THPFunction*>(context.get()); }

  bool is_output(const at::Tensor& tensor) const {
    const auto* end = outputs.end();
    return std::find(outputs.begin(), end, tensor.unsafeGetTensorImpl()) != end;
  }
};

/// The results of forward; nullopt for a result that is not a tensor.
struct PythonOutputs {
  PythonCall* call = nullptr;
  std::vector<std::optional<at::Tensor>> tensors{};

  auto begin() { return tensors.begin(); }
  auto end() { return tensors.end(); }
  size_t size() const { return tensors.size(); }
};

/// The C++ Function that runs every Function of Python.
struct PythonFunction : torch::autograd::Function<PythonFunction> {
  static PythonOutputs forward(
      torch::autograd::AutogradContext* ctx,
      PythonCall* call,
      at::TensorList inputs);
};

using PythonNode = torch::autograd::CppNode<PythonFunction>;

/// Calls the class's backward for `node`. Needs the GIL.
variable_list call_backward(PythonNode& node, variable_list&& grads);
/// Calls the class's jvp. Needs the GIL.
variable_list call_jvp(
    PythonCall& call,
    const variable_list& inputs,
    const variable_list& tangents);

}  // namespace libgrad::detail

/// The node of a Python Function. Unlike LibTorch's CppNode it is named after
/// the Python class, and does not hold its mutex while Python runs: waiting for
/// the GIL under that mutex could deadlock.
template <>
struct torch::autograd::CppNode<libgrad::detail::PythonFunction> final
    : public torch::autograd::Node {
  std::string name() const override {
    auto* object = pyobj_slot()->load_pyobj();
    return object ? Py_TYPE(object)->tp_name : "libgrad::PythonFunction";
  }

  THPFunction* context() const {
    return reinterpret_cast<THPFunction*>(pyobj_slot()->load_pyobj());
  }

  variable_list apply(variable_list&& grads) override {
    at::OptionalDeviceGuard device_guard;
    const auto* ctx = context();
    for (size_t i = 0; i < grads.size(); ++i) {
      const bool no_gradient = input_metadata(i).was_default_constructed();
      if (!grads[i].defined() && ctx->materialize_grads &&
          (!no_gradient || ctx->materialize_non_diff_grads)) {
        grads[i] = output_info_[i].zeros(device_guard);
      }
    }
    pybind11::gil_scoped_acquire gil;
    return libgrad::detail::call_backward(*this, std::move(grads));
  }

  void release_variables() override {
    std::vector<SavedVariable> released;  // destroyed after the unlock
    std::lock_guard<std::mutex> lock(mutex_);
    released.swap(ctx_.saved_variables_);
    ctx_.has_freed_buffers_ = true;
  }

  void release_resources() override {
    Node::release_resources();
    ctx_.saved_variables_.clear();
    ctx_.grad_fn_.reset();
  }

  bool is_aot_backward() const override {
    pybind11::gil_scoped_acquire gil;
    const py::handle object(pyobj_slot()->load_pyobj());
    return object && py::hasattr(object.attr("_forward_cls"), "_aot_id");
  }

  void compiled_args(CompiledNodeArgs& /*args*/) const override {
    TORCH_CHECK_NOT_IMPLEMENTED(
        false,
        name(),
        ": compiled autograd cannot trace the node of a libgrad.Function; "
        "compile what calls apply(), or derive from torch.autograd.Function");
  }

  /// The saved tensors. Needs the GIL, which is released while it waits for the
  /// mutex.
  variable_list unpack(bool clear) {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) {
      pybind11::gil_scoped_release no_gil;
      lock.lock();
    }
    auto tensors = ctx_.get_saved_variables();
    if (clear) {
      ctx_.saved_variables_.clear();
    }
    return tensors;
  }

  std::vector<SavedVariable>& saved_variables() {
    TORCH_CHECK(!ctx_.has_freed_buffers_, ERR_BACKWARD_TWICE);
    return ctx_.saved_variables_;
  }

  static c10::intrusive_ptr<CppNode> of(AutogradContext& ctx) {
    return c10::static_intrusive_pointer_cast<CppNode>(ctx.grad_fn_.lock());
  }

  // Members that Function<T>::apply uses.
  void set_ctx_grad_fn(const c10::intrusive_ptr<Node>& node) {
    ctx_.grad_fn_ = node;
  }
  /// Saves the tensors of save_for_backward; outputs without their graph, which
  /// would be a reference cycle.
  void save_variables_to_ctx() {
    std::vector<SavedVariable> saved;  // all, or none when a hook throws
    saved.reserve(call_->to_save.size());
    for (const auto& tensor : call_->to_save) {
      if (tensor.defined()) {
        saved.emplace_back(tensor, call_->is_output(tensor));
      } else {
        saved.emplace_back();
      }
    }
    ctx_.saved_variables_ = std::move(saved);
  }

  AutogradContext ctx_;
  std::vector<bool> is_variable_input_;
  libgrad::detail::Flags needs_grad_;
  struct {
    void reserve(size_t) {}
    void emplace_back(const Variable&) {}
  } input_info_;  // which is for compiled autograd
  std::vector<VariableInfo> output_info_;
  libgrad::detail::PythonCall* call_ = nullptr;  // null unless `apply` runs
};

namespace libgrad::detail {

/// A new ctx of `type` for `node`, which owns it from now on, with torch's
/// default flags.
inline THPObjectPtr new_context(
    PyTypeObject* type, const c10::intrusive_ptr<PythonNode>& node) {
  return THPObjectPtr(
      torch::utils::PyObjectPreservation::get_or_init(
          *node, [&]() -> PyObject* {
            auto object = checked(type->tp_alloc(type, 0));  // all zeros
            auto* ctx = reinterpret_cast<THPFunction*>(object.get());
            new (&ctx->compiled_autograd_symints) std::vector<c10::SymInt>();
            new (&ctx->output_info)
                std::vector<torch::autograd::VariableInfo>();
            new (&ctx->input_info) std::vector<torch::autograd::VariableInfo>();
            new (&ctx->saved_variables)
                std::vector<torch::autograd::SavedVariable>();
            new (&ctx->is_variable_input) std::vector<bool>();
            new (&ctx->cdata) c10::intrusive_ptr<torch::autograd::Node>(node);
            ctx->materialize_grads = true;
            ctx->materialize_non_diff_grads = true;
            return object.release();
          }));
}

/// The node of a ctx; null for a ctx that torch's own `apply` made.
inline PythonNode* python_node(const THPFunction* ctx) {
  auto* node = ctx->cdata.get();
  return node && typeid(*node) == typeid(PythonNode)
             ? static_cast<PythonNode*>(node)
             : nullptr;
}

// Function<PythonFunction>::apply finds these three.

inline const PythonOutputs& to_optional(const PythonOutputs& outputs) {
  return outputs;
}

template <class T>
  requires std::is_same_v<T, PythonOutputs>
T to_output_type(PythonOutputs& outputs) {
  return std::move(outputs);
}

/// The dtypes that set_output_grad_dtype declared, as read_grad_dtypes reads
/// them: one for each output; nullopt for None.
using GradDtypes = std::vector<std::optional<at::ScalarType>>;

/// Reads the declarations of a call. Needs the GIL. Throws unless there is one
/// for each output, and a dtype only for an output that has a gradient.
GradDtypes read_grad_dtypes(
    const PythonCall& call,
    const PythonOutputs& outputs,
    const Impls& non_differentiable);

/// Makes the engine cast the gradient of each output to its dtype; one of
/// nullopt stays as it is.
inline void set_grad_dtypes(PythonNode& node, const GradDtypes& dtypes) {
  for (size_t i = 0; i < dtypes.size(); ++i) {
    auto& metadata = node.mutable_input_metadata(i);
    if (!metadata.was_default_constructed()) {
      metadata.set_grad_dtype(dtypes[i]);
    }
  }
}

/// LibTorch's _wrap_outputs, with the class's jvp in place of the function that
/// refuses forward mode.
template <class... Rest>
PythonOutputs _wrap_outputs(
    const variable_list& inputs,
    const Impls& non_differentiable,
    const Impls& dirty,
    const PythonOutputs& outputs,
    const c10::intrusive_ptr<PythonNode>& node,
    const torch::autograd::_jvp_fn_t& /*refuses*/,
    const Impls& /*none*/,
    const torch::autograd::_view_as_self_fn_t& /*in C++*/,
    bool /*pure_view*/,
    Rest&&... rest) {
  const auto view_as_self = [](const at::Tensor& x) {
    auto self = checked(THPVariable_Wrap(x));  // a subclass may override it
    return THPVariable_Unpack(
        checked(PyObject_CallMethod(self, "view_as", "O", self.get())).get());
  };
  auto& call = *outputs.call;
  const auto dtypes = call.grad_dtypes
                          ? read_grad_dtypes(call, outputs, non_differentiable)
                          : GradDtypes();
  PythonOutputs wrapped{
      outputs.call,
      torch::autograd::_wrap_outputs(
          inputs,
          non_differentiable,
          dirty,
          outputs.tensors,
          node,
          [&call](variable_list primals, variable_list tangents) {
            return call_jvp(call, primals, tangents);
          },
          call.saved_by_setup,
          view_as_self,
          call.ctx()->pure_view,
          std::forward<Rest>(rest)...)};
  if (node) {
    set_grad_dtypes(*node, dtypes);
  }
  for (const auto& output : wrapped.tensors) {
    if (node && output.has_value()) {
      call.outputs.push_back(output->unsafeGetTensorImpl());
    }
  }
  return wrapped;
}

}  // namespace libgrad::detail

#endif
