/// libgrad/doctor/spy.h -- sees every operator that writes into its arguments,
/// before and after it runs.
///
/// Relies on (covered by tests/cpp/doctor/test_doctor.cpp):
/// - no kernels but ours are registered for the key TESTING_ONLY_GenericMode,
///   which comes before autograd's and is off until a thread includes it.

#pragma once

#include <libgrad/doctor/frozen.h>
#include <libgrad/doctor/writes.h>
#include <libgrad/torch/dispatch/written_arguments.h>
#include <libgrad/torch/saved/variable.h>

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/util/SmallVector.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace libgrad::detail {

inline constexpr auto kSpyKey = c10::DispatchKey::TESTING_ONLY_GenericMode;

/// The tensors that an operator is about to write to.
class Targets {
 public:
  void add(const c10::IValue& argument) {
    if (argument.isTensor()) {
      add_tensor(argument.toTensor());
    } else if (argument.isTensorList()) {
      for (const at::Tensor& tensor : argument.toTensorVector()) {
        add_tensor(tensor);
      }
    }
  }

  bool empty() const { return targets_.empty(); }
  bool all_have_memory() const { return all_have_memory_; }

  void refuse_frozen(uint32_t op) const {
    for (const auto& target : targets_) {
      Frozen::instance().check(*target.tensor.unsafeGetTensorImpl(), op);
    }
  }

  void written(uint32_t op) const {
    Write write;
    write.op = op;
    write.where = where_called(&write.library);
    for (const auto& target : targets_) {
      const auto& impl = *target.tensor.unsafeGetTensorImpl();
      write.counter = counter_of(impl);
      write.before = target.version;
      write.after = version_of(impl);
      write.memory = Writes::begin_of(*target.storage);
      write.span = target.span;
      if (impl.unsafe_storage().unsafeGetStorageImpl() == target.storage) {
        write.span.add(span_of(impl));  // the tensor may have grown
      }
      Writes::instance().add(target.storage, write);
    }
  }

 private:
  struct Target {
    at::Tensor tensor;
    c10::Storage keep;  // set_() may replace it in the tensor
    c10::StorageImpl* storage;
    int64_t version;
    Span span;
  };

  void add_tensor(const at::Tensor& tensor) {
    if (!tensor.defined()) {
      return;
    }
    const auto& impl = *tensor.unsafeGetTensorImpl();
    auto* storage = impl.has_storage()
                        ? impl.unsafe_storage().unsafeGetStorageImpl()
                        : nullptr;
    if (storage == nullptr) {
      all_have_memory_ = false;
      return;
    }
    targets_.push_back(
        {tensor,
         impl.unsafe_storage(),
         storage,
         version_of(impl),
         span_of(impl)});
  }

  c10::SmallVector<Target, 2> targets_;
  bool all_have_memory_ = true;
};

/// The kernel that runs in front of an operator that writes, while a thread
/// spies.
class Spy final : public c10::OperatorKernel {
 public:
  Spy(const c10::FunctionSchema& op, std::vector<size_t> written)
      : arguments_(op.arguments().size()),
        written_(std::move(written)) {
    std::string name = op.name();
    if (!op.overload_name().empty()) {
      (name += '.') += op.overload_name();
    }
    op_ = Origins::instance().number(name);
  }

  void operator()(
      const c10::OperatorHandle& op,
      c10::DispatchKeySet keys,
      torch::jit::Stack* stack) {
    Targets targets;
    for (const auto argument : written_) {
      targets.add((*stack)[stack->size() - arguments_ + argument]);
    }
    targets.refuse_frozen(op_);
    // Operators inside this one are not calls of the program, so the spy
    // ignores them, unless a target has no memory: it may wrap a tensor to
    // which only an operator inside writes.
    std::optional<c10::impl::ExcludeDispatchKeyGuard> no_spy;
    if (targets.all_have_memory()) {
      no_spy.emplace(kSpyKey);
    }
    const auto rest =
        keys & c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, kSpyKey);
    try {
      op.redispatchBoxed(rest, stack);
    } catch (...) {
      targets.written(op_);  // it may have written a part
      throw;
    }
    if (!targets.empty()) {
      targets.written(op_);
    }
  }

 private:
  size_t arguments_;
  std::vector<size_t> written_;
  uint32_t op_ = 0;
};

/// The kernels for all operators that write, registered as long as somebody
/// needs them.
class SpyKernels {
 public:
  static std::shared_ptr<SpyKernels> get() {
    static auto& mutex = *new std::mutex;
    static auto& known = *new std::weak_ptr<SpyKernels>;
    const std::lock_guard<std::mutex> lock(mutex);
    auto kernels = known.lock();
    if (kernels == nullptr) {
      known = kernels = std::shared_ptr<SpyKernels>(new SpyKernels);
    }
    return kernels;
  }

 private:
  SpyKernels() {
    auto& dispatcher = c10::Dispatcher::singleton();
    TORCH_CHECK(
        !dispatcher.hasBackendFallbackForDispatchKey(kSpyKey),
        "doctor: another extension uses the dispatch key ",
        kSpyKey,
        "; import libgrad in a process without it");
    handles_.push_back(dispatcher.registerFallback(
        kSpyKey, c10::KernelFunction::makeFallthrough(), "libgrad"));
    for (const auto& name : dispatcher.getAllOpNames()) {
      const auto op = dispatcher.findSchema(name);
      if (!op) {
        continue;
      }
      auto written = written_arguments(op->schema());
      if (!written.empty()) {
        handles_.push_back(dispatcher.registerImpl(
            name,
            kSpyKey,
            c10::KernelFunction::makeFromBoxedFunctor(
                std::make_unique<Spy>(op->schema(), std::move(written))),
            std::nullopt,
            nullptr,
            "libgrad"));
      }
    }
  }

  std::vector<c10::RegistrationHandleRAII> handles_;
};

/// While a SpyScope lives, the writes of this thread (and of engine threads
/// that it starts) are seen.
class SpyScope {
 public:
  SpyScope() : kernels_(SpyKernels::get()) {
    if (depth_++ == 0) {
      c10::impl::tls_set_dispatch_key_included(kSpyKey, true);
    }
  }
  SpyScope(const SpyScope&) = delete;
  SpyScope& operator=(const SpyScope&) = delete;
  ~SpyScope() {
    if (--depth_ == 0) {
      c10::impl::tls_set_dispatch_key_included(kSpyKey, false);
    }
  }

 private:
  static inline thread_local int depth_ = 0;
  std::shared_ptr<SpyKernels> kernels_;
};

}  // namespace libgrad::detail
