// Functions of every kind, unchanged LibTorch structs, for tests/function/.

#include <libgrad/function.h>
#include <libgrad/python.h>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

using at::Tensor;
using at::TensorList;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

struct Cube : Function<Cube> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return x * x * x;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    return {grads[0] * (3 * x * x).conj()};
  }
};

/// x * w, which asks what is needed.
/// x w, with all that a backward may ask before it computes a gradient.
struct Product : Function<Product> {
  static Tensor forward(
      AutogradContext* ctx, const Tensor& x, const Tensor& w) {
    ctx->save_for_backward({x, w});
    return x * w;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    variable_list result(2);
    for (size_t i = 0; i < 2; ++i) {
      if (ctx->needs_input_grad(i) && saved[i].requires_grad()) {
        result[i] = grads[0] * saved[1 - i].conj();
      }
    }
    return result;
  }
};

/// (s x w, sin x + w): two outputs and a number.
struct Pair : Function<Pair> {
  static variable_list forward(
      AutogradContext* ctx, const Tensor& x, const Tensor& w, double s) {
    ctx->save_for_backward({x, w});
    ctx->saved_data["s"] = s;
    return {x * w * s, x.sin() + w};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const auto s = ctx->saved_data["s"].toDouble();
    return {
        grads[0] * saved[1] * s + grads[1] * saved[0].cos(),
        grads[0] * saved[0] * s + grads[1],
        Tensor()};
  }
};

/// The sum of a list, scaled, and an optional tensor: every kind of argument.
struct Everything : Function<Everything> {
  static Tensor forward(
      AutogradContext* ctx,
      TensorList xs,
      const std::optional<Tensor>& bias,
      std::vector<int64_t> dims,
      bool keep,
      int n,
      double s,
      std::string mode,
      std::optional<double> shift) {
    TORCH_CHECK_VALUE(!xs.empty(), "Everything: xs is empty");
    auto sum = at::zeros_like(xs[0]);
    for (const auto& x : xs) {
      sum = sum + x;
    }
    auto y = sum * s * n + shift.value_or(0.0);
    if (bias) {
      y = y + *bias;
    }
    ctx->saved_data["factor"] = s * n;
    ctx->saved_data["count"] = static_cast<int64_t>(xs.size());
    ctx->saved_data["bias"] = bias.has_value();
    ctx->saved_data["dims"] = dims;
    ctx->saved_data["keep"] = keep;
    ctx->save_for_backward({xs[0]});
    TORCH_CHECK_VALUE(mode == "sum" || mode == "mean", "mode: ", mode);
    ctx->saved_data["mean"] = mode == "mean";
    return mode == "sum" ? y.sum(dims, keep) : y.mean(dims, keep);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto like = ctx->get_saved_variables()[0];
    auto grad = grads[0];
    double share = 1;
    for (const auto dim : ctx->saved_data["dims"].toIntVector()) {
      if (!ctx->saved_data["keep"].toBool()) {
        grad = grad.unsqueeze(dim);
      }
      share *= static_cast<double>(like.size(dim));
    }
    grad = grad.expand_as(like);
    if (ctx->saved_data["mean"].toBool()) {
      grad = grad / share;
    }
    variable_list result;
    for (int64_t i = 0; i < ctx->saved_data["count"].toInt(); ++i) {
      result.push_back(grad * ctx->saved_data["factor"].toDouble());
    }
    result.push_back(ctx->saved_data["bias"].toBool() ? grad : Tensor());
    result.resize(result.size() + 6);
    return result;
  }
};

/// The sum of a std::vector of tensors, which LibTorch alone does not track.
struct VectorSum : Function<VectorSum> {
  static Tensor forward(
      AutogradContext* ctx, const std::vector<Tensor>& xs, double s) {
    ctx->saved_data["count"] = static_cast<int64_t>(xs.size());
    ctx->saved_data["s"] = s;
    TORCH_CHECK_VALUE(!xs.empty(), "VectorSum: xs is empty");
    auto sum = xs[0] * s;
    for (size_t i = 1; i < xs.size(); ++i) {
      sum = sum + xs[i] * s;
    }
    return sum;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto grad = grads[0] * ctx->saved_data["s"].toDouble();
    variable_list result(ctx->saved_data["count"].toInt(), grad);
    result.emplace_back();
    return result;
  }
};

/// round(x), whose gradient is passed straight through.
struct Round : Function<Round> {
  static Tensor forward(AutogradContext*, const Tensor& x) { return x.round(); }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {grads[0].clone()};
  }
};

/// A made-up gradient that depends on input and output: y = 2 round(x), "dy/dx"
/// = x y.
struct Pretend : Function<Pretend> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    auto y = x.round() * 2;
    ctx->save_for_backward({x, y});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    return {grads[0] * saved[0] * saved[1]};
  }
};

/// exp, which saves its output.
struct Exp : Function<Exp> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    auto y = x.exp();
    ctx->save_for_backward({y});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto y = ctx->get_saved_variables()[0];
    return {y.requires_grad() ? grads[0] * y.conj() : Tensor()};
  }
};

/// 2 sin x, which saves an intermediate and keeps a tensor in saved_data: right
/// once, silently wrong when it is differentiated twice.
struct Intermediate : Function<Intermediate> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x.cos()});
    ctx->saved_data["two"] = at::full_like(x, 2);
    return x.sin() * 2;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto cos = ctx->get_saved_variables()[0];
    return {grads[0] * cos * ctx->saved_data["two"].toTensor()};
  }
};

struct SinTimes : Function<SinTimes> {
  static inline std::atomic<int64_t> jvps = 0;
  static Tensor forward(
      AutogradContext* ctx, const Tensor& x, double s, const Tensor& w) {
    ctx->save_for_backward({x, w});
    ctx->saved_data["s"] = s;
    return x.sin() * w * s;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const auto grad = grads[0] * ctx->saved_data["s"].toDouble();
    return {grad * saved[0].cos() * saved[1], Tensor(), grad * saved[0].sin()};
  }
  static variable_list jvp(AutogradContext* ctx, variable_list tangents) {
    ++jvps;
    const auto saved = ctx->get_saved_variables();
    const auto slope = saved[0].cos() * saved[1] * tangents[0];
    return {
        (slope + saved[0].sin() * tangents[2]) *
        ctx->saved_data["s"].toDouble()};
  }
};

/// Sorted values and their indices, which have no gradient.
struct Sort : Function<Sort> {
  static variable_list forward(AutogradContext* ctx, const Tensor& x) {
    auto [values, indices] = x.sort();
    ctx->save_for_backward({indices});
    ctx->mark_non_differentiable({indices});
    return {values, indices};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto indices = ctx->get_saved_variables()[0];
    return {at::zeros_like(grads[0]).scatter(-1, indices, grads[0])};
  }
};

/// x *= 3 in place.
struct Triple : Function<Triple> {
  static Tensor forward(AutogradContext* ctx, Tensor x) {
    x.mul_(3);
    ctx->mark_dirty({x});
    return x;
  }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {grads[0] * 3};
  }
};

/// exp in place, which saves what it made.
struct ExpInPlace : Function<ExpInPlace> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, Tensor out) {
    out.add_(x).exp_();
    ctx->mark_dirty({out});
    ctx->save_for_backward({out});
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto grad = grads[0] * ctx->get_saved_variables()[0];
    return {grad, grad};
  }
};

/// The transpose, a view of x.
struct Transposed : Function<Transposed> {
  static Tensor forward(AutogradContext*, const Tensor& x) { return x.t(); }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {grads[0].t()};
  }
};

/// x itself, whose gradient is turned round.
struct Reverse : Function<Reverse> {
  static Tensor forward(AutogradContext*, const Tensor& x) {
    return x.view_as(x);
  }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {grads[0].neg()};
  }
};

Tensor square_of(const Tensor& x) {
  TORCH_CHECK_TYPE(x.scalar_type() == at::kDouble, "square: float64 only");
  const auto input = x.cpu().contiguous();
  auto output = at::empty_like(input);
  const auto* in = input.data_ptr<double>();
  auto* out = output.data_ptr<double>();
  for (int64_t i = 0; i < input.numel(); ++i) {
    out[i] = in[i] * in[i];
  }
  return output.to(x.device());
}

Tensor square_fake(const Tensor& x) {
  return at::empty_like(x, at::MemoryFormat::Contiguous);
}

/// x^2 by a loop over memory.
struct RawSquare : Function<RawSquare> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return square_of(x);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {grads[0] * 2 * ctx->get_saved_variables()[0]};
  }
};

/// The same loop, behind an operator.
struct Square : Function<Square> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return libgrad::kernel<square_of>(x);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {grads[0] * 2 * ctx->get_saved_variables()[0]};
  }
};

/// The loop once more, with a vmap of its own.
struct MappedSquare : Function<MappedSquare> {
  static inline std::atomic<int64_t> maps = 0;
  static Tensor forward(AutogradContext* ctx, const Tensor& x, int64_t power) {
    TORCH_CHECK_VALUE(power == 2, "power must be 2");
    ctx->save_for_backward({x});
    return square_of(x);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {grads[0] * 2 * ctx->get_saved_variables()[0], Tensor()};
  }
  static std::pair<Tensor, libgrad::Dims> vmap(
      const libgrad::VmapInfo& info,
      const libgrad::Dims& in_dims,
      const Tensor& x,
      int64_t) {
    ++maps;
    TORCH_CHECK(x.size(*in_dims[0]) == info.batch_size, "batch size");
    return {x * x, in_dims};
  }
};

/// A backward that autograd cannot see through, and no jvp.
struct Opaque : Function<Opaque> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return square_of(x);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    at::AutoGradMode no_grad(false);
    return {grads[0] * 2 * ctx->get_saved_variables()[0]};
  }
};

/// An operator without a derivative.
TORCH_LIBRARY(gallery_underived, ops) {
  ops.def("copy(Tensor x) -> Tensor");
  ops.impl("copy", c10::DispatchKey::CPU, [](const Tensor& x) {
    return x.detach().clone();
  });
}

/// x / sum(x), whose backward is zero at ones and out of autograd's sight: all
/// of it, all but a part that is added, or by an operator without a derivative.
struct Share : Function<Share> {
  static Tensor forward(
      AutogradContext* ctx, const Tensor& x, std::string unseen) {
    ctx->save_for_backward({x});
    ctx->saved_data["unseen"] = unseen;
    return x / x.sum();
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    const auto unseen = ctx->saved_data["unseen"].toStringRef();
    static const auto copy =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("gallery_underived::copy", "")
            .typed<Tensor(const Tensor&)>();
    const auto grad =
        unseen == "operator" ? copy.call(grads[0]) : grads[0].detach();
    const auto result = (grad - (grad * x).sum() / x.sum()) / x.sum();
    return {unseen == "part" ? result + grads[0] * x : result, Tensor()};
  }
};

/// |x|^2 of a complex x, real.
struct Abs2 : Function<Abs2> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return at::real(x * x.conj());
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {2 * grads[0] * ctx->get_saved_variables()[0]};
  }
};

/// An argument that no operator takes.
struct Scaled : Function<Scaled> {
  static Tensor forward(
      AutogradContext* ctx,
      const Tensor& x,
      const std::map<std::string, double>& scales) {
    double product = 1;
    for (const auto& [name, scale] : scales) {
      product *= scale;
    }
    ctx->saved_data["product"] = product;
    return x * product;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {grads[0] * ctx->saved_data["product"].toDouble(), Tensor()};
  }
};

/// x w, with materialized gradients off: undefined ones arrive as they are.
struct Sparse : Function<Sparse> {
  static variable_list forward(
      AutogradContext* ctx, const Tensor& x, const Tensor& w) {
    ctx->set_materialize_grads(false);
    return {2 * x, 3 * w};
  }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {
        grads[0].defined() ? grads[0] * 2 : Tensor(),
        grads[1].defined() ? grads[1] * 3 : Tensor()};
  }
  static variable_list jvp(AutogradContext*, variable_list tangents) {
    return {
        tangents[0].defined() ? tangents[0] * 2 : Tensor(),
        tangents[1].defined() ? tangents[1] * 3 : Tensor()};
  }
};

/// x + noise.
struct Noisy : Function<Noisy> {
  static Tensor forward(AutogradContext*, const Tensor& x) {
    return x + at::randn_like(x);
  }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return grads;
  }
};

/// x w sin x, which keeps tensors in a list in saved_data.
struct Kept : Function<Kept> {
  static Tensor forward(
      AutogradContext* ctx, const Tensor& x, const Tensor& w) {
    ctx->saved_data["inputs"] = std::vector<Tensor>{x, w};
    ctx->saved_data["none"] = std::vector<Tensor>();
    return x * w * x.sin();
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    TORCH_CHECK(ctx->saved_data["none"].toTensorVector().empty());
    const auto kept = ctx->saved_data["inputs"].toTensorVector();
    const auto &x = kept[0], &w = kept[1];
    return {grads[0] * w * (x.sin() + x * x.cos()), grads[0] * x * x.sin()};
  }
};

/// A backward that returns too many gradients.
struct Miscounted : Function<Miscounted> {
  static Tensor forward(AutogradContext*, const Tensor& x) { return x * 2; }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {grads[0], grads[0]};
  }
};

/// A jvp that returns `count` tangents of the wrong shape.
struct BadJvp : Function<BadJvp> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, int64_t count) {
    ctx->saved_data["count"] = count;
    return x * 2;
  }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {grads[0] * 2, Tensor()};
  }
  static variable_list jvp(AutogradContext* ctx, variable_list tangents) {
    return variable_list(
        ctx->saved_data["count"].toInt(), tangents[0].unsqueeze(0));
  }
};

}  // namespace

PYBIND11_MODULE(gallery, m) {
  using namespace pybind11::literals;
  using libgrad::def_function;
  def_function<Cube>(m, "cube", "x"_a, "x cubed.");
  def_function<Product>(m, "product", "x"_a, "w"_a);
  def_function<Pair>(m, "pair", "x"_a, "w"_a, "s"_a = 2.0);
  def_function<Everything>(
      m,
      "everything",
      "xs"_a,
      "bias"_a = py::none(),
      "dims"_a = std::vector<int64_t>{0},
      "keep"_a = false,
      py::kw_only(),
      "n"_a = 3,
      "s"_a = 0.5,
      "mode"_a = "sum",
      "shift"_a = py::none());
  def_function<VectorSum>(m, "vector_sum", "xs"_a, "s"_a = 1);
  def_function<Round>(m, "round", "x"_a);
  def_function<Pretend>(m, "pretend", "x"_a);
  def_function<Exp>(m, "exp", "x"_a);
  def_function<Intermediate>(m, "intermediate", "x"_a);
  def_function<SinTimes>(m, "sin_times", "x"_a, "s"_a, "w"_a);
  def_function<Sort>(m, "sort", "x"_a);
  def_function<Triple>(m, "triple_", "x"_a);
  def_function<Triple>(m, "triple_unsaid", "x"_a);
  def_function<ExpInPlace>(
      m, "exp_into", "x"_a, "out"_a, libgrad::mutates("out"));
  def_function<Transposed>(m, "transposed", "x"_a);
  def_function<Reverse>(m, "reverse", "x"_a);
  def_function<RawSquare>(m, "raw_square", "x"_a);
  libgrad::def_kernel<square_of, square_fake>(m, "square_of", "x"_a);
  def_function<Square>(m, "square", "x"_a);
  def_function<MappedSquare>(m, "mapped_square", "x"_a, "power"_a = 2);
  def_function<Opaque>(m, "opaque", "x"_a);
  def_function<Share>(m, "share", "x"_a, "unseen"_a);
  def_function<Abs2>(m, "abs2", "x"_a);
  def_function<Scaled>(m, "scaled", "x"_a, "scales"_a);
  def_function<Sparse>(m, "sparse", "x"_a, "w"_a);
  def_function<Kept>(m, "kept", "x"_a, "w"_a);
  def_function<Noisy>(m, "noisy", "x"_a);
  def_function<Miscounted>(m, "miscounted", "x"_a);
  def_function<BadJvp>(m, "bad_jvp", "x"_a, "count"_a);
  m.def("jvps", [] { return SinTimes::jvps.load(); });
  m.def("maps", [] { return MappedSquare::maps.load(); });
  // Forward mode from C++.
  m.def("tangent_of_cube", [](const Tensor& primal, const Tensor& tangent) {
    py::gil_scoped_release no_gil;
    const auto level = torch::autograd::forward_ad::enter_dual_level();
    const auto x = at::_make_dual(primal, tangent, level);
    const Tensor result = libgrad::apply<Cube>(x)._fw_grad(level);
    torch::autograd::forward_ad::exit_dual_level(level);
    return result;
  });
}
