/// libgrad/functional/strict.h -- the checks of strict=true.
///
/// The messages are those of torch.autograd.functional.

#pragma once

#include <libgrad/functional/evaluate.h>

namespace libgrad::detail {

inline constexpr const char* kNotAllowed =
    " This is not allowed in strict mode.";

/// Throws unless every output has a graph.
inline void check_outputs_depend(
    const Call& call, const variable_list& outputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    TORCH_CHECK(
        outputs[i].requires_grad(),
        call.name,
        ": Output ",
        i,
        " of the user-provided function does not require gradients. The "
        "outputs must be computed in a differentiable manner from the input "
        "when running in strict mode.");
  }
}

/// Throws unless the first gradients are defined and can be differentiated.
/// `jacobian` selects the message: true where they are the Jacobian that a
/// Hessian differentiates, false for the double backward of a Jv.
inline void check_first_gradients(
    const Call& call, const variable_list& grads, bool jacobian) {
  for (size_t i = 0; i < grads.size(); ++i) {
    TORCH_CHECK(
        grads[i].defined(),
        call.name,
        ": The output of the user-provided function is independent of input ",
        i,
        '.',
        kNotAllowed);
    TORCH_CHECK(
        jacobian || grads[i].requires_grad(),
        call.name,
        ": The gradient with respect to input ",
        i,
        " is independent of the inputs of the user-provided function.",
        kNotAllowed);
    TORCH_CHECK(
        grads[i].requires_grad(),
        call.name,
        ": While computing the hessian, found that the jacobian of the "
        "user-provided function with respect to input ",
        i,
        " is independent of the input.",
        kNotAllowed,
        " You should ensure that your function is twice differentiable and "
        "that the jacobian depends on the inputs (this would be violated by a "
        "linear function for example).");
  }
}

/// The stage, by torch's names, in which a gradient came out undefined.
enum class Stage { back, back_trick, double_back, double_back_trick };

inline std::string independent(Stage stage, size_t i) {
  const auto at = std::to_string(i);
  switch (stage) {
    case Stage::back:
      return "The output of the user-provided function is independent of "
             "input " +
             at + '.' + kNotAllowed;
    case Stage::back_trick:
      return "The gradient with respect to the input is independent of entry " +
             at +
             " in the grad_outputs when using the double backward trick to "
             "compute forward mode gradients." +
             kNotAllowed;
    case Stage::double_back:
      return "The jacobian of the user-provided function is independent of "
             "input " +
             at + '.' + kNotAllowed;
    default:
      return "The hessian of the user-provided function is independent of "
             "entry " +
             at +
             " in the grad_jacobian. This is not allowed in strict mode as it "
             "prevents from using the double backward trick to replace forward "
             "mode AD.";
  }
}

/// Throws for undefined gradients, and with `create_graph` for gradients that
/// cannot be differentiated.
inline void check_strict_gradients(
    const Call& call,
    const variable_list& grads,
    Stage stage,
    bool create_graph) {
  const bool once = stage == Stage::back || stage == Stage::back_trick;
  for (size_t i = 0; i < grads.size(); ++i) {
    TORCH_CHECK(grads[i].defined(), call.name, ": ", independent(stage, i));
    TORCH_CHECK(
        !create_graph || grads[i].requires_grad(),
        call.name,
        ": The ",
        once ? "jacobian" : "hessian",
        " of the user-provided function is independent of input ",
        i,
        ". This is not allowed in strict mode when create_graph=True.");
  }
}

/// check_strict_gradients for one row of a Jacobian: the gradients of one
/// element of output number `output`.
inline void check_row(
    const Call& call,
    const variable_list& row,
    size_t output,
    bool create_graph) {
  for (size_t i = 0; i < row.size(); ++i) {
    TORCH_CHECK(
        row[i].defined(),
        call.name,
        ": Output ",
        output,
        " of the user-provided function is independent of input ",
        i,
        '.',
        kNotAllowed);
    TORCH_CHECK(
        !create_graph || row[i].requires_grad(),
        call.name,
        ": The jacobian of the user-provided function is independent of input ",
        i,
        ". This is not allowed in strict mode when create_graph=True.");
  }
}

}  // namespace libgrad::detail
