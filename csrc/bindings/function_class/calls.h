/// bindings/function_class/calls.h -- calls the Python members of a Function
/// for the node of node.h: forward, setup_context, backward, jvp. Every
/// function needs the GIL.
///
/// Relies on (covered by
/// tests/function_class/test_function_class_internals.py):
/// - the methods of torch's FunctionCtx store their arguments in the fields of
///   THPFunction.

#pragma once

#include "bindings/function_class/class.h"

#include <torch/csrc/Dtype.h>

#ifdef LIBGRAD_HAS_PYTHON_FUNCTION

namespace libgrad::detail {

/// Takes the tensors out of `field`, a tuple that a method of ctx stored, and
/// clears it.
inline variable_list take_tensors(PyObject*& field, const char* method) {
  variable_list tensors;
  TORCH_CHECK(
      PyTuple_Check(field),
      method,
      " needs tensors, got ",
      Py_TYPE(field)->tp_name);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(field); ++i) {
    auto* item = PyTuple_GET_ITEM(field, i);
    TORCH_CHECK(
        THPVariable_Check(item),
        method,
        " can only accept variables, but argument ",
        i,
        " is of type ",
        Py_TYPE(item)->tp_name);
    tensors.push_back(THPVariable_Unpack(item));
  }
  Py_CLEAR(field);
  return tensors;
}

/// Takes the tensors that save_for_backward stored; undefined for None.
inline variable_list take_saved(PythonCall& call) {
  auto* ctx = call.ctx();
  variable_list tensors;
  TORCH_CHECK(
      !ctx->to_save || PyTuple_Check(ctx->to_save),
      "save_for_backward needs tensors, got ",
      Py_TYPE(ctx->to_save)->tp_name);
  const auto count = ctx->to_save ? PyTuple_GET_SIZE(ctx->to_save) : 0;
  for (Py_ssize_t i = 0; i < count; ++i) {
    auto* item = PyTuple_GET_ITEM(ctx->to_save, i);
    if (THPVariable_Check(item)) {
      tensors.push_back(THPVariable_Unpack(item));
    } else {
      TORCH_CHECK_TYPE(
          item == Py_None || !call.is_executable,
          "save_for_backward can only save variables, but argument ",
          i,
          " is of type ",
          Py_TYPE(item)->tp_name);
      tensors.emplace_back();
    }
  }
  Py_CLEAR(ctx->to_save);
  return tensors;
}

/// Notes the tensors that setup_context saves: LibTorch's _wrap_outputs refuses
/// them when they are inputs that forward returned.
inline void note_saved_by_setup(PythonCall& call) {
  for (const auto& tensor : call.to_save) {
    if (tensor.defined()) {
      call.saved_by_setup.insert(tensor.unsafeGetTensorImpl());
    }
  }
  auto* for_forward = call.ctx()->saved_for_forward;
  const auto count = for_forward ? PyTuple_GET_SIZE(for_forward) : 0;
  for (Py_ssize_t i = 0; i < count; ++i) {
    auto* item = PyTuple_GET_ITEM(for_forward, i);
    if (THPVariable_Check(item)) {
      call.saved_by_setup.insert(
          THPVariable_Unpack(item).unsafeGetTensorImpl());
    }
  }
}

/// Runs forward, and setup_context where the class has one.
inline THPObjectPtr call_forward(PythonCall& call) {
  const auto& names = FunctionNames::get();
  at::AutoFwGradMode no_tangents(false);
  auto forward = attribute(call.cls, names.forward);
  CallArguments args(call.count + 1);
  if (!call.has_setup_context) {
    args.borrow(call.context);
  }
  for (size_t i = 0; i < call.count; ++i) {
    args.borrow(call.args[i]);
  }
  auto result = args.call(forward);
  if (call.has_setup_context) {
    auto inputs = checked(PyTuple_New(static_cast<Py_ssize_t>(call.count)));
    for (size_t i = 0; i < call.count; ++i) {
      PyTuple_SET_ITEM(inputs.get(), i, Py_NewRef(call.args[i]));
    }
    CallArguments setup(3);
    setup.borrow(call.context);
    setup.borrow(inputs);
    setup.borrow(result);
    setup.call(attribute(call.cls, names.setup_context));
  }
  return result;
}

/// The tensors among what forward returned: one object, or a tuple.
inline PythonOutputs read_results(PythonCall& call) {
  PythonOutputs outputs{&call};
  const auto add = [&](PyObject* object) {
    outputs.tensors.emplace_back();
    if (THPVariable_Check(object)) {
      outputs.tensors.back() = THPVariable_Unpack(object);
    }
  };
  auto* result = call.result.get();
  if (!PyTuple_Check(result)) {
    add(result);
    return outputs;
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(result); ++i) {
    add(PyTuple_GET_ITEM(result, i));
  }
  return outputs;
}

inline PythonOutputs PythonFunction::forward(
    torch::autograd::AutogradContext* ctx,
    PythonCall* call,
    at::TensorList /*inputs: call->args has them*/) {
  const auto& names = FunctionNames::get();
  auto node = PythonNode::of(*ctx);
  auto type = context_type(call->cls);
  call->context =
      new_context(reinterpret_cast<PyTypeObject*>(type.get()), node);
  auto* python = call->ctx();
  python->clear_saved_tensors_on_access =
      read_class_flag(call->cls, names.clears);
  python->boxed_grads_call = read_class_flag(call->cls, names.boxed);
  const auto& is_variable = call->is_variable;
  node->is_variable_input_.assign(is_variable.begin(), is_variable.end());
  node->needs_grad_ = std::move(call->needs_grad);
  node->call_ = call;
  node.reset();
  call->result = call_forward(*call);

  call->to_save = take_saved(*call);
  if (call->has_setup_context) {
    note_saved_by_setup(*call);
  }
  if (auto*& field = python->non_differentiable) {
    ctx->mark_non_differentiable(
        take_tensors(field, "mark_non_differentiable"));
  }
  if (auto*& field = python->dirty_tensors) {
    ctx->mark_dirty(take_tensors(field, "mark_dirty"));
  }

  return read_results(*call);
}

inline GradDtypes read_grad_dtypes(
    const PythonCall& call,
    const PythonOutputs& outputs,
    const Impls& non_differentiable) {
  auto* declared = call.grad_dtypes.get();
  const auto count = static_cast<size_t>(PyTuple_GET_SIZE(declared));
  TORCH_CHECK(
      count == outputs.size(),
      "set_output_grad_dtype expected the number of declarations to match the "
      "number of outputs: the Function returned ",
      outputs.size(),
      " values but ",
      count,
      " declarations were provided");
  GradDtypes dtypes(count);
  for (size_t i = 0; i < count; ++i) {
    auto* item = PyTuple_GET_ITEM(declared, i);
    if (item == Py_None) {
      continue;
    }
    TORCH_CHECK(
        THPDtype_Check(item),
        "set_output_grad_dtype expects each declaration to be a torch.dtype or "
        "None, but got ",
        Py_TYPE(item)->tp_name);
    dtypes[i] = reinterpret_cast<THPDtype*>(item)->scalar_type;
    TORCH_CHECK(
        torch::autograd::isDifferentiableType(*dtypes[i]),
        "set_output_grad_dtype: no gradient has the dtype ",
        *dtypes[i],
        " that was declared for output ",
        i,
        ". Pass a dtype of floating point, or None.");
    const auto& tensor = outputs.tensors[i];
    TORCH_CHECK(
        tensor &&
            torch::autograd::isDifferentiableType(tensor->scalar_type()) &&
            non_differentiable.count(tensor->unsafeGetTensorImpl()) == 0,
        "set_output_grad_dtype: got a concrete dtype for output ",
        i,
        ", but that output is not a differentiable tensor (it is a non-tensor, "
        "was marked non-differentiable, or has a non-differentiable dtype). "
        "Pass None for output ",
        i,
        " instead.");
  }
  return dtypes;
}

/// Adds the gradients as arguments of backward: one by one, or, if `boxed`, in
/// one list.
inline void add_gradients(
    CallArguments& args, variable_list& grads, bool boxed) {
  if (!boxed) {
    for (auto& grad : grads) {
      args.steal(THPVariable_Wrap(std::move(grad)));
    }
    return;
  }
  auto list = checked(PyList_New(static_cast<Py_ssize_t>(grads.size())));
  for (size_t i = 0; i < grads.size(); ++i) {
    auto item = checked(THPVariable_Wrap(std::move(grads[i])));
    PyList_SET_ITEM(list.get(), i, item.release());
  }
  args.steal(list.release());
}

/// The gradients that backward returned for the arguments that are tensors.
inline variable_list read_gradients(const PythonNode& node, PyObject* result) {
  const auto& is_variable = node.is_variable_input_;
  const auto expected = is_variable.size();
  const auto got = static_cast<size_t>(PyTuple_GET_SIZE(result));
  size_t count = got;  // surplus gradients must be None
  while (count > expected && PyTuple_GET_ITEM(result, count - 1) == Py_None) {
    --count;
  }
  TORCH_CHECK(
      count == expected,
      "function ",
      node.name(),
      " returned an incorrect number of gradients (expected ",
      expected,
      ", got ",
      got,
      ")");
  variable_list gradients;
  gradients.reserve(expected);
  for (size_t i = 0; i < expected; ++i) {
    auto* item = PyTuple_GET_ITEM(result, i);
    if (is_variable[i]) {
      gradients.push_back(tensor_or_none(item, ""));
      continue;
    }
    TORCH_CHECK(
        item == Py_None,
        "function ",
        node.name(),
        " returned a gradient different than None at position ",
        i + 1,
        ", but the corresponding forward input was not a Variable");
  }
  return gradients;
}

inline variable_list call_backward(PythonNode& node, variable_list&& grads) {
  auto ctx = checked(Py_NewRef(node.pyobj_slot()->load_pyobj()));
  auto function = user_backward(forward_class(ctx));
  CallArguments args(grads.size() + 1);
  args.borrow(ctx);
  add_gradients(args, grads, node.context()->boxed_grads_call);
  grads.clear();
  auto result = args.call(function);
  torch::autograd::ensure_tuple(result);
  return read_gradients(node, result);
}

inline variable_list call_jvp(
    PythonCall& call,
    const variable_list& inputs,
    const variable_list& tangents) {
  const auto& is_variable = python_node(call.ctx())->is_variable_input_;
  CallArguments args(is_variable.size() + 1);
  args.borrow(call.context);
  size_t next = 0;
  for (const bool is_tensor : is_variable) {
    if (!is_tensor) {
      args.borrow(Py_None);
      continue;
    }
    const auto& input = inputs[next];
    const bool zeros =
        !tangents[next].defined() && call.ctx()->materialize_grads &&
        torch::autograd::isDifferentiableType(input.scalar_type());
    args.steal(
        THPVariable_Wrap(zeros ? at::zeros_like(input) : tangents[next]));
    ++next;
  }
  auto result = args.call(attribute(call.cls, FunctionNames::get().jvp));
  torch::autograd::ensure_tuple(result);
  variable_list outputs;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(result.get()); ++i) {
    outputs.push_back(tensor_or_none(
        PyTuple_GET_ITEM(result.get(), i), " for a tangent of an output"));
  }
  return outputs;
}

}  // namespace libgrad::detail

#endif
