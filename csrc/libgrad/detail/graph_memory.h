/// libgrad/detail/graph_memory.h -- the memory behind saved tensors: each
/// storage once, and who else keeps it.
///
/// Relies on (covered by tests/cpp/test_snapshot.cpp and tests/test_lens.py):
/// - a tensor counts its owners: each SavedVariable, each view whose base it
///   is, the node of a leaf, and its Python object while C++ has it too;
/// - a storage counts the tensors on it, and its Python object;
/// - a Python object that only C++ keeps has a reference count of one.

#pragma once

#include <libgrad/detail/saved_access.h>

#include <c10/util/flat_hash_map.h>
#include <torch/csrc/autograd/variable.h>

namespace libgrad::detail {

/// Everything that a graph holds of tensors, as it is met.
class GraphMemory {
 public:
  /// Room for that many tensors.
  void reserve(size_t count) {
    tensors_.reserve(count);
    storages_.reserve(count);
  }

  /// One more reference of the graph to `tensor`, by C++ or by Python; where
  /// its storage is, or kNothing for a tensor without one.
  Index hold(const at::Tensor& tensor, bool by_python = false) {
    auto& known = find(tensor);
    ++(by_python ? known.python_owners : known.owners);
    return known.storage;
  }

  /// References to `tensor` do not count: the graph is gone when they are.
  void ignore_owners(const at::Tensor& tensor) { find(tensor).ignored = true; }

  /// `tensor` is the leaf of `node`, which holds it.
  void hold_leaf(const at::Tensor& tensor, Index node) {
    auto& known = find(tensor);
    ++known.owners;
    known.leaf = node;
    if (known.storage != kNothing &&
        storages_[known.storage].leaf == kNothing) {
      storages_[known.storage].leaf = node;
    }
  }

  /// The node of the leaf that `tensor` is, or whose storage it lies in.
  Index leaf_of(const at::Tensor& tensor) {
    const auto& known = find(tensor);
    return known.leaf != kNothing || known.storage == kNothing
               ? known.leaf
               : storages_[known.storage].leaf;
  }

  size_t size() const { return storages_.size(); }

  int64_t nbytes(Index storage) const {
    return storages_[storage].impl->sym_nbytes().maybe_as_int().value_or(0);
  }

  c10::Device device(Index storage) const {
    return storages_[storage].impl->device();
  }

  /// Who keeps each storage, once all that the graph holds is known.
  std::vector<Owner> owners() const {
    std::vector<size_t> users(storages_.size(), 0);
    std::vector<bool> exclusive(storages_.size(), true);
    for (const auto& tensor : tensors_) {
      if (tensor.storage != kNothing) {
        ++users[tensor.storage];
        exclusive[tensor.storage] =
            exclusive[tensor.storage] && is_exclusive(tensor);
      }
    }
    std::vector<Owner> owners;
    owners.reserve(storages_.size());
    for (size_t i = 0; i < storages_.size(); ++i) {
      const auto& storage = storages_[i];
      const bool alone = exclusive[i] && is_kept_by(storage.impl, users[i], 0);
      owners.push_back(
          alone                      ? Owner::kGraph
          : storage.leaf != kNothing ? Owner::kLeaf
                                     : Owner::kOther);
    }
    return owners;
  }

 private:
  struct Tensor {
    c10::TensorImpl* impl;
    Index storage = kNothing;
    Index leaf = kNothing;
    size_t owners = 0;         // in the graph
    size_t python_owners = 0;  // there too, of the Python object
    bool ignored = false;
  };
  struct Storage {
    c10::StorageImpl* impl;
    Index leaf = kNothing;
  };

  /// How often Python refers to the object of `slot`.
  template <class Slot>
  static size_t count_python(const Slot& slot, PyObject* object) {
    if constexpr (requires { slot.load_pyobj_interpreter(); }) {
      return slot.load_pyobj_interpreter()->refcnt(object);  // up to torch 2.12
    } else {
      return (*c10::impl::getGlobalPyInterpreter())->refcnt(object);
    }
  }

  /// True when nobody but these keeps `target`.
  template <class T>
  static bool is_kept_by(T* target, size_t owners, size_t python_owners) {
    const size_t count = c10::raw::intrusive_ptr::use_count(target);
    auto* object = target->pyobj_slot()->load_pyobj();
    if (object == nullptr) {
      return count == owners;
    }
    // The object owns the target, and is owned by it while others own it too.
    return count == owners + 1 && count_python(*target->pyobj_slot(), object) ==
                                      python_owners + (count > 1);
  }

  static bool is_exclusive(const Tensor& tensor) {
    return tensor.ignored ||
           is_kept_by(tensor.impl, tensor.owners, tensor.python_owners);
  }

  Tensor& find(const at::Tensor& tensor) {
    auto* impl = tensor.unsafeGetTensorImpl();
    const auto [found, is_new] =
        places_.emplace(impl, static_cast<Index>(tensors_.size()));
    const Index place = found->second;
    if (is_new) {
      tensors_.push_back({impl, storage_of(*impl)});
      hold_bases(tensor);
    }
    return tensors_[place];
  }

  Index storage_of(const c10::TensorImpl& impl) {
    auto* storage = impl.unsafe_storage().unsafeGetStorageImpl();
    if (storage == nullptr) {
      return kNothing;
    }
    const auto [found, is_new] =
        storage_places_.emplace(storage, static_cast<Index>(storages_.size()));
    if (is_new) {
      storages_.push_back({storage});
    }
    return found->second;
  }

  /// A view keeps the tensor that it looks into.
  void hold_bases(const at::Tensor& tensor) {
    const auto* view = torch::autograd::impl::get_view_autograd_meta(tensor);
    if (view == nullptr) {
      return;
    }
    if (view->has_bw_view()) {
      hold(view->get_backward_view().base_);
    }
    if (view->has_fw_view() && !view->shared_view_info()) {
      hold(view->get_forward_view().base_);
    }
  }

  ska::flat_hash_map<c10::TensorImpl*, Index> places_;
  ska::flat_hash_map<c10::StorageImpl*, Index> storage_places_;
  std::vector<Tensor> tensors_;
  std::vector<Storage> storages_;
};

}  // namespace libgrad::detail
