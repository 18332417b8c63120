/// libgrad/torch/features.h -- what only newer versions of torch have, told by
/// their headers, and the first of these versions, for messages.
///
/// Relies on (covered by tests/torch/test_internals.py): torch/csrc/autograd
/// has a node.h since a node and its Python object own each other.

#pragma once

#if __has_include(<torch/csrc/autograd/node.h>)
#define LIBGRAD_TORCH_OWNS_NODES 1
#endif

#if __has_include(<ATen/NodeCreationHooks.h>)
#define LIBGRAD_TORCH_HAS_NODE_HOOKS 1
#endif

#define LIBGRAD_TORCH_WITH_NODE_HOOKS "torch 2.14"
#define LIBGRAD_TORCH_WITH_INPUT_GRAD_BUFFERS "torch 2.15"
