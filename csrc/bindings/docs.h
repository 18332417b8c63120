/// The docstrings that are too long to stand beside their function.

#pragma once

namespace docs {

inline constexpr const char* kGrad =
    R"(grad(outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, only_inputs=True, allow_unused=None, is_grads_batched=False, materialize_grads=False)
--

Return the gradients of `outputs` with respect to `inputs`; ``.grad`` stays as it is.

For each input this is the sum of vᵀJ over the outputs, of the input's shape, dtype and
device. It is torch.autograd.grad: LibTorch's engine, run as ``torch::autograd::grad`` runs it.

>>> x = torch.tensor([1.0, 2.0], requires_grad=True)
>>> libgrad.grad((x * x).sum(), x)
(tensor([2., 4.]),)
>>> libgrad.grad(x * x, {"x": x}, grad_outputs=torch.tensor([1.0, 10.0]))
{'x': tensor([ 2., 40.])}

Args:
    outputs: A tensor or a ``torch.autograd.graph.GradientEdge``, or a sequence of them.
    inputs: The same, or a dict of tensors; then the result is a dict with its keys.
    grad_outputs: The vectors v: for each output a tensor of its shape, dtype and device.
        None, alone or in the sequence, stands for a one where an output has one element.
    retain_graph: Keep what the graph saved, so that it can be differentiated again.
        None means the value of `create_graph`.
    create_graph: Record the gradients' own graph, so that they can be differentiated.
    only_inputs: Deprecated and ignored, as in torch.
    allow_unused: Give None for inputs that the outputs do not depend on, instead of an
        error. None means the value of `materialize_grads`.
    is_grads_batched: The first dimension of each of `grad_outputs` is a batch of vectors;
        the results have it in front (but zeros for unused inputs).
    materialize_grads: Give zeros, instead of None, for inputs that are not used.

Returns:
    A tuple with a tensor (or None) for each input, or a dict.

Raises:
    RuntimeError: No graph behind an output, an input that does not require grad or is not
        used, a vector of the wrong shape or device, a graph that was freed.
    TypeError: Something that is not a tensor where one belongs.
    ValueError: Options that contradict each other.
)";

inline constexpr const char* kBackward =
    R"(backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, grad_variables=None, inputs=None)
--

Add the gradients of `tensors` to ``.grad`` of the graph's leaves.

Gradients accumulate: a second call adds to the first, and zeroing them is yours. It is
torch.autograd.backward, run by LibTorch's ``torch::autograd::backward``.

>>> x = torch.tensor([1.0, 2.0], requires_grad=True)
>>> libgrad.backward((x * x).sum())
>>> x.grad
tensor([2., 4.])
>>> libgrad.backward((x * x).sum())
>>> x.grad
tensor([4., 8.])

Args:
    tensors: A tensor or a ``torch.autograd.graph.GradientEdge``, or a sequence of them.
    grad_tensors: The vectors to start from: for each of `tensors` one of its shape, dtype
        and device. None, alone or in the sequence, stands for a one where there is one
        element.
    retain_graph: Keep what the graph saved, so that it can be differentiated again.
        None means the value of `create_graph`.
    create_graph: Record the gradients' own graph. ``.grad`` then holds on to the graph,
        and the graph to the leaf: set ``.grad`` to None when done, or use `grad`.
    grad_variables: Deprecated name of `grad_tensors`, as in torch.
    inputs: Accumulate into these alone: a tensor (leaf or not), a GradientEdge, a sequence
        or a dict of them. None means every leaf.

Raises:
    RuntimeError: As `grad`; also inside a torch.func transform. ``.grad`` is then untouched
        unless the engine had already started.
    TypeError: Something that is not a tensor where one belongs.
)";

}  // namespace docs
