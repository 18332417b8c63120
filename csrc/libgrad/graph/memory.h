/// libgrad/graph/memory.h -- the memory behind saved tensors: each
/// storage once, and who else keeps it.
///
/// Relies on (covered by tests/cpp/graph/test_snapshot.cpp and
/// tests/graph/test_graph.py):
/// - a tensor counts its owners: each SavedVariable, each view whose base it
///   is, the node of a leaf, and its Python object while C++ has it too;
/// - a storage counts the tensors on it, and its Python object;
/// - a Python object that only C++ keeps has a reference count of one.

#pragma once

#include <libgrad/base/pointer_index.h>
#include <libgrad/torch/saved/variable.h>

#include <torch/csrc/autograd/variable.h>

namespace libgrad::detail {

/// Everything that a graph holds of tensors, as it is met.
class GraphMemory {
 public:
  struct Tensor {
    c10::TensorImpl* impl;
    Index storage = kNothing;  // of `storages()`
    Index leaf = kNothing;
    uint32_t owners = 0;         // in the graph
    uint32_t python_owners = 0;  // there too, of the Python object
    bool exclusive = false;      // whatever the count says
  };
  struct Storage {
    c10::StorageImpl* impl;
    int64_t nbytes;
    c10::Device device;
    bool exclusive = false;  // whatever the count says
    bool root = false;       // a root lies in it
    Index leaf = kNothing;
    Owner owner = Owner::kGraph;  // once `find_owners` has run
    uint32_t tensors = 0;         // on it, in the graph
  };

  void reserve(size_t count) {
    reserve_pages(tensors_, count);
    reserve_pages(storages_, count);
  }

  /// One more reference of the graph to `tensor`, by C++ or by Python; its
  /// place among those that the graph holds.
  Index hold(const at::Tensor& tensor, bool by_python = false) {
    const Index place = find(tensor);
    ++(by_python ? tensors_[place].python_owners : tensors_[place].owners);
    return place;
  }

  /// References to `tensor` do not count: the graph is gone when they are.
  void ignore_owners(const at::Tensor& tensor) {
    auto& held = tensors_[find(tensor)];
    held.exclusive = true;
    if (held.storage != kNothing) {
      storages_[held.storage].root = true;
    }
  }

  /// `tensor` is the leaf of `node`, which holds it.
  void hold_leaf(const at::Tensor& tensor, Index node) {
    auto& held = tensors_[hold(tensor)];
    held.leaf = node;
    if (held.storage != kNothing && storages_[held.storage].leaf == kNothing) {
      storages_[held.storage].leaf = node;
    }
  }

  const Tensor& tensor(Index place) const { return tensors_[place]; }
  const std::vector<Storage>& storages() const { return storages_; }

  /// The node of the leaf that a tensor is, or whose storage it lies in.
  Index leaf_of(Index place) const {
    const auto& tensor = tensors_[place];
    return tensor.leaf != kNothing || tensor.storage == kNothing
               ? tensor.leaf
               : storages_[tensor.storage].leaf;
  }

  /// Finds who keeps each storage, once all that the graph holds is known.
  void find_owners() {
    const auto other = [](const Storage& storage) {
      return storage.leaf == kNothing ? Owner::kOther : Owner::kLeaf;
    };
    for (const auto& tensor : tensors_) {
      if (tensor.storage != kNothing && !tensor.exclusive &&
          !is_kept_by(*tensor.impl, tensor.owners, tensor.python_owners)) {
        auto& storage = storages_[tensor.storage];
        storage.owner = other(storage);
      }
    }
    for (auto& storage : storages_) {
      if (!storage.exclusive &&
          !is_kept_by(*storage.impl, storage.tensors, 0)) {
        storage.owner = other(storage);
      }
    }
  }

 private:
  /// True when nobody but these keeps `target`.
  template <class T>
  static bool is_kept_by(T& target, size_t owners, size_t python_owners) {
    const size_t count = c10::raw::intrusive_ptr::use_count(&target);
    if (count <= 1) {
      return true;  // whoever told us of it
    }
    auto* object = target.pyobj_slot()->load_pyobj();
    if (object == nullptr) {
      return count == owners;
    }
    // The object owns the target, and is owned by it while others own it too.
    return count == owners + 1 && count_python(*target.pyobj_slot(), object) ==
                                      python_owners + (owners > 0);
  }

  /// How often Python refers to the object of `slot`.
  template <class Slot>
  static size_t count_python(const Slot& slot, PyObject* object) {
    if constexpr (requires { slot.load_pyobj_interpreter(); }) {
      return slot.load_pyobj_interpreter()->refcnt(object);  // up to torch 2.12
    } else {
      return (*c10::impl::getGlobalPyInterpreter())->refcnt(object);
    }
  }

  Index find(const at::Tensor& tensor) {
    auto* impl = tensor.unsafeGetTensorImpl();
    const auto place = static_cast<Index>(tensors_.size());
    // What has one owner was never met before and will not be met again.
    const bool exclusive = c10::raw::intrusive_ptr::use_count(impl) <= 1;
    if (!exclusive) {
      const auto [found, is_new] = places_.emplace(impl, place);
      if (!is_new) {
        return found;
      }
    }
    tensors_.push_back({impl, find_storage(*impl)});
    tensors_.back().exclusive = exclusive;
    hold_bases(tensor);
    return place;
  }

  Index find_storage(const c10::TensorImpl& tensor) {
    auto* impl = tensor.unsafe_storage().unsafeGetStorageImpl();
    if (impl == nullptr) {
      return kNothing;
    }
    auto place = static_cast<Index>(storages_.size());
    bool is_new = true;
    const bool exclusive = c10::raw::intrusive_ptr::use_count(impl) <= 1;
    if (!exclusive) {
      const auto found = storage_places_.emplace(impl, place);
      place = found.first;
      is_new = found.second;
    }
    if (is_new) {
      storages_.push_back(
          {impl,
           impl->sym_nbytes().maybe_as_int().value_or(0),
           impl->device(),
           exclusive});
    }
    ++storages_[place].tensors;
    return place;
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

  PointerIndex places_;
  PointerIndex storage_places_;
  std::vector<Tensor> tensors_;
  std::vector<Storage> storages_;
};

}  // namespace libgrad::detail
