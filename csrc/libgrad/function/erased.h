/// libgrad/function/erased.h -- a Function behind plain function pointers, for
/// code that is the same for all Functions.
///
/// Relies on (covered by tests/function/test_function.py): the node of
/// Function<F> is a CppNode<F> whose context is `ctx_`.

#pragma once

#include <libgrad/function/leftover.h>

#include <algorithm>
#include <concepts>
#include <functional>
#include <typeinfo>

namespace libgrad {

/// The batch size and the randomness of a vmap, for a Function's own `vmap`.
struct VmapInfo {
  int64_t batch_size;
  std::string randomness;  // "error", "different" or "same"
};

/// The batch dimension of each tensor; none for a tensor that is not batched.
using Dims = std::vector<std::optional<int64_t>>;

namespace detail {

using Arguments = c10::ArrayRef<at::IValue>;
using Boxed = std::function<variable_list(std::vector<at::IValue>)>;

/// The members of `Fn`, with the arguments of `forward` as IValues. The pointer
/// to an optional member that `Fn` lacks is null.
struct Erased {
  const std::type_info* function;
  const std::type_info* node;
  std::vector<std::string> types;  // in the schema; empty: no operator takes it
  bool single;                     // forward returns a tensor, not a list
  variable_list (*apply)(Arguments);
  variable_list (*forward)(AutogradContext*, Arguments);
  variable_list (*backward)(AutogradContext*, variable_list);
  variable_list (*jvp)(AutogradContext*, variable_list);
  std::pair<variable_list, Dims> (*vmap)(
      const VmapInfo&, const Dims&, Arguments);
  AutogradContext* (*context)(torch::autograd::Node&);  // null: no node of Fn
  void (*resave)(torch::autograd::Node&);  // saves what save_for_backward got
  mutable Boxed transformed;  // apply under torch.func; set by the binding
};

inline variable_list to_list(at::Tensor tensor) {
  return {std::move(tensor)};
}
inline variable_list to_list(variable_list tensors) {
  return tensors;
}

template <class Fn>
concept HasJvp = requires(AutogradContext* ctx, variable_list tangents) {
  { Fn::jvp(ctx, tangents) } -> std::convertible_to<variable_list>;
};
template <class Fn>
concept HasVmap = requires { &Fn::vmap; };

template <class Fn, class Args = args_t<Fn>>
struct Erase;

template <class Fn, class... Args>
struct Erase<Fn, std::tuple<Args...>> {
  /// `body` called with what `values` unpack to.
  template <class Body>
  static auto with(Arguments values, const Body& body) {
    return [&]<size_t... I>(std::index_sequence<I...>) {
      std::tuple<stored_t<Args>...> stored{
          unpack<stored_t<Args>>(values[I])...};
      return body(pass<Args>(std::get<I>(stored))...);
    }(std::index_sequence_for<Args...>());
  }

  static variable_list apply(Arguments values) {
    return with(values, [](auto&&... args) {
      return to_list(
          applied_t<Fn>::apply(std::forward<decltype(args)>(args)...));
    });
  }

  static variable_list forward(AutogradContext* ctx, Arguments values) {
    return with(values, [&](auto&&... args) {
      return to_list(
          Fn::forward(
              ctx, declared<Args>(std::forward<decltype(args)>(args))...));
    });
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return Fn::backward(ctx, grads);
  }

  static variable_list jvp(AutogradContext* ctx, variable_list tangents)
    requires HasJvp<Fn>
  {
    return Fn::jvp(ctx, tangents);
  }

  static std::pair<variable_list, Dims> vmap(
      const VmapInfo& info, const Dims& in_dims, Arguments values)
    requires HasVmap<Fn>
  {
    return with(values, [&](auto&&... args) {
      auto [outputs, out_dims] = Fn::vmap(
          info, in_dims, declared<Args>(std::forward<decltype(args)>(args))...);
      return std::pair(to_list(std::move(outputs)), Dims(std::move(out_dims)));
    });
  }

  using Node = torch::autograd::CppNode<applied_t<Fn>>;

  static AutogradContext* context(torch::autograd::Node& node) {
    auto* mine = dynamic_cast<Node*>(&node);
    return mine ? &mine->ctx_ : nullptr;
  }

  static void resave(torch::autograd::Node& node) {
    dynamic_cast<Node&>(node).save_variables_to_ctx();
  }

  static Erased make() {
    Erased erased{
        &typeid(Fn),
        &typeid(Node),
        {schema_type<stored_t<Args>>()...},
        std::is_same_v<result_t<Fn>, at::Tensor>,
        &apply,
        &forward,
        &backward,
        nullptr,
        nullptr,
        &context,
        &resave,
        {}};
    if constexpr (HasJvp<Fn>) {
      erased.jvp = &jvp;
    }
    if constexpr (HasVmap<Fn>) {
      erased.vmap = &vmap;
    }
    return erased;
  }
};

/// The Erased of `Fn`, made once and never freed.
template <class Fn>
const Erased& erase() {
  static const auto* erased = new Erased(Erase<Fn>::make());
  return *erased;
}

/// The tensors in `values`, also those in lists. Absent optional tensors are
/// left out.
inline variable_list tensors_of(Arguments values) {
  variable_list tensors;
  for (const auto& value : values) {
    if (value.isTensor() && value.toTensor().defined()) {
      tensors.push_back(value.toTensor());
    } else if (value.isTensorList()) {
      for (const auto& tensor : value.toTensorVector()) {
        tensors.push_back(tensor);
      }
    }
  }
  return tensors;
}

/// `values` with `tensors` in place of `tensors_of(values)`.
inline std::vector<at::IValue> with_tensors(
    Arguments values, const variable_list& tensors) {
  auto next = tensors.begin();
  std::vector<at::IValue> result;
  result.reserve(values.size());
  for (const auto& value : values) {
    if (value.isTensor() && value.toTensor().defined()) {
      result.emplace_back(*next++);
    } else if (value.isTensorList()) {
      const auto size = static_cast<ptrdiff_t>(value.toTensorVector().size());
      result.emplace_back(
          c10::List<at::Tensor>(
              at::TensorList(variable_list(next, next + size))));
      next += size;
    } else {
      result.push_back(value);
    }
  }
  return result;
}

/// The indices in `tensors_of(values)` of the tensors in `arguments`, which are
/// indices into `values`.
inline std::vector<int64_t> tensor_places(
    Arguments values, const std::vector<int64_t>& arguments) {
  std::vector<int64_t> places;
  int64_t place = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto end =
        place + static_cast<int64_t>(tensors_of(values.slice(i, 1)).size());
    for (; place < end; ++place) {
      if (std::find(arguments.begin(), arguments.end(), i) != arguments.end()) {
        places.push_back(place);
      }
    }
  }
  return places;
}

/// For each tensor of `tensors_of(values)` the index of its gradient in the
/// list that `backward` returns, and the length of that list.
inline std::pair<std::vector<size_t>, size_t> gradient_places(
    Arguments values) {
  std::vector<size_t> places;
  size_t place = 0;
  for (const auto& value : values) {
    if (value.isTensorList()) {
      for (size_t n = value.toTensorVector().size(); n > 0; --n) {
        places.push_back(place++);
      }
    } else {
      if (value.isTensor() && value.toTensor().defined()) {
        places.push_back(place);
      }
      ++place;
    }
  }
  return {std::move(places), place};
}

}  // namespace detail
}  // namespace libgrad
