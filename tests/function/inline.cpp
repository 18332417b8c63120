// What test_inline.py hands to load_inline.
#if defined(__x86_64__)
#include <immintrin.h>
inline __m128 one_vector() {
  return _mm_set1_ps(1);
}
#endif

struct Cube : torch::autograd::Function<Cube> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return x * x * x;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    return {grads[0] * 3 * x * x};
  }
};

namespace mine {

struct Affine : torch::autograd::Function<Affine> {
  static torch::Tensor forward(
      AutogradContext* ctx,
      const Tensor& x,
      double scale,
      const std::optional<Tensor>& bias,
      int power,
      const std::string& sign) {
    TORCH_CHECK_VALUE(sign == "+" || sign == "-", "bad sign ", sign);
    ctx->saved_data["scale"] = sign == "-" ? -scale : scale;
    auto y = x * ctx->saved_data["scale"].toDouble();
    if (bias) {
      y = y + *bias * power;
      ctx->saved_data["power"] = static_cast<int64_t>(power);
    }
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    auto bias = ctx->saved_data.count("power")
                    ? grads[0] * ctx->saved_data["power"].toInt()
                    : Tensor();
    return {
        grads[0] * ctx->saved_data["scale"].toDouble(),
        Tensor(),
        bias,
        Tensor(),
        Tensor()};
  }
};

}  // namespace mine

/// A weighted sum, and its sine: a list of tensors, lists of numbers.
struct Weighted : torch::autograd::Function<Weighted> {
  static variable_list forward(
      AutogradContext* ctx,
      TensorList xs,
      const std::vector<double>& weights,
      std::optional<std::vector<int64_t>> shape) {
    auto sum = at::zeros_like(xs[0]);
    for (size_t i = 0; i < xs.size(); ++i) {
      sum = sum + xs[i] * weights[i];
    }
    ctx->save_for_backward({sum});
    ctx->saved_data["weights"] = weights;
    auto sine = torch::sin(sum);
    return {sum.clone(), shape ? sine.reshape(*shape) : sine};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto sum = ctx->get_saved_variables()[0];
    const auto grad = grads[0] + grads[1].reshape(sum.sizes()) * sum.cos();
    variable_list result;
    for (const auto weight : ctx->saved_data["weights"].toDoubleVector()) {
      result.push_back(grad * weight);
    }
    result.resize(result.size() + 2);
    return result;
  }
};

struct Times : torch::autograd::Function<Times> {
  static Tensor forward(
      AutogradContext* ctx,
      const Tensor& x,
      const at::Scalar& by,
      std::optional<c10::complex<double>> turn) {
    ctx->saved_data["by"] = by;
    const auto y = x * by;
    return turn ? y * at::Scalar(*turn) : y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {grads[0] * ctx->saved_data["by"].toScalar(), Tensor(), Tensor()};
  }
};
