/// C++ Functions of every kind, bound for tests/function/test_python_h.py.

#include "function/wild.h"

#include <libgrad/checkpoint.h>
#include <libgrad/hooks.h>
#include <libgrad/name.h>
#include <libgrad/python.h>

#include <ATen/ATen.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

/// weight * x + bias: tensors, one of them optional.
struct Affine : Function<Affine> {
  static Tensor forward(
      AutogradContext* ctx,
      const Tensor& x,
      Tensor weight,
      const std::optional<Tensor>& bias) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["biased"] = bias.has_value();
    return bias ? x * weight + *bias : x * weight;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const auto biased = ctx->saved_data["biased"].toBool();
    return {
        grads[0] * saved[1], grads[0] * saved[0], biased ? grads[0] : Tensor()};
  }
};

/// The sum of weight * tensor ** 3 over a list of tensors.
struct CubeSum : Function<CubeSum> {
  static Tensor forward(
      AutogradContext* ctx,
      at::TensorList tensors,
      const std::vector<double>& weights) {
    ctx->save_for_backward(tensors.vec());
    ctx->saved_data["weights"] = weights;
    Tensor sum = at::zeros_like(tensors[0]);
    for (size_t i = 0; i < tensors.size(); ++i) {
      sum += weights[i] * tensors[i].pow(3);
    }
    return sum;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto weights = ctx->saved_data["weights"].toDoubleVector();
    variable_list result;
    for (const auto& tensor : ctx->get_saved_variables()) {
      result.push_back(grads[0] * weights[result.size()] * 3 * tensor * tensor);
    }
    result.emplace_back();  // for the weights
    return result;
  }
};

/// scale * x ** (power + extra), or the same of -x.
struct Power : Function<Power> {
  static Tensor forward(
      AutogradContext* ctx,
      const Tensor& x,
      int64_t power,
      int extra,
      double scale,
      bool negate) {
    ctx->save_for_backward({x});
    ctx->saved_data["power"] = power + extra;
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["negate"] = negate;
    return scale * (negate ? -x : x).pow(power + extra);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    const auto power = ctx->saved_data["power"].toInt();
    const auto scale = ctx->saved_data["scale"].toDouble();
    const auto sign = ctx->saved_data["negate"].toBool() ? -1 : 1;
    const auto slope = sign * scale * power * (sign * x).pow(power - 1);
    return {grads[0] * slope, {}, {}, {}, {}};
  }
};

/// The sum or mean over dimensions, put back to x's number of dimensions.
struct Reduce : Function<Reduce> {
  static Tensor forward(
      AutogradContext* ctx,
      const Tensor& x,
      const std::string& mode,
      const std::vector<int64_t>& dims) {
    TORCH_CHECK_VALUE(mode == "sum" || mode == "mean", "no mode ", mode);
    const auto sum = x.sum(dims, /*keepdim=*/true);
    const auto count = mode == "sum" ? 1 : x.numel() / sum.numel();
    ctx->saved_data["shape"] = x.sizes().vec();
    ctx->saved_data["count"] = count;
    return sum / count;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto shape = ctx->saved_data["shape"].toIntVector();
    const auto count = ctx->saved_data["count"].toInt();
    return {grads[0].expand(shape) / count, {}, {}};
  }
};

/// x.permute(dims); optional numbers bound what comes out.
struct Permute : Function<Permute> {
  static Tensor forward(
      AutogradContext* ctx,
      const Tensor& x,
      at::IntArrayRef dims,
      std::optional<double> most) {
    std::vector<int64_t> inverse(dims.size());
    for (size_t i = 0; i < dims.size(); ++i) {
      inverse.at(dims[i]) = static_cast<int64_t>(i);
    }
    ctx->saved_data["inverse"] = inverse;
    ctx->save_for_backward({x});
    ctx->saved_data["most"] = most;
    const auto y = x.permute(dims);
    return most ? y.clamp_max(*most) : y.clone();
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    const auto inverse = ctx->saved_data["inverse"].toIntVector();
    const auto most = ctx->saved_data["most"].toOptional<double>();
    const auto grad = grads[0].permute(inverse);
    return {most ? grad * (x < *most) : grad, {}, {}};
  }
};

/// The positive part of x and the negative part.
struct Parts : Function<Parts> {
  static variable_list forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return {x.clamp_min(0), x.clamp_max(0)};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    return {at::where(x > 0, grads[0], grads[1])};
  }
};

/// x, and a tensor that was never made.
struct Hole : Function<Hole> {
  static variable_list forward(AutogradContext*, const Tensor& x) {
    return {x.clone(), Tensor()};
  }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {grads[0]};
  }
};

/// x *= factor, in place.
struct Scale : Function<Scale> {
  static Tensor forward(AutogradContext* ctx, Tensor x, double factor) {
    ctx->saved_data["factor"] = factor;
    ctx->mark_dirty({x});
    return x.mul_(factor);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {grads[0] * ctx->saved_data["factor"].toDouble(), Tensor()};
  }
};

/// The largest element of a vector, and where it is.
struct Largest : Function<Largest> {
  static variable_list forward(AutogradContext* ctx, const Tensor& x) {
    const auto [value, index] = x.max(0);
    ctx->saved_data["index"] = index.item<int64_t>();
    ctx->saved_data["size"] = x.numel();
    ctx->mark_non_differentiable({index});
    return {value, index};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto size = ctx->saved_data["size"].toInt();
    const auto index = ctx->saved_data["index"].toInt();
    const auto row = at::eye(size, grads[0].options()).select(0, index);
    return {grads[0] * row};
  }
};

void raise(std::string_view kind) {
  TORCH_CHECK_VALUE(kind != "ValueError", "bad value: ", kind);
  TORCH_CHECK_INDEX(kind != "IndexError", "bad index: ", kind);
  TORCH_CHECK_TYPE(kind != "TypeError", "bad type: ", kind);
  TORCH_CHECK_NOT_IMPLEMENTED(kind != "NotImplementedError", "bad: ", kind);
  TORCH_CHECK(kind != "RuntimeError", "bad run: ", kind);
  if (kind == "std") {
    throw std::runtime_error("bad std::runtime_error");
  }
}

/// x * exp(x) that saves exp(x), wrongly: differentiated twice it is silent.
struct SavesIntermediate : Function<SavesIntermediate> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    const auto e = x.exp();
    ctx->save_for_backward({x, e});
    return x * e;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    return {grads[0] * (saved[1] + saved[0] * saved[1])};
  }
};

/// x itself; raises in forward or in backward.
struct Raise : Function<Raise> {
  static Tensor forward(
      AutogradContext* ctx,
      const Tensor& x,
      std::string_view forward_raises,
      const std::string& backward_raises) {
    ctx->saved_data["raises"] = backward_raises;
    raise(forward_raises);
    return x.clone();
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    raise(ctx->saved_data["raises"].toStringRef());
    return {grads[0], {}, {}};
  }
};

/// x + 1, once `parties` threads are here: a place to meet without the GIL.
struct Meet : Function<Meet> {
  static Tensor forward(AutogradContext*, const Tensor& x, int parties) {
    static std::mutex mutex;
    static std::condition_variable arrival;
    static int present = 0;
    std::unique_lock lock(mutex);
    ++present;
    arrival.notify_all();
    const bool met = arrival.wait_for(
        lock, std::chrono::seconds(10), [&] { return present >= parties; });
    TORCH_CHECK(met, "Meet: ", present, " of ", parties, " threads came");
    return x + 1;
  }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {grads[0], Tensor()};
  }
};

/// How many tensors are packed by hooks of this extension while `body` runs.
int count_packed(const py::function& body) {
  int packed = 0;
  const libgrad::SavedTensorHooks guard{
      [&packed](const Tensor& tensor) {
        ++packed;
        return tensor;
      },
      [](const Tensor& tensor) { return tensor; }};
  body();
  return packed;
}

/// The sine of the square of `x`, in a checkpoint that keeps that as "square".
Tensor sine_of_named(const Tensor& x) {
  static const auto square = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("libgrad_names::square", "")
                                 .typed<Tensor(const Tensor&)>();  // of Python
  return libgrad::checkpoint(
      [](const Tensor& in) {
        return libgrad::name(square.call(in), "square").sin();
      },
      x,
      {.save = {"square"}});
}

}  // namespace

PYBIND11_MODULE(functions, m) {
  using namespace pybind11::literals;
  using libgrad::def_function;
  def_function<Affine>(
      m, "affine", "x"_a, "weight"_a, "bias"_a = py::none(), "A line.");
  def_function<CubeSum>(m, "cube_sum", "tensors"_a, "weights"_a);
  def_function<Power>(
      m,
      "power",
      "x"_a,
      "power"_a = 2,
      "extra"_a = 0,
      "scale"_a = 1.0,
      "negate"_a = false);
  def_function<Reduce>(m, "reduce", "x"_a, "mode"_a, "dims"_a);
  def_function<Permute>(
      m, "permute", "x"_a, "dims"_a, py::kw_only(), "most"_a = py::none());
  def_function<Parts>(m, "parts", "x"_a);
  def_function<Hole>(m, "hole", "x"_a);
  def_function<Scale>(m, "scale_", "x"_a, "factor"_a);
  def_function<Largest>(m, "largest", "x"_a);
  def_function<SavesIntermediate>(m, "saves_intermediate", "x"_a);
  def_function<Raise>(m, "raises", "x"_a, "forward"_a = "", "backward"_a = "");
  def_function<Meet>(m, "meet", "x"_a, "parties"_a);
  def_function<wild::OneForTheList>(
      m, "one_for_the_list", "x"_a, "offsets"_a, "w"_a);
  def_function<wild::Numbers>(
      m,
      "numbers",
      "x"_a,
      "by"_a,
      "plus"_a = py::none(),
      "more"_a = py::list());
  def_function<wild::Rare>(
      m,
      "rare",
      "x"_a,
      "w"_a,
      "mode"_a = py::none(),
      "format"_a = at::MemoryFormat::Contiguous,
      "factor"_a = 1.0,
      "shape"_a = py::none());
  def_function<wild::Twice>(m, "twice", "x"_a);
  def_function<wild::AsItIs>(m, "as_it_is", "x"_a, "w"_a);
  def_function<wild::Part>(m, "part", "x"_a);
  def_function<wild::Calls<true>>(m, "calls_apply", "x"_a);
  def_function<wild::Calls<false>>(m, "calls_ours", "x"_a);
  def_function<wild::Calls<false>::Squared>(m, "squared", "x"_a);
  def_function<wild::Deep>(m, "deep", "x"_a);
  def_function<wild::Doubles>(m, "doubles", "x"_a);
  m.def("count_packed", count_packed);
  m.def("sine_of_named", sine_of_named);
}
