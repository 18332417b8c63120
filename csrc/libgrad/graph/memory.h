/// libgrad/graph/memory.h -- the storages behind saved tensors, each counted
/// once, and their owners.
///
/// Relies on (covered by tests/cpp/graph/test_snapshot.cpp and
/// tests/graph/test_graph.py):
/// - the use count of a tensor counts each SavedVariable, each view whose base
///   it is, the AccumulateGrad of a leaf, and its Python object while C++ owns
///   the tensor too;
/// - the use count of a storage counts the tensors on it, and its Python
///   object;
/// - a Python object that only C++ keeps has a reference count of one.

#pragma once

#include <libgrad/base/pointer_index.h>
#include <libgrad/graph/snapshot.h>
#include <libgrad/torch/saved/variable.h>

#include <torch/csrc/autograd/variable.h>

namespace libgrad::detail {

/// The tensors and storages that a graph holds, collected while its nodes are
/// read.
class GraphMemory {
 public:
  struct Tensor {
    c10::TensorImpl* impl;
    Index storage = kNothing;  // index in `storages()`
    Index leaf = kNothing;
    uint32_t owners = 0;         // C++ references of the graph
    uint32_t python_owners = 0;  // its references to the Python object
    bool exclusive = false;      // kept by the graph alone, do not count
  };
  struct Storage {
    c10::StorageImpl* impl;
    int64_t nbytes;
    c10::Device device;
    bool exclusive = false;  // kept by the graph alone, do not count
    bool root = false;       // a root tensor lies in it
    Index leaf = kNothing;
    Owner owner = Owner::kGraph;  // set by `find_owners`
    uint32_t tensors = 0;         // tensors of the graph on it
  };

  void reserve(size_t count) {
    reserve_pages(tensors_, count);
    reserve_pages(storages_, count);
  }

  /// Counts one more reference of the graph to `tensor`, from C++ or from
  /// Python; returns the index of `tensor` for `tensor()`.
  Index hold(const at::Tensor& tensor, bool by_python = false) {
    const Index place = find(tensor);
    ++(by_python ? tensors_[place].python_owners : tensors_[place].owners);
    return place;
  }

  /// Ignores the use count of `tensor`, a root: the graph goes when the
  /// references to its roots go.
  void ignore_owners(const at::Tensor& tensor) {
    auto& held = tensors_[find(tensor)];
    held.exclusive = true;
    if (held.storage != kNothing) {
      storages_[held.storage].root = true;
    }
  }

  /// Counts the reference of the AccumulateGrad `node` to its leaf `tensor`.
  void hold_leaf(const at::Tensor& tensor, Index node) {
    auto& held = tensors_[hold(tensor)];
    held.leaf = node;
    if (held.storage != kNothing && storages_[held.storage].leaf == kNothing) {
      storages_[held.storage].leaf = node;
    }
  }

  const Tensor& tensor(Index place) const { return tensors_[place]; }
  const std::vector<Storage>& storages() const { return storages_; }

  /// The node of the leaf that the tensor at `place` is, or shares a storage
  /// with.
  Index leaf_of(Index place) const {
    const auto& tensor = tensors_[place];
    return tensor.leaf != kNothing || tensor.storage == kNothing
               ? tensor.leaf
               : storages_[tensor.storage].leaf;
  }

  /// Finds the owner of each storage, once all references of the graph are
  /// counted.
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
  /// True when `target` has no owners besides `owners` in C++ and
  /// `python_owners` in Python.
  template <class T>
  static bool is_kept_by(T& target, size_t owners, size_t python_owners) {
    const size_t count = c10::raw::intrusive_ptr::use_count(&target);
    if (count <= 1) {
      return true;  // its only owner gave it to us
    }
    auto* object = target.pyobj_slot()->load_pyobj();
    if (object == nullptr) {
      return count == owners;
    }
    // The object owns one reference to the target. While C++ owns references,
    // the target owns one to the object.
    return count == owners + 1 && count_python(*target.pyobj_slot(), object) ==
                                      python_owners + (owners > 0);
  }

  /// The reference count of `object`, the Python object of `slot`.
  template <class Slot>
  static size_t count_python(const Slot& slot, PyObject* object) {
    if constexpr (requires { slot.load_pyobj_interpreter(); }) {
      return slot.load_pyobj_interpreter()->refcnt(object);  // an older torch
    } else {
      return (*c10::impl::getGlobalPyInterpreter())->refcnt(object);
    }
  }

  Index find(const at::Tensor& tensor) {
    auto* impl = tensor.unsafeGetTensorImpl();
    const auto place = static_cast<Index>(tensors_.size());
    // A tensor with one owner has not been met before, and will not be met
    // again.
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

  /// Counts the references of a view to its bases.
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
