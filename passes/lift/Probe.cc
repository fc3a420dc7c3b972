#include "passes/lift/Probe.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ir/interp/Interpreter.h"

namespace dejavu {
namespace {

Tensor IntTensor(DType dtype, std::vector<int64_t> dims, std::vector<int64_t> values) {
  Tensor tensor;
  tensor.dtype = dtype;
  tensor.dims = std::move(dims);
  tensor.ints = std::move(values);
  return tensor;
}

/// Shapes (1, n) or (n), as the argument's rank says.
std::vector<int64_t> RowDims(const Value& argument, int64_t n) {
  return argument.type().rank() == 1 ? std::vector<int64_t>{n} : std::vector<int64_t>{1, n};
}

absl::StatusOr<Tensor> PastArgument(const Value& argument, int64_t past, bool known) {
  std::vector<int64_t> dims;
  const Shape& shape = argument.type().shape;
  if (shape.size() != 4 || !shape[1].is_static() || !shape[3].is_static()) {
    return UserError("input '", argument.name(),
                     "' must be (batch, heads, past, head size) with fixed heads and size, ", "but is ",
                     argument.type().ToString());
  }
  Tensor tensor = Tensor::Unknown(argument.type().dtype, {1, shape[1].size(), past, shape[3].size()});
  if (known) {
    tensor.known = true;
    tensor.floats.assign(static_cast<size_t>(tensor.NumElements()), 0.0);
  }
  return tensor;
}

/// What sparse.lazy_attention has beside a cache: the inputs of past tokens, or how many of them each head knows.
bool IsLazyState(const Value& argument) {
  return argument.type().rank() == 4 &&
         (argument.name().starts_with("inputs") || argument.name().starts_with("filled"));
}

absl::StatusOr<Tensor> Argument(const Value& argument, const std::vector<int64_t>& tokens, int64_t past, bool known) {
  const auto count = static_cast<int64_t>(tokens.size());
  const std::string& name = argument.name();
  const DType dtype = argument.type().dtype;
  if (name == "past") {
    return Tensor::Scalar(past);
  }
  if (IsCacheArgument(argument)) {
    const Shape& shape = argument.type().shape;
    Tensor cache = Tensor::Unknown(DType::kF32, {2, shape[1].size(), past, shape[3].size()});
    if (known) {
      cache.known = true;
      cache.floats.assign(static_cast<size_t>(cache.NumElements()), 0.0);
    }
    return cache;
  }
  if (IsLazyState(argument)) {
    std::vector<int64_t> dims;
    for (const Dim& dim : argument.type().shape) {
      dims.push_back(dim.is_static() ? dim.size() : past);
    }
    Tensor state = Tensor::Unknown(dtype, std::move(dims));
    if (known) {
      state.known = true;
      const auto count_of_state = static_cast<size_t>(state.NumElements());
      state.floats.assign(IsFloat(dtype) ? count_of_state : 0, 0.0);
      state.ints.assign(IsFloat(dtype) ? 0 : count_of_state, past);
    }
    return state;
  }
  if (IsPastArgument(argument)) {
    return PastArgument(argument, past, known);
  }
  if (IsFloat(dtype)) {
    return UserError("input '", name,
                     "' is not one of an OPT decoder: input_ids, attention_mask, position_ids and "
                     "past_key_values.N.key and .value");
  }
  if (name == "tokens" || name == "token" || name == "input_ids") {
    return IntTensor(dtype, RowDims(argument, count), tokens);
  }
  if (name == "attention_mask") {
    return IntTensor(dtype, RowDims(argument, past + count), std::vector<int64_t>(past + count, 1));
  }
  if (name == "position_ids") {
    std::vector<int64_t> positions(tokens.size());
    for (int64_t t = 0; t < count; ++t) {
      positions[t] = past + t;
    }
    return IntTensor(dtype, RowDims(argument, count), std::move(positions));
  }
  return UserError("input '", name,
                   "' is not one of an OPT decoder: input_ids, attention_mask, position_ids and "
                   "past_key_values.N.key and .value");
}

absl::StatusOr<std::vector<Tensor>> Arguments(const Function& function, const std::vector<int64_t>& tokens,
                                              int64_t past, bool known) {
  std::vector<Tensor> arguments;
  for (size_t i = 0; i < function.num_arguments(); ++i) {
    ASSIGN_OR_RETURN(Tensor tensor, Argument(*function.argument(i), tokens, past, known));
    arguments.push_back(std::move(tensor));
  }
  return arguments;
}

/// The rows of the smallest and the largest table that is looked up: positions and vocabulary.
std::pair<int64_t, int64_t> TableRows(const Function& function) {
  int64_t smallest = 0;
  int64_t largest = 0;
  for (const auto& op : function.ops()) {
    const bool lookup = op->Is("onnx.Gather") || op->Is("model.embed_tokens") || op->Is("model.embed_positions");
    for (size_t i = 0; lookup && i < op->num_operands(); ++i) {
      const Value* operand = op->operand(i);
      if (operand != nullptr && operand->weight() != nullptr && operand->type().rank() == 2) {
        const int64_t rows = operand->type().shape[0].size();
        smallest = smallest == 0 ? rows : std::min(smallest, rows);
        largest = std::max(largest, rows);
      }
    }
  }
  return {smallest, largest};
}

/// Token ids over the whole vocabulary, the special ones first, in an order that no run of positions has.
std::vector<int64_t> ProbeTokens(int64_t count, int64_t vocab) {
  std::vector<int64_t> tokens = {3, 1, 0, 2};
  for (int64_t t = 4; t < count; ++t) {
    tokens.push_back((vocab - 1 + 7919 * t) % std::max<int64_t>(vocab, 4));
  }
  tokens.resize(static_cast<size_t>(count));
  return tokens;
}

}  // namespace

bool IsPastArgument(const Value& argument) {
  return argument.name().starts_with("past_key_values.") || argument.name().starts_with("past.");
}

bool IsCacheArgument(const Value& argument) { return argument.name().starts_with("kv") && argument.type().rank() == 4; }

absl::StatusOr<std::vector<Tensor>> ArgumentsFor(const Function& function, const std::vector<int64_t>& tokens) {
  return Arguments(function, tokens, 0, /*known=*/true);
}

absl::StatusOr<Probe> Probe::Run(const Module& module, const Function& function, WeightStore* weights) {
  Probe probe;
  bool has_past = false;
  for (size_t i = 0; i < function.num_arguments(); ++i) {
    const Value& argument = *function.argument(i);
    has_past = has_past || IsPastArgument(argument) || IsCacheArgument(argument);
  }
  // Sizes whose sums and values all differ, so that every dimension has one explanation; the last as long as the
  // positions allow within reason, for masks that change with distance.
  constexpr int64_t kLong = 131;
  constexpr int64_t kReserved = 2;  // rows that no position of an OPT uses
  const auto [positions, vocab] = TableRows(function);
  const int64_t longest = std::clamp(positions - kReserved, int64_t{13}, kLong);
  if (has_past) {
    probe.sizes_ = {{{5, 3}, {7, 11}, {longest / 2, longest - longest / 2}}};
  } else {
    probe.sizes_ = {{{5, 0}, {7, 0}, {longest, 0}}};
  }
  for (size_t i = 0; i < kCount; ++i) {
    const auto [tokens, past] = probe.sizes_[i];
    ASSIGN_OR_RETURN(std::vector<Tensor> arguments,
                     Arguments(function, ProbeTokens(tokens, vocab), past, /*known=*/false));
    for (size_t a = 0; a < arguments.size(); ++a) {
      probe.values_[i][function.argument(a)] = arguments[a];
    }
    // A hostile graph must not take the machine's memory; no mask of these sizes comes near it.
    constexpr int64_t kMost = int64_t{1} << 24;
    Interpreter interpreter(module, weights, EvalOptions{.max_elements = kMost});
    interpreter.set_abstract();
    interpreter.set_symbols({{"tokens", tokens}, {"past", past}, {"context", tokens + past}});
    interpreter.set_observer([&](const Operation& op, const std::vector<Tensor>& results) {
      for (size_t r = 0; r < op.num_results() && r < results.size(); ++r) {
        probe.values_[i][op.result(r)] = results[r];
      }
    });
    RETURN_IF_ERROR(interpreter.Run(function, std::move(arguments)).status());
  }
  return probe;
}

const Tensor* Probe::Find(size_t probe, const Value* value) const {
  auto it = values_[probe].find(value);
  return it == values_[probe].end() ? nullptr : &it->second;
}

bool Probe::IsKnown(const Value* value) const {
  for (size_t i = 0; i < kCount; ++i) {
    const Tensor* tensor = Find(i, value);
    if (tensor == nullptr || !tensor->known) {
      return false;
    }
  }
  return true;
}

std::optional<Dim> Probe::Fit(const std::array<int64_t, kCount>& dims) const {
  const auto fits = [&](auto size) {
    for (size_t i = 0; i < kCount; ++i) {
      if (dims[i] != size(sizes_[i])) {
        return false;
      }
    }
    return true;
  };
  if (fits([&](const ProbeSize&) { return dims[0]; })) {
    return Dim(dims[0]);
  }
  if (fits([](const ProbeSize& s) { return s.tokens; })) {
    return Dim("tokens");
  }
  if (fits([](const ProbeSize& s) { return s.past; })) {
    return Dim("past");
  }
  if (fits([](const ProbeSize& s) { return s.past + s.tokens; })) {
    return Dim("context");
  }
  return std::nullopt;
}

}  // namespace dejavu
