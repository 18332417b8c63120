/// libgrad/functional/basis.h -- unit vectors over the elements of many
/// tensors.

#pragma once

#include <libgrad/grad/seeds.h>

#include <ATen/EmptyTensor.h>
#include <ATen/Functions.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <vector>

namespace libgrad::detail {

using torch::autograd::variable_list;

/// The bytes that one batch of rows may take: its unit vectors and its results.
/// The intermediate tensors of the backward come on top. On the CPU larger
/// batches fall out of the cache; other devices need large batches to be busy.
inline constexpr int64_t kBatchBytes = int64_t{8} << 20;
inline constexpr int64_t kDeviceBatchBytes = int64_t{512} << 20;

inline int64_t elements(const variable_list& tensors) {
  int64_t count = 0;
  for (const auto& tensor : tensors) {
    count += tensor.numel();
  }
  return count;
}

/// The number of rows in a batch, at least 1: `chosen`, or as many rows as fit
/// into the bytes above.
inline int64_t rows_at_once(
    const std::optional<int64_t>& chosen,
    const variable_list& outputs,
    const variable_list& inputs) {
  if (chosen) {
    return *chosen;
  }
  int64_t bytes = 1;
  bool cpu = true;
  for (const auto* tensors : {&outputs, &inputs}) {
    for (const auto& tensor : *tensors) {
      bytes += tensor.numel() * static_cast<int64_t>(tensor.element_size());
      cpu &= tensor.is_cpu();
    }
  }
  return std::max<int64_t>(1, (cpu ? kBatchBytes : kDeviceBatchBytes) / bytes);
}

inline std::vector<int64_t> joined(at::IntArrayRef a, at::IntArrayRef b) {
  std::vector<int64_t> shape(a.begin(), a.end());
  shape.insert(shape.end(), b.begin(), b.end());
  return shape;
}

/// unit_rows written straight into memory: a call of the dispatcher would take
/// a noticeable part of the time.
template <class Number>
at::Tensor plain_unit_rows(
    const at::Tensor& like, int64_t offset, int64_t first, int64_t last) {
  const auto columns = like.numel();
  auto block = at::detail::empty_cpu(
      joined({last - first}, like.sizes()), like.scalar_type());
  auto* row = static_cast<Number*>(block.mutable_data_ptr());
  std::memset(row, 0, block.nbytes());
  for (auto i = first; i < last; ++i, row += columns) {
    if (i >= offset && i < offset + columns) {
      row[i - offset] = 1;
    }
  }
  return block;
}

/// Zeros of `shape` with the Python class, dtype and device of `like`.
inline at::Tensor zeros_as(const at::Tensor& like, at::IntArrayRef shape) {
  return is_subclass(like) ? like.detach().new_zeros(shape)
                           : at::zeros(shape, like.options());
}

/// Rows `first` up to `last` of the unit matrix whose columns are the elements
/// of many tensors, restricted to the columns of the tensor `like`, which begin
/// at `offset`. The shape is {last - first} followed by the shape of `like`.
inline at::Tensor unit_rows(
    const at::Tensor& like, int64_t offset, int64_t first, int64_t last) {
  if (is_plain_cpu(like) && like.scalar_type() == at::kFloat) {
    return plain_unit_rows<float>(like, offset, first, last);
  }
  if (is_plain_cpu(like) && like.scalar_type() == at::kDouble) {
    return plain_unit_rows<double>(like, offset, first, last);
  }
  auto block = zeros_as(like, {last - first, like.numel()});
  block.diagonal(first - offset).fill_(1);
  return block.view(joined({last - first}, like.sizes()));
}

inline at::Tensor zero_block(
    const at::Tensor& output, const at::Tensor& input) {
  return zeros_as(input, joined(output.sizes(), input.sizes()));
}

/// A view of `block` whose first `dim` dimensions are moved behind the others.
inline at::Tensor swapped(const at::Tensor& block, int64_t dim) {
  if (dim == 0 || dim == block.dim()) {
    return block;
  }
  if (block.dim() == 2) {
    return block.t();
  }
  std::vector<int64_t> order(block.dim());
  std::iota(order.begin(), order.end(), 0);
  std::rotate(order.begin(), order.begin() + dim, order.end());
  return block.permute(order);
}

}  // namespace libgrad::detail
