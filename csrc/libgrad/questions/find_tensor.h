/// libgrad/questions/find_tensor.h -- finds a live tensor in a snapshot.
///
/// Relies on (covered by tests/graph/test_why.py):
/// - a tensor keeps its node alive, and a view its base;
/// - no two nodes of a thread have the same sequence number, except
///   AccumulateGrad nodes, which are found by their tensors.

#pragma once

#include <libgrad/graph/snapshot.h>
#include <libgrad/torch/autograd/edges.h>
#include <libgrad/torch/memory/storage.h>

#include <algorithm>
#include <unordered_map>
#include <vector>

namespace libgrad::detail {

/// What a snapshot knows of a tensor.
struct FoundTensor {
  Index node = kNothing;          // the node that made or accumulates it
  Index input = 0;                // input of the node for its gradient
  bool view = false;              // `node` belongs to its base: it is a view
  std::vector<Index> saved = {};  // indices in Graph::saved, in its memory
  Index sharing = kNothing;       // another leaf that lies in its memory
};

/// Finds tensors exactly: a tensor is not mistaken for an earlier one at the
/// same address.
class TensorFinder {
 public:
  explicit TensorFinder(const Graph& graph) : graph_(graph) {
    const auto& known = graph.identity_;
    for (const auto& leaf : known.leaves) {
      leaves_.emplace(leaf.tensor._unsafe_get_target(), leaf.node);
      if (const auto held = leaf.tensor.lock()) {
        const auto& impl = static_cast<const c10::TensorImpl&>(*held);
        if (const void* storage = storage_of(impl)) {
          leaves_in_[storage].push_back({leaf.node, span_of(impl)});
        }
      }
    }
    for (const auto& memory : known.memories) {
      memories_[memory.place] = &saved_in_[memory.storage._unsafe_get_target()];
    }
    for (size_t i = 0; i < graph.saved.size(); ++i) {
      const auto memory = memories_.find(graph.saved[i].storage);
      if (memory != memories_.end()) {
        memory->second->push_back(static_cast<Index>(i));
      }
    }
  }

  FoundTensor find(const at::Tensor& tensor) const {
    FoundTensor found;
    found.node = node_of(tensor);
    found.input = static_cast<Index>(tensor.output_nr());
    if (found.node == kNothing && tensor.requires_grad() && tensor.is_view()) {
      const auto& base = tensor._base();
      found.node = node_of(base);
      found.input = static_cast<Index>(base.output_nr());
      found.view = found.node != kNothing;
    }
    find_memory(*tensor.unsafeGetTensorImpl(), found);
    return found;
  }

 private:
  struct LeafSpan {
    Index id;
    Span span;
  };

  /// The address of the storage; null for a tensor without one.
  static const void* storage_of(const c10::TensorImpl& impl) {
    return static_cast<c10::intrusive_ptr_target*>(
        impl.unsafe_storage().unsafeGetStorageImpl());
  }

  Index node_of(const at::TensorBase& tensor) const {
    const auto leaf = leaves_.find(tensor.unsafeGetTensorImpl());
    if (leaf != leaves_.end()) {
      return leaf->second;
    }
    const auto& node = tensor.grad_fn();
    return node ? id_of(*node) : kNothing;
  }

  Index id_of(const torch::autograd::Node& node) const {
    const auto& addresses = graph_.identity_.nodes;
    for (size_t i = 0; i < addresses.size(); ++i) {
      if (addresses[i] == &node &&
          graph_.nodes[i].sequence_nr == node.sequence_nr() &&
          graph_.nodes[i].thread == node.thread_id()) {
        return static_cast<Index>(i);
      }
    }
    return kNothing;
  }

  void find_memory(const c10::TensorImpl& impl, FoundTensor& found) const {
    const void* storage = storage_of(impl);
    const auto span = storage == nullptr ? Span() : span_of(impl);
    if (const auto in = saved_in_.find(storage); in != saved_in_.end()) {
      for (const Index saved : in->second) {
        if (span.meets(span_of_saved(saved))) {
          found.saved.push_back(saved);
        }
      }
    }
    if (const auto in = leaves_in_.find(storage); in != leaves_in_.end()) {
      for (const auto& leaf : in->second) {
        if (leaf.id != found.node && span.meets(leaf.span)) {
          found.sharing = leaf.id;
          return;
        }
      }
    }
  }

  Span span_of_saved(Index place) const {
    const auto& parts = graph_.identity_.parts;
    const auto part =
        std::ranges::lower_bound(parts, place, {}, &GraphIdentity::Part::saved);
    return part != parts.end() && part->saved == place ? part->span : Span();
  }

  const Graph& graph_;
  std::unordered_map<const void*, Index> leaves_;  // by tensor
  std::unordered_map<const void*, std::vector<LeafSpan>>
      leaves_in_;  // by storage
  std::unordered_map<const void*, std::vector<Index>> saved_in_;
  std::unordered_map<Index, std::vector<Index>*> memories_;
};

}  // namespace libgrad::detail
