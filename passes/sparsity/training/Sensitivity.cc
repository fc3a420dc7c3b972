// Reverse-mode differentiation of a decoder, op by op. Only gradients of activations are needed, none of weights.
#include "passes/sparsity/training/Sensitivity.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "ir/import/WeightTransforms.h"
#include "passes/sparsity/training/CausalHead.h"
#include "passes/sparsity/training/LinearAlgebra.h"

namespace dejavu {
namespace {

using Floats = std::vector<float>;

size_t At(int64_t row, int64_t width) { return static_cast<size_t>(row * width); }

/// Sums of one layer's heads.
struct HeadSums {
  std::vector<double> effects;  // of (g . c)^2
  std::vector<double> squares;  // of |c|^2
};

/// A float matrix with its sizes; a vector is one row.
struct Matrix {
  int64_t rows = 0;
  int64_t columns = 0;
  Floats values;
};

absl::StatusOr<Matrix> ReadMatrix(const Value& value, WeightStore& store) {
  ASSIGN_OR_RETURN(Floats values, ReadFloats(*value.weight(), store));
  const int64_t columns = value.type().shape.back().size();
  return Matrix{static_cast<int64_t>(values.size()) / columns, columns, std::move(values)};
}

/// One window's way through a function and back.
class Pass {
 public:
  Pass(const Function& function, WeightStore& store, int threads, uint64_t seed, std::vector<HeadSums>& sums)
      : function_(function), store_(store), threads_(threads), random_(seed), sums_(sums) {}

  absl::Status Run(std::span<const int32_t> tokens, const std::function<absl::Status()>& on_op) {
    tokens_ = tokens;
    rows_ = static_cast<int64_t>(tokens.size());
    for (const auto& op : function_.ops()) {
      RETURN_IF_ERROR(Forwards(*op));
      RETURN_IF_ERROR(on_op());
    }
    SampleGradient();
    layer_ = sums_.size();
    for (auto it = function_.ops().rbegin(); it != function_.ops().rend(); ++it) {
      RETURN_IF_ERROR(Backwards(**it));
      RETURN_IF_ERROR(on_op());
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Forwards(const Operation& op) {
    ASSIGN_OR_RETURN(Floats y, Evaluate(op));
    values_[op.result()] = std::move(y);
    return absl::OkStatus();
  }

  absl::StatusOr<Floats> Evaluate(const Operation& op) {
    if (op.Is("model.embed_tokens")) {
      return EmbedTokens(op);
    }
    const Floats& x = values_[op.operand(op.Is("model.add") ? "a" : "x")];
    if (op.Is("model.embed_positions")) {
      return EmbedPositions(op, x);
    }
    if (op.Is("model.layer_norm")) {
      return LayerNorm(op, x);
    }
    if (op.Is("model.linear")) {
      return Linear(*op.operand("weight"), op.operand("bias"), x);
    }
    if (op.Is("model.mlp")) {
      ASSIGN_OR_RETURN(const Floats h, Hidden(op, x));
      return Linear(*op.operand("fc2"), op.operand("fc2_bias"), h);
    }
    if (op.Is("model.attention")) {
      ASSIGN_OR_RETURN(const Floats mixed, Attend(op, nullptr, nullptr));
      return Linear(*op.operand("out"), op.operand("out_bias"), mixed);
    }
    if (op.Is("model.add")) {
      Floats y = x;
      const Floats& b = values_[op.operand("b")];
      std::transform(y.begin(), y.end(), b.begin(), y.begin(), std::plus<>());
      return y;
    }
    if (op.Is("model.last_token")) {
      return x;  // every token has a next one to tell
    }
    return UserError(op.Describe(), " has no derivative, so that its model's heads cannot be weighed");
  }

  absl::Status Backwards(const Operation& op) {
    const auto found = gradients_.find(op.result());
    if (found == gradients_.end() || op.Is("model.embed_tokens")) {
      return absl::OkStatus();
    }
    const Floats g = std::move(found->second);
    gradients_.erase(found);
    if (op.Is("model.add")) {
      Add(op.operand("a"), g);
      Add(op.operand("b"), g);
      return absl::OkStatus();
    }
    absl::StatusOr<Floats> back = g;  // embed_positions and last_token
    if (op.Is("model.layer_norm")) {
      back = LayerNormBack(op, g);
    } else if (op.Is("model.linear")) {
      back = LinearBack(*op.operand("weight"), g);
    } else if (op.Is("model.mlp")) {
      back = MlpBack(op, g);
    } else if (op.Is("model.attention")) {
      back = AttentionBack(op, g);
    }
    RETURN_IF_ERROR(back.status());
    Add(op.operand("x"), *back);
    return absl::OkStatus();
  }

  void Add(const Value* value, const Floats& g) {
    Floats& sum = gradients_[value];
    sum.resize(g.size());
    std::transform(sum.begin(), sum.end(), g.begin(), sum.begin(), std::plus<>());
  }

  /// Of the log-likelihood of a token drawn at each position.
  void SampleGradient() {
    const auto& names = function_.return_names();
    const auto at = static_cast<size_t>(std::find(names.begin(), names.end(), "logits") - names.begin());
    const Value* logits = function_.returns()[at < names.size() ? at : 0];
    Floats g = std::move(values_[logits]);
    const auto vocab = static_cast<int64_t>(g.size()) / rows_;
    for (int64_t t = 0; t < rows_; ++t) {
      float* row = g.data() + t * vocab;
      const float most = *std::max_element(row, row + vocab);
      double sum = 0;
      for (int64_t i = 0; i < vocab; ++i) {
        row[i] = std::exp(row[i] - most);
        sum += row[i];
      }
      const double draw = static_cast<double>(random_() >> 11U) * 0x1p-53 * sum;
      double passed = 0;
      int64_t drawn = 0;
      for (int64_t i = 0; i < vocab; ++i) {
        drawn = passed <= draw ? i : drawn;
        passed += row[i];
        row[i] = static_cast<float>(-row[i] / sum);
      }
      row[drawn] += 1;
    }
    gradients_[logits] = std::move(g);
  }

  absl::StatusOr<Floats> EmbedTokens(const Operation& op) {
    ASSIGN_OR_RETURN(const WeightData table, store_.Read(*op.operand("table")->weight()));
    const int64_t width = table.dims[1];
    Floats y(At(rows_, width));
    for (int64_t t = 0; t < rows_; ++t) {
      const int64_t id = tokens_[static_cast<size_t>(t)];
      if (id < 0 || id >= table.dims[0]) {
        return UserError("token ", t, " is ", id, ", but the model knows 0 to ", table.dims[0] - 1);
      }
      for (int64_t j = 0; j < width; ++j) {
        y[At(t, width) + static_cast<size_t>(j)] =
            static_cast<float>(LoadAsDouble(table.dtype, table.data, At(id, width) + static_cast<size_t>(j)));
      }
    }
    return y;
  }

  absl::StatusOr<Floats> EmbedPositions(const Operation& op, const Floats& x) {
    ASSIGN_OR_RETURN(const Matrix table, ReadMatrix(*op.operand("table"), store_));
    const int64_t offset = *op.GetAttribute<int64_t>("offset");
    if (offset + rows_ > table.rows) {
      return UserError("a window has ", rows_, " tokens, but the model has ", table.rows - offset, " positions");
    }
    Floats y = x;
    const float* from = table.values.data() + offset * table.columns;
    std::transform(y.begin(), y.end(), from, y.begin(), std::plus<>());
    return y;
  }

  /// Makes each row of `x` mean 0 and variance 1, and returns what it was multiplied by.
  static Floats Normalize(int64_t width, double epsilon, Floats& x) {
    Floats scales;
    for (auto row = x.begin(); row != x.end(); row += width) {
      double mean = 0;
      std::for_each(row, row + width, [&](float value) { mean += value / static_cast<double>(width); });
      double variance = 0;
      std::for_each(row, row + width,
                    [&](float value) { variance += (value - mean) * (value - mean) / static_cast<double>(width); });
      const double scale = 1 / std::sqrt(variance + epsilon);
      std::transform(row, row + width, row, [&](float value) { return static_cast<float>((value - mean) * scale); });
      scales.push_back(static_cast<float>(scale));
    }
    return scales;
  }

  absl::StatusOr<Floats> LayerNorm(const Operation& op, const Floats& x) {
    ASSIGN_OR_RETURN(const Matrix gamma, ReadMatrix(*op.operand("gamma"), store_));
    ASSIGN_OR_RETURN(const Matrix beta, ReadMatrix(*op.operand("beta"), store_));
    Floats y = x;
    Normalize(gamma.columns, *op.GetAttribute<double>("epsilon"), y);
    for (size_t i = 0; i < y.size(); ++i) {
      const size_t j = i % gamma.values.size();
      y[i] = y[i] * gamma.values[j] + beta.values[j];
    }
    return y;
  }

  absl::StatusOr<Floats> LayerNormBack(const Operation& op, const Floats& g) {
    ASSIGN_OR_RETURN(const Matrix gamma, ReadMatrix(*op.operand("gamma"), store_));
    const int64_t width = gamma.columns;
    Floats x = values_[op.operand("x")];
    const Floats scales = Normalize(width, *op.GetAttribute<double>("epsilon"), x);
    Floats back(g.size());
    for (int64_t t = 0; t < rows_; ++t) {
      const float* row = x.data() + t * width;
      double mean = 0;
      double along = 0;
      for (int64_t j = 0; j < width; ++j) {
        const double value = g[At(t, width) + static_cast<size_t>(j)] * gamma.values[static_cast<size_t>(j)];
        mean += value / static_cast<double>(width);
        along += value * row[j] / static_cast<double>(width);
      }
      for (int64_t j = 0; j < width; ++j) {
        const size_t at = At(t, width) + static_cast<size_t>(j);
        const double value = g[at] * gamma.values[static_cast<size_t>(j)];
        back[at] = static_cast<float>((value - mean - row[j] * along) * scales[static_cast<size_t>(t)]);
      }
    }
    return back;
  }

  /// x w^T + bias
  absl::StatusOr<Floats> Linear(const Value& weight, const Value* bias, const Floats& x) {
    ASSIGN_OR_RETURN(const Matrix w, ReadMatrix(weight, store_));
    Matrix b;
    if (bias != nullptr) {
      ASSIGN_OR_RETURN(b, ReadMatrix(*bias, store_));
    }
    Floats y(At(rows_, w.rows));
    dejavu::Linear({rows_, w.rows, w.columns}, x.data(), w.values.data(), bias != nullptr ? b.values.data() : nullptr,
                   threads_, y.data());
    return y;
  }

  /// g w
  absl::StatusOr<Floats> LinearBack(const Value& weight, const Floats& g) {
    ASSIGN_OR_RETURN(const Matrix w, ReadMatrix(weight, store_));
    Floats back(At(rows_, w.columns));
    Multiply({.m = rows_,
              .n = w.columns,
              .k = w.rows,
              .a = g.data(),
              .a_stride = w.rows,
              .b = w.values.data(),
              .b_stride = w.columns,
              .c = back.data()},
             threads_);
    return back;
  }

  absl::StatusOr<Floats> Hidden(const Operation& op, const Floats& x) {
    ASSIGN_OR_RETURN(Floats h, Linear(*op.operand("fc1"), op.operand("fc1_bias"), x));
    std::for_each(h.begin(), h.end(), [](float& value) { value = std::max(value, 0.0F); });
    return h;
  }

  absl::StatusOr<Floats> MlpBack(const Operation& op, const Floats& g) {
    ASSIGN_OR_RETURN(const Floats h, Hidden(op, values_[op.operand("x")]));
    ASSIGN_OR_RETURN(Floats back, LinearBack(*op.operand("fc2"), g));
    for (size_t i = 0; i < h.size(); ++i) {
      back[i] = h[i] > 0 ? back[i] : 0;
    }
    return LinearBack(*op.operand("fc1"), back);
  }

  /// What the heads put out. With `g`, its gradient, also adds to `back`, those of q, k and v.
  absl::StatusOr<Floats> Attend(const Operation& op, const Floats* g, std::vector<Floats>* back) {
    const Floats& x = values_[op.operand("x")];
    ASSIGN_OR_RETURN(const Floats q, Linear(*op.operand("q"), op.operand("q_bias"), x));
    ASSIGN_OR_RETURN(const Floats k, Linear(*op.operand("k"), op.operand("k_bias"), x));
    ASSIGN_OR_RETURN(const Floats v, Linear(*op.operand("v"), op.operand("v_bias"), x));
    const int64_t heads = op.operand("cache")->type().shape[1].size();
    const auto scale = static_cast<float>(*op.GetAttribute<double>("scale"));
    Floats mixed(q.size());
    for (int64_t number = 0; number < heads; ++number) {
      const CausalHead head(ColumnsOf(q, rows_, number, heads), ColumnsOf(k, rows_, number, heads),
                            ColumnsOf(v, rows_, number, heads), rows_, scale, threads_);
      SetColumnsOf(head.Output(), rows_, number, heads, mixed);
      if (g != nullptr) {
        const CausalHead::Gradients gradients = head.Back(ColumnsOf(*g, rows_, number, heads));
        SetColumnsOf(gradients.q, rows_, number, heads, (*back)[0]);
        SetColumnsOf(gradients.k, rows_, number, heads, (*back)[1]);
        SetColumnsOf(gradients.v, rows_, number, heads, (*back)[2]);
      }
    }
    return mixed;
  }

  absl::StatusOr<Floats> AttentionBack(const Operation& op, const Floats& g) {
    ASSIGN_OR_RETURN(const Floats through, LinearBack(*op.operand("out"), g));
    std::vector<Floats> parts(3, Floats(through.size()));
    ASSIGN_OR_RETURN(const Floats mixed, Attend(op, &through, &parts));
    RETURN_IF_ERROR(Count(op, mixed, through));
    Floats back;
    for (size_t i = 0; i < parts.size(); ++i) {
      constexpr std::string_view kNames[] = {"q", "k", "v"};
      ASSIGN_OR_RETURN(const Floats part, LinearBack(*op.operand(kNames[i]), parts[i]));
      back.resize(part.size());
      std::transform(back.begin(), back.end(), part.begin(), back.begin(), std::plus<>());
    }
    return back;
  }

  /// Adds up (g . c)^2 and |c|^2 of each head.
  absl::Status Count(const Operation& op, const Floats& mixed, const Floats& through) {
    ASSIGN_OR_RETURN(const Matrix out, ReadMatrix(*op.operand("out"), store_));
    HeadSums& sums = sums_[--layer_];
    const auto heads = static_cast<int64_t>(sums.effects.size());
    const int64_t dim = out.columns / heads;
    for (int64_t head = 0; head < heads; ++head) {
      const Floats o = ColumnsOf(mixed, rows_, head, heads);
      const Floats g = ColumnsOf(through, rows_, head, heads);
      Floats added(At(rows_, out.rows));
      Multiply({.m = rows_,
                .n = out.rows,
                .k = dim,
                .a = o.data(),
                .a_stride = dim,
                .b = out.values.data() + head * dim,
                .b_stride = out.columns,
                .b_transposed = true,
                .c = added.data()},
               threads_);
      for (int64_t t = 0; t < rows_; ++t) {
        double effect = 0;
        for (int64_t j = 0; j < dim; ++j) {
          const size_t at = At(t, dim) + static_cast<size_t>(j);
          effect += static_cast<double>(o[at]) * g[at];
        }
        sums.effects[static_cast<size_t>(head)] += effect * effect;
      }
      for (const float value : added) {
        sums.squares[static_cast<size_t>(head)] += static_cast<double>(value) * value;
      }
    }
    return absl::OkStatus();
  }

  const Function& function_;
  WeightStore& store_;
  int threads_;
  std::mt19937_64 random_;
  std::vector<HeadSums>& sums_;
  size_t layer_ = 0;
  std::span<const int32_t> tokens_;
  int64_t rows_ = 0;
  std::map<const Value*, Floats> values_;     // what each op gives, (rows, width)
  std::map<const Value*, Floats> gradients_;  // of those that ops further up still wait for
};

}  // namespace

absl::StatusOr<std::vector<std::vector<double>>> MeasureSensitivity(const Function& function, WeightStore& store,
                                                                    std::span<const std::vector<int32_t>> windows,
                                                                    int threads, const OnShare& on_share) {
  UseSerialSgemm();
  std::vector<HeadSums> sums;
  for (const auto& op : function.ops()) {
    if (op->Is("model.attention")) {
      const auto heads = static_cast<size_t>(op->operand("cache")->type().shape[1].size());
      sums.push_back({std::vector<double>(heads), std::vector<double>(heads)});
    }
  }
  const double steps = 2.0 * static_cast<double>(function.ops().size() * windows.size());
  double done = 0;
  for (size_t i = 0; i < windows.size(); ++i) {
    Pass pass(function, store, threads, i, sums);
    RETURN_IF_ERROR(pass.Run(windows[i], [&] { return on_share(++done / steps); }));
  }
  std::vector<std::vector<double>> result;
  for (const HeadSums& layer : sums) {
    result.emplace_back();
    for (size_t head = 0; head < layer.effects.size(); ++head) {
      // A head that never adds anything matters as little as can be told.
      const double ratio = layer.squares[head] > 0 ? layer.effects[head] / layer.squares[head] : 0;
      if (!std::isfinite(ratio)) {
        return UserError("layer ", result.size() - 1,
                         ": the gradient at its heads is infinite or NaN: the model's "
                         "weights are damaged or its numbers overflow");
      }
      result.back().push_back(std::max(ratio, 1e-30));
    }
  }
  return result;
}

}  // namespace dejavu
