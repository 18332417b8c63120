/// libgrad/gradcheck/vector.h -- random vectors, drawn without the dispatcher.
///
/// Relies on (covered by tests/cpp/torch/test_internals.cpp):
/// at::uniform_real_distribution gives the numbers of at::rand, so that
/// fast_mode uses the same vectors as torch.

#pragma once

#include <libgrad/gradcheck/numbers.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/DistributionsHelper.h>
#include <c10/core/DefaultDtype.h>

#include <cmath>
#include <mutex>
#include <numeric>

namespace libgrad::detail {

/// Real numbers in double precision.
struct Vector {
  std::vector<double> numbers = {};

  bool defined() const { return !numbers.empty(); }

  double sum() const {
    return std::accumulate(numbers.begin(), numbers.end(), 0.0);
  }

  /// As a tensor with the real dtype and the device of `other`.
  at::Tensor like(const at::Tensor& other) const {
    const auto size = static_cast<int64_t>(numbers.size());
    const auto dtype = c10::toRealValueType(other.scalar_type());
    at::Tensor tensor = at::detail::empty_cpu({size}, at::kDouble);
    if (size > 0) {
      std::memcpy(tensor.mutable_data_ptr(), numbers.data(), tensor.nbytes());
    }
    return dtype == at::kDouble && other.is_cpu()
               ? tensor
               : tensor.to(other.device(), dtype);
  }
};

/// The dot product of `vector` and `tensor`, without conjugation.
inline Complex sum_of_products(const Vector& vector, const at::Tensor& tensor) {
  const auto values = in_double(tensor, tensor.is_complex()).contiguous();
  const auto sum = [&](const auto* right) {
    Complex result = 0;
    for (size_t k = 0; k < vector.numbers.size(); ++k) {
      result += vector.numbers[k] * right[k];
    }
    return result;
  };
  return values.is_complex() ? sum(values.const_data_ptr<Complex>())
                             : sum(values.const_data_ptr<double>());
}

/// A random generator: its numbers are the same in every check, and the user's
/// generators are not used.
class Draw {
 public:
  /// A vector of `count` numbers from 0 to 1, scaled to length 1.
  Vector unit(int64_t count) {
    Vector vector{std::vector<double>(count)};
    fill(vector.numbers);
    double squares = 0;
    for (const auto number : vector.numbers) {
      squares += number * number;
    }
    for (auto& number : vector.numbers) {
      number /= std::sqrt(squares);
    }
    return vector;
  }

  /// A contiguous tensor like `tensor` with numbers from -1 to 1.
  at::Tensor like(const at::Tensor& tensor) {
    const auto dtype = tensor.is_complex() ? at::kComplexDouble : at::kDouble;
    const at::AutoGradMode grad_mode(false);
    auto numbers = at::rand(tensor.sizes(), generator_, at::dtype(dtype));
    auto real = tensor.is_complex() ? at::view_as_real(numbers) : numbers;
    real.mul_(2).sub_(1);
    return numbers.to(tensor.device(), tensor.scalar_type());
  }

 private:
  /// Draws the numbers that at::rand would draw in the default dtype.
  void fill(std::vector<double>& numbers) {
    auto* generator = at::check_generator<at::CPUGeneratorImpl>(generator_);
    const std::lock_guard<std::mutex> lock(generator->mutex_);
    at::uniform_real_distribution<double> fine(0, 1);
    at::uniform_real_distribution<float> coarse(0, 1);
    const bool in_double =
        c10::get_default_dtype_as_scalartype() == at::kDouble;
    for (auto& number : numbers) {
      number = in_double ? fine(generator) : coarse(generator);
    }
  }

  at::Generator generator_ = at::detail::createCPUGenerator();
};

}  // namespace libgrad::detail
