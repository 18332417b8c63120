/// libgrad/hooks.h: hooks on tensors that are saved for backward.

#include "support/check.h"
#include "support/tensors.h"

#include <libgrad/libgrad.h>

#include <ATen/ThreadLocalState.h>

#include <csignal>
#include <filesystem>
#include <thread>

#include <sys/resource.h>

using libgrad::compress;
using libgrad::PackHooks;
using libgrad::save_on_cpu;
using libgrad::save_on_disk;
using libgrad::SavedTensorHooks;

namespace {

Tensor vector() {
  return torch::linspace(1, 2, 4, torch::requires_grad());
}

Tensor loss_of(const Tensor& x) {
  return (x.exp() * x).tanh().sum();
}

Tensor grad_of(const Tensor& loss, const Tensor& x, bool keep = false) {
  return libgrad::grad({loss}, {x}, {.retain_graph = keep})[0];
}

Tensor plain_grad(const Tensor& x) {
  return grad_of(loss_of(x), x);
}

/// Counts calls and leaves tensors as they are.
struct Counted {
  std::shared_ptr<std::pair<int, int>> calls =
      std::make_shared<std::pair<int, int>>();

  PackHooks hooks() const {
    return {
        [calls = calls](const Tensor& tensor) {
          ++calls->first;
          return tensor;
        },
        [calls = calls](const Tensor& tensor) {
          ++calls->second;
          return tensor;
        }};
  }
};

struct EmptyFolder {
  std::filesystem::path path = std::filesystem::temp_directory_path() /
                               ("libgrad_hooks_" + std::to_string(getpid()));
  EmptyFolder() { std::filesystem::create_directory(path); }
  ~EmptyFolder() { std::filesystem::remove_all(path); }
};

}  // namespace

TEST(every_saved_tensor_is_packed_once_and_unpacked_when_needed) {
  const auto x = vector();
  const auto expected = plain_grad(x);
  const Counted counted;
  Tensor loss;
  {
    const SavedTensorHooks guard{counted.hooks()};
    loss = loss_of(x);
  }
  EXPECT(*counted.calls == std::make_pair(4, 0));
  EXPECT(torch::equal(grad_of(loss, x, true), expected));
  EXPECT(torch::equal(grad_of(loss, x), expected));
  EXPECT(*counted.calls == std::make_pair(4, 8));
  loss_of(x);
  EXPECT(counted.calls->first == 4);  // the guard is gone
}

TEST(a_pack_may_make_anything) {
  struct Kept {
    std::vector<float> numbers;
  };
  const auto x = vector();
  const auto expected = plain_grad(x);
  const SavedTensorHooks guard{
      [](const Tensor& tensor) {
        const auto* data = tensor.const_data_ptr<float>();
        return Kept{{data, data + tensor.numel()}};
      },
      [](const Kept& kept) {
        return torch::tensor(kept.numbers, torch::kFloat);
      }};
  EXPECT(torch::equal(plain_grad(x), expected));
}

TEST(of_hooks_inside_each_other_the_innermost_are_used) {
  const auto x = vector();
  const Counted outer;
  const Counted inner;
  const SavedTensorHooks around{outer.hooks()};
  {
    const SavedTensorHooks guard{inner.hooks()};
    plain_grad(x);
  }
  EXPECT(*inner.calls == std::make_pair(4, 4));
  EXPECT(outer.calls->first == 0);
  plain_grad(x);
  EXPECT(*outer.calls == std::make_pair(4, 4));
}

TEST(hooks_further_out_can_be_made_the_innermost) {
  using libgrad::detail::HookSlot;
  const auto x = vector();
  const Counted outer, inner;
  const SavedTensorHooks out(outer.hooks());
  const auto entry = at::SavedTensorDefaultHooks::get_tls_state().stack.top();
  const SavedTensorHooks in(inner.hooks());
  {
    const libgrad::detail::HooksUpTo here([&](const HookSlot::Entry& other) {
      return HookSlot::find(other) == HookSlot::find(entry);
    });
    x.exp();
  }
  EXPECT(outer.calls->first == 1 && inner.calls->first == 0);
  {
    const libgrad::detail::HooksUpTo none(
        [](const HookSlot::Entry&) { return false; });
    x.exp();
  }
  x.exp();
  EXPECT(outer.calls->first == 1 && inner.calls->first == 2);
}

/// As in torch since it keeps objects of Python in them.
TEST(hooks_of_a_saved_tensor_are_neither_copied_nor_moved) {
  using libgrad::detail::HookedTensor;
  EXPECT(!std::is_copy_constructible_v<HookedTensor>);
  EXPECT(!std::is_move_constructible_v<HookedTensor>);
  EXPECT(!std::is_copy_assignable_v<HookedTensor>);
}

TEST(outer_hooks_see_what_composed_ones_make) {
  const auto x = vector();
  std::vector<at::ScalarType> seen;
  const SavedTensorHooks around{
      [&](const Tensor& tensor) {
        seen.push_back(tensor.scalar_type());
        return tensor.clone();
      },
      [](const Tensor& tensor) { return tensor; }};
  const SavedTensorHooks guard{compress(at::kBFloat16), {.compose = true}};
  const auto composed = plain_grad(x);
  EXPECT(seen == std::vector<at::ScalarType>(4, at::kBFloat16));
  EXPECT(composed.allclose(plain_grad(vector()), 0.05));
}

TEST(others_are_left_to_the_hooks_around) {
  const auto x = vector();
  const Counted outer;
  const Counted inner;
  std::vector<std::string> ops;
  const SavedTensorHooks around{outer.hooks()};
  const SavedTensorHooks guard{
      inner.hooks(), {.only = [&](std::string_view op, const Tensor& tensor) {
        EXPECT(tensor.numel() == 4);
        ops.emplace_back(op);
        return op == "aten::mul.Tensor";
      }}};
  plain_grad(x);
  EXPECT(
      ops ==
      std::vector<std::string>(
          {"aten::exp", "aten::mul.Tensor", "aten::mul.Tensor", "aten::tanh"}));
  EXPECT(*inner.calls == std::make_pair(2, 2));
  EXPECT(*outer.calls == std::make_pair(2, 2));
}

TEST(threads_that_work_for_this_one_have_the_hooks) {
  const auto x = vector();
  const Counted counted;
  std::optional<at::ThreadLocalState> state;
  const auto run = [&] {
    std::thread([&] {
      const at::ThreadLocalStateGuard guard(*state);
      plain_grad(x);
    }).join();
  };
  {
    const SavedTensorHooks guard{counted.hooks()};
    state.emplace();
    run();
    EXPECT(*counted.calls == std::make_pair(4, 4));
    std::thread([&] { plain_grad(x); }).join();  // works for itself
    EXPECT(counted.calls->first == 4);
  }
  run();  // the guard is gone: its slot is, too
  const Counted next;
  const SavedTensorHooks guard{next.hooks()};  // in the same slot
  run();
  EXPECT(counted.calls->first == 4 && next.calls->first == 0);
}

TEST(hooks_are_refused_where_torch_refuses_them) {
  at::SavedTensorDefaultHooks::disable("not here");
  const Counted counted;
  EXPECT_THROWS(c10::Error, "not here", SavedTensorHooks{counted.hooks()});
  at::SavedTensorDefaultHooks::enable();
  const SavedTensorHooks guard{counted.hooks()};
  plain_grad(vector());
  EXPECT(counted.calls->first == 4);
}

TEST(what_hooks_throw_passes_through) {
  const auto x = vector();
  const auto fails = [](const Tensor&) -> Tensor {
    throw std::runtime_error("no room");
  };
  const auto same = [](const Tensor& tensor) { return tensor; };
  {
    const SavedTensorHooks guard{fails, same};
    EXPECT_THROWS(std::runtime_error, "no room", loss_of(x));
  }
  Tensor loss;
  {
    const SavedTensorHooks guard{same, fails};
    loss = loss_of(x);
  }
  EXPECT_THROWS(std::runtime_error, "no room", grad_of(loss, x));
  {
    const SavedTensorHooks guard{same, [](const Tensor&) { return Tensor(); }};
    loss = loss_of(x);
  }
  EXPECT_THROWS(c10::Error, "unpack returned no tensor", grad_of(loss, x));
  plain_grad(x);
}

TEST(a_tensor_that_is_kept_must_not_be_changed_and_a_copy_may) {
  const auto x = vector();
  const auto changed = [&](PackHooks hooks) {
    const SavedTensorHooks guard{std::move(hooks)};
    const auto y = x.exp();
    const auto loss = y.sum();
    y.mul_(2);
    return grad_of(loss, x);
  };
  EXPECT_THROWS(
      c10::Error,
      "is at version 1; expected version 0",
      changed(Counted().hooks()));
  EXPECT(changed(compress(at::kHalf)).allclose(x.exp(), 0.01));
}

TEST(nothing_outlives_the_graph) {
  const auto alive = std::make_shared<int>(0);
  const auto x = vector();
  {
    const SavedTensorHooks guard{
        [alive](const Tensor& tensor) { return std::make_pair(tensor, alive); },
        [](const std::pair<Tensor, std::shared_ptr<int>>& packed) {
          return packed.first;
        }};
    const auto loss = loss_of(x);  // exp and tanh save their results
    EXPECT(alive.use_count() == 2 + 4);
  }
  EXPECT(alive.use_count() == 1);
}

TEST(backward_of_backward_is_packed_too) {
  const auto x = vector();
  const auto second = [&x] {
    const auto first = libgrad::grad({loss_of(x)}, {x}, {.create_graph = true});
    return grad_of(first[0].sum(), x);
  };
  const auto expected = second();
  const Counted counted;
  const SavedTensorHooks guard{counted.hooks()};
  EXPECT(torch::equal(second(), expected));
  EXPECT(counted.calls->first > 4);
}

TEST(compress_halves_floats_and_leaves_others) {
  std::vector<at::ScalarType> kept;
  const SavedTensorHooks around{
      [&](const Tensor& tensor) {
        kept.push_back(tensor.scalar_type());
        return tensor;
      },
      [](const Tensor& tensor) { return tensor; }};
  const SavedTensorHooks guard{compress(at::kHalf), {.compose = true}};
  const auto x = vector();
  const auto index = torch::tensor({0, 2});
  const auto grad = grad_of(x.index_select(0, index).exp().sum(), x);
  EXPECT(grad.scalar_type() == at::kFloat);
  EXPECT(kept == std::vector<at::ScalarType>({at::kLong, at::kHalf}));
  EXPECT_THROWS(
      c10::Error, "compress: dtype must be one of floating point", [] {
        compress(at::kInt);
      }());
}

TEST(save_on_cpu_leaves_tensors_of_the_cpu) {
  const auto x = vector();
  const auto expected = plain_grad(x);
  const SavedTensorHooks guard{save_on_cpu()};
  EXPECT(torch::equal(plain_grad(x), expected));
}

TEST(former_names_of_hooks_are_there) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  const EmptyFolder folder;
  const auto x = vector();
  const auto expected = plain_grad(x);
  const SavedTensorHooks guard{libgrad::offload_to_cpu()};
  EXPECT(torch::equal(plain_grad(x), expected));
  const SavedTensorHooks inner{libgrad::offload_to_disk(folder.path)};
  EXPECT(torch::equal(plain_grad(x), expected));
#pragma GCC diagnostic pop
}

TEST(tensors_on_the_disk_come_back_as_they_were) {
  const EmptyFolder folder;
  const auto x = torch::randn({6, 4}, torch::requires_grad());
  const auto w = torch::randn({4, 5}, torch::requires_grad());
  const auto make = [&] {
    return (x.mm(w).t().exp() * x.mm(w).t()).slice(1, 1, 5).pow(2).sum();
  };
  const auto expected = libgrad::grad({make()}, {x, w});
  Tensor loss;
  {
    const SavedTensorHooks guard{save_on_disk(folder.path)};
    loss = make();
  }
  EXPECT(std::filesystem::is_empty(folder.path));  // it has no name
  for (const bool keep : {true, false}) {
    const auto grads = libgrad::grad({loss}, {x, w}, {.retain_graph = keep});
    EXPECT(torch::equal(grads[0], expected[0]));
    EXPECT(torch::equal(grads[1], expected[1]));
  }
}

TEST(a_full_disk_loses_nothing) {
  const EmptyFolder folder;
  const auto x = torch::randn({1000}, torch::requires_grad());
  const auto expected = grad_of(x.exp().sum(), x);
  const SavedTensorHooks guard{save_on_disk(folder.path)};
  const auto loss = x.exp().sum();
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{6000, before.rlim_max};  // bytes: one tensor and a half
  setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_THROWS(
      c10::Error,
      "a saved tensor of 4000 bytes cannot be written to a file in '" +
          folder.path.string() + "'",
      x.cos().exp());
  EXPECT(torch::equal(grad_of(loss, x), expected));
  x.exp();  // there is room again
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THROWS(
      c10::Error,
      "save_on_disk: path must be a folder",
      save_on_disk(folder.path / "none"));
}
