/// libgrad/functional/rows.h -- the rows of a Jacobian, from outputs with a
/// graph.

#pragma once

#include <libgrad/functional/basis.h>
#include <libgrad/functional/fallback.h>
#include <libgrad/functional/strict.h>
#include <libgrad/torch/transforms/functorch.h>
#include <libgrad/torch/transforms/wrong_rules.h>

namespace libgrad::detail {

/// Entry [i][j] is the block of output i and input j. Its shape is the output's
/// shape followed by the input's.
using Matrix = std::vector<variable_list>;

struct RowOptions {
  bool create_graph = false;
  bool strict = false;
  std::optional<int64_t> chunk_size = std::nullopt;
};

/// The result of `make` by the direct route to the batching rules, or, where
/// that throws, through functorch's interpreter.
template <class Make>
auto by_either_route(const Make& make) {
  try {
    return make(Route::direct);
  } catch (const std::exception& error) {
    rethrow_if_final(error);
  }
  return make(Route::interpreter);
}

/// The rows of the Jacobian of `outputs`: one for each element of the outputs
/// that have a graph. The blocks of other outputs are zero. Dtype and device
/// are those of the inputs. The graph is kept. The arguments must outlive this
/// object.
class Rows {
 public:
  Rows(
      const Call& call,
      const variable_list& outputs,
      const variable_list& inputs,
      const RowOptions& options)
      : call_(call),
        outputs_(outputs),
        inputs_(inputs),
        options_(options) {
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].defined() && outputs[i].requires_grad()) {
        blocks_.push_back({i, outputs[i], count_});
        count_ += outputs[i].numel();
      }
    }
    step_ = rows_at_once(options.chunk_size, outputs, inputs);
  }

  int64_t count() const { return count_; }

  /// Rows `first` to `last`, one tensor for each input; undefined where all of
  /// them are zero. Batching rules compute many rows at a time. Throws where
  /// batching rules are missing or known to be wrong.
  variable_list batched(int64_t first, int64_t last) const {
    check_rules(outputs_);
    return by_either_route([&](Route route) {
      return chunks(first, last, [&](int64_t a, int64_t b) {
        return batch(a, b, route);
      });
    });
  }

  /// Rows `first` to `last`, with one call of the engine for each row.
  variable_list looped(int64_t first, int64_t last) const {
    return chunks(
        first, last, [&](int64_t a, int64_t b) { return loop(a, b); });
  }

  /// The matrix, assembled from all of its rows.
  Matrix by_output(const variable_list& rows) const {
    Matrix result(outputs_.size(), variable_list(inputs_.size()));
    for (const auto& block : blocks_) {
      for (size_t i = 0; i < rows.size(); ++i) {
        if (rows[i].defined()) {
          const auto size = block.output.numel();
          const auto mine =
              size == count_ ? rows[i] : rows[i].narrow(0, block.offset, size);
          result[block.place][i] =
              block.output.dim() == 1
                  ? mine
                  : mine.reshape(
                        joined(block.output.sizes(), inputs_[i].sizes()));
        }
      }
    }
    for (size_t k = 0; k < result.size(); ++k) {
      for (size_t i = 0; i < inputs_.size(); ++i) {
        if (!result[k][i].defined()) {
          result[k][i] = zero_block(outputs_[k], inputs_[i]);
        }
      }
    }
    return result;
  }

 private:
  struct Block {
    size_t place;  // among the outputs
    at::Tensor output;
    int64_t offset;  // its first row
    int64_t end() const { return offset + output.numel(); }
  };

  /// Rows `a` to `b` in one batch, as `batched` returns them.
  variable_list batch(int64_t a, int64_t b, Route route) const {
    variable_list outputs, seeds;
    for (const auto& block : blocks_) {
      if (block.offset < b && block.end() > a) {
        outputs.push_back(block.output);
        seeds.push_back(unit_rows(block.output, block.offset, a, b));
      }
    }
    const auto rows = [&](const variable_list& vectors) {
      return pull(
          call_, outputs, inputs_, vectors, true, options_.create_graph);
    };
    auto result = run_mapped(b - a, seeds, rows, route);
    for (auto& tensor : result) {
      if (tensor.defined() && tensor.layout() == at::kStrided &&
          !tensor.is_non_overlapping_and_dense()) {
        tensor = tensor.contiguous();  // expanded tensors share their elements
      }
    }
    return result;
  }

  variable_list loop(int64_t a, int64_t b) const {
    Matrix columns(inputs_.size());
    for (const auto& block : blocks_) {
      const auto first = std::max(a, block.offset);
      const auto last = std::min(b, block.end());
      if (first >= last) {
        continue;
      }
      const auto units = unit_rows(block.output, block.offset, first, last);
      for (const auto& unit : units.unbind(0)) {
        auto row = pull(
            call_,
            {block.output},
            inputs_,
            {unit},
            true,
            options_.create_graph);
        if (options_.strict) {
          check_row(call_, row, block.place, options_.create_graph);
        }
        fill_zeros(row, inputs_);
        for (size_t i = 0; i < row.size(); ++i) {
          const bool dense = row[i].layout() == at::kStrided;
          columns[i].push_back(dense ? row[i] : row[i].to_dense());
        }
      }
    }
    variable_list result;
    for (const auto& column : columns) {
      result.push_back(at::stack(column));  // a copy, also of a single row
    }
    return result;
  }

  /// Rows `first` to `last`, one tensor for each input, joined from chunks:
  /// `make(a, b)` computes rows a to b.
  template <class Make>
  variable_list chunks(int64_t first, int64_t last, const Make& make) const {
    const auto count = last - first;
    if (count == 0) {
      return variable_list(inputs_.size());
    }
    if (count <= step_) {
      return make(first, last);
    }
    Matrix parts(inputs_.size());
    variable_list whole(inputs_.size());
    for (int64_t a = first; a < last; a += step_) {
      const auto b = std::min(a + step_, last);
      auto chunk = make(a, b);
      for (size_t i = 0; i < chunk.size(); ++i) {
        if (!chunk[i].defined()) {
          const auto shape = joined({b - a}, inputs_[i].sizes());
          chunk[i] = at::zeros_like(inputs_[i].detach()).expand(shape);
        }
        if (options_.create_graph) {
          parts[i].push_back(chunk[i]);
          continue;
        }
        if (a == first) {
          const auto shape = joined({count}, inputs_[i].sizes());
          whole[i] = chunk[i].new_empty(shape);
        }
        whole[i].narrow(0, a - first, b - a).copy_(chunk[i]);
      }
    }
    for (size_t i = 0; options_.create_graph && i < parts.size(); ++i) {
      whole[i] = at::cat(parts[i]);
    }
    return whole;
  }

  const Call& call_;
  const variable_list& outputs_;
  const variable_list& inputs_;
  RowOptions options_;
  std::vector<Block> blocks_;
  int64_t count_ = 0;
  int64_t step_ = 1;
};

}  // namespace libgrad::detail
