/// libgrad/torch/memory/side_stream.h and pinned_copy.h: tensors are copied to
/// the host and back while an accelerator computes.

#include "memory/fake_kernels.h"
#include "support/check.h"
#include "support/tensors.h"

#include <libgrad/libgrad.h>

#include <thread>

using fake::kFake;
using fake::Late;
using fake::Machine;
using libgrad::save_on_cpu;
using libgrad::SavedTensorHooks;
using torch::autograd::SavedVariable;

namespace {

/// A tensor of a device, which is there.
Tensor on_device(const Tensor& tensor, c10::DeviceIndex device = 0) {
  return tensor.to(c10::Device(kFake, device));
}

Tensor numbers() {
  return torch::linspace(1, 2, 6, at::kDouble).view({2, 3});
}

Tensor loss_of(const Tensor& x) {
  return (x.exp() * x).tanh().sum();
}

Tensor grad_of(const Tensor& loss, const Tensor& x, bool keep = false) {
  return libgrad::grad({loss}, {x}, {.retain_graph = keep})[0];
}

SavedVariable pack(const Tensor& tensor) {
  const SavedTensorHooks guard{save_on_cpu(/*pin_memory=*/true)};
  return SavedVariable(tensor, false);
}

c10::Stream side(c10::DeviceIndex device = 0) {
  return *libgrad::detail::side_stream(c10::Device(kFake, device));
}

c10::Stream current() {
  return fake::current_stream();
}

/// Runs `body` with streams that are late in each way; it is told how often
/// the host waited for a copy.
template <class Body>
void however_late(const Body& body) {
  for (const auto late : {Late::kNone, Late::kSide, Late::kCompute}) {
    Machine::get().be_late(late);
    const int waits = Machine::get().host_waits;
    body(waits);
  }
  Machine::get().be_late(Late::kNone);
}

}  // namespace

TEST(gradients_are_those_without_hooks) {
  const auto on_cpu = numbers().requires_grad_();
  const auto expected = grad_of(loss_of(on_cpu), on_cpu);
  however_late([&](int waits) {
    const auto x = on_device(numbers()).requires_grad_();
    EXPECT(grad_of(loss_of(x), x).cpu().equal(expected));
    const int before = Machine::get().host_waits;
    EXPECT(before > waits);  // for what this test reads
    Tensor loss;
    {
      const SavedTensorHooks guard{save_on_cpu(true)};
      loss = loss_of(x);
    }
    const auto first = grad_of(loss, x, true);
    const auto second = grad_of(loss, x);
    EXPECT(Machine::get().host_waits == before);
    EXPECT(first.cpu().equal(expected));
    EXPECT(second.cpu().equal(expected));
    EXPECT(current().id() == 0);
  });
}

TEST(the_program_goes_on_while_tensors_are_copied) {
  Machine::get().be_late(Late::kSide);
  auto x = on_device(numbers());
  const auto packed = pack(x);
  EXPECT(Machine::get().undone(side()) > 0);
  EXPECT((x * 2).cpu().equal(numbers() * 2));
  EXPECT(Machine::get().undone(side()) > 0);
  x = Tensor();  // its memory may be used again
  EXPECT(packed.unpack().cpu().equal(numbers()));
  EXPECT(Machine::get().undone(side()) == 0);
  Machine::get().be_late(Late::kNone);
}

TEST(what_is_computed_late_is_copied_later) {
  however_late([](int) {
    const auto packed = pack(on_device(numbers()) * 2);
    EXPECT(packed.unpack().cpu().equal(numbers() * 2));
  });
}

TEST(what_came_back_is_there_while_it_is_used) {
  however_late([](int) {
    const auto packed = pack(on_device(numbers()));
    const auto first = packed.unpack() * 2;  // frees what came back
    const auto second = packed.unpack() * 3;
    EXPECT(first.cpu().equal(numbers() * 2));
    EXPECT(second.cpu().equal(numbers() * 3));
  });
}

TEST(pinned_memory_is_there_until_it_came_back) {
  however_late([](int) {
    std::optional<SavedVariable> packed(pack(on_device(numbers())));
    const auto back = packed->unpack();
    packed.reset();
    EXPECT(back.cpu().equal(numbers()));
  });
}

TEST(threads_and_their_streams_have_it_back_at_once) {
  however_late([](int) {
    const auto packed = pack(on_device(numbers()) * 2);
    std::vector<Tensor> found(4);
    std::vector<std::thread> threads;
    for (auto& result : found) {
      threads.emplace_back([&] {
        const c10::Device device(kFake, 0);
        const c10::StreamGuard own(
            fake::Guard().getStreamFromGlobalPool(device, false));
        for (int i = 0; i < 50; ++i) {
          result = packed.unpack() * 3;
        }
        result = result.cpu();
      });
    }
    for (auto& thread : threads) {
      thread.join();
    }
    for (const auto& result : found) {
      EXPECT(result.equal(numbers() * 6));
    }
  });
}

TEST(a_device_has_one_stream_for_all_copies) {
  const auto streams = [] { return std::pair(side(0), side(1)); };
  const auto [first, second] = streams();
  EXPECT(first.device_index() == 0 && second.device_index() == 1);
  const int taken = Machine::get().streams;
  however_late([](int) {
    for (const c10::DeviceIndex device : {0, 1}) {
      const auto given = Machine::get().given(side(device));
      const auto packed = pack(on_device(numbers(), device));
      EXPECT(Machine::get().given(side(device)) > given);
      EXPECT(packed.unpack().device() == c10::Device(kFake, device));
      EXPECT(packed.unpack().cpu().equal(numbers()));
      EXPECT(fake::Guard().getDevice().index() == 0);
    }
  });
  EXPECT(Machine::get().streams == taken);
  EXPECT(streams() == std::pair(first, second));
}

TEST(an_error_leaves_the_current_stream) {
  const auto x = on_device(numbers(), 1);
  const auto packed = pack(x);
  Machine::get().fails = true;
  EXPECT_THROWS(c10::Error, "the device is broken", pack(x));
  EXPECT_THROWS(c10::Error, "the device is broken", packed.unpack());
  Machine::get().fails = false;
  EXPECT(fake::Guard().getDevice().index() == 0);
  EXPECT(fake::Guard().getStream(x.device()).id() == 0);
  EXPECT(packed.unpack().cpu().equal(numbers()));
}

TEST(strides_are_kept_and_the_host_never_waits) {
  const auto complex = torch::complex(numbers(), numbers() + 1);
  however_late([&](int) {
    const auto x = on_device(numbers());
    const auto z = on_device(complex);
    const int before = Machine::get().host_waits;
    const auto transposed = pack(x.t());
    const auto part = pack(x.slice(1, 1, 3).t());
    const auto expanded = pack(x.slice(1, 0, 1).expand({2, 4}));
    const auto conjugate = pack(z.t().conj());
    const std::vector<Tensor> back = {
        transposed.unpack(),
        part.unpack(),
        expanded.unpack(),
        conjugate.unpack()};
    EXPECT(Machine::get().host_waits == before);
    EXPECT(back[0].strides() == at::IntArrayRef({1, 3}));
    EXPECT(back[0].cpu().equal(numbers().t()));
    EXPECT(back[1].strides() == at::IntArrayRef({1, 2}));
    EXPECT(back[1].cpu().equal(numbers().slice(1, 1, 3).t()));
    EXPECT(back[2].cpu().equal(numbers().slice(1, 0, 1).expand({2, 4})));
    EXPECT(!back[3].is_conj() && back[3].strides() == z.t().strides());
    EXPECT(back[3].cpu().equal(complex.t().conj().resolve_conj()));
  });
}

TEST(a_tensor_that_is_copied_on_the_side_must_not_be_changed) {
  const auto x = on_device(numbers());
  const auto packed = pack(x);
  x.mul_(2);
  EXPECT_THROWS(
      c10::Error,
      "a saved tensor (float64 [2, 3] on fake:0) was changed in place, maybe "
      "before it was copied to the host: it is at version 1; expected version "
      "0. Change a clone, or leave pin_memory out, which waits for the copy",
      packed.unpack());
  std::optional<SavedVariable> waits;
  {
    const SavedTensorHooks guard{save_on_cpu()};
    waits.emplace(x, false);
  }
  x.mul_(2);
  EXPECT(waits->unpack().cpu().equal(numbers() * 2));
}

TEST(hooks_around_wait_for_what_they_look_at) {
  however_late([](int) {
    const auto x = on_device(numbers()).requires_grad_();
    std::vector<Tensor> seen;
    const SavedTensorHooks around{
        [&](const Tensor& tensor) {
          EXPECT(tensor.is_pinned());
          return seen.emplace_back(tensor.clone());
        },
        [](const Tensor& tensor) { return tensor; }};
    const SavedTensorHooks guard{save_on_cpu(true), {.compose = true}};
    const auto y = (x * 2).exp();
    EXPECT(seen.size() == 1 && seen[0].equal((numbers() * 2).exp()));
    EXPECT(grad_of(y.sum(), x).cpu().equal((numbers() * 2).exp() * 2));
  });
}

TEST(a_graph_that_is_captured_is_copied_by_its_own_stream) {
  const auto x = on_device(numbers());
  const auto before = pack(x);
  const auto given = Machine::get().given(side());
  Machine::get().captures = true;
  const auto packed = pack(x);
  const auto inside = packed.unpack();
  const auto old = before.unpack();
  Machine::get().captures = false;
  EXPECT(Machine::get().given(side()) == given);
  for (const auto& back : {inside, old, packed.unpack()}) {
    EXPECT(back.cpu().equal(numbers()));
  }
}

TEST(memory_of_others_is_copied_by_the_current_stream) {
  const auto x = on_device(numbers());
  const auto given = Machine::get().given(side());
  const auto others = at::for_blob(x.data_ptr(), {2, 3})
                          .options(x.options())
                          .target_device(x.device())
                          .make_tensor();
  const auto packed = pack(others);
  EXPECT(packed.unpack().cpu().equal(numbers()));
  EXPECT(Machine::get().given(side()) == given);
}

TEST(tensors_of_the_host_are_copied_at_once) {
  Machine::get().be_late(Late::kSide);
  const auto given = Machine::get().given(side());
  const auto x = numbers();
  const auto packed = pack(x);
  x.mul_(2);
  EXPECT(packed.unpack().equal(numbers()) && packed.unpack().is_pinned());
  EXPECT(Machine::get().given(side()) == given);
  Machine::get().be_late(Late::kNone);
}
