#include "ir/interp/OnnxEval.h"

#include <algorithm>
#include <array>

#include "absl/strings/string_view.h"
#include "ir/interp/OnnxEvalOps.h"

namespace dejavu {
namespace onnx_eval {
namespace {

absl::string_view Text(std::string_view text) { return {text.data(), text.size()}; }

template <typename T>
absl::StatusOr<std::optional<T>> Find(const AttributeMap& attributes, std::string_view name, absl::string_view kind) {
  const auto it = attributes.find(name);
  if (it == attributes.end()) {
    return std::optional<T>();
  }
  if (!std::holds_alternative<T>(it->second)) {
    return UserError("attribute '", Text(name), "' must be ", kind);
  }
  return std::optional<T>(std::get<T>(it->second));
}

}  // namespace

absl::StatusOr<int64_t> Call::Int(std::string_view name, int64_t fallback) const {
  ASSIGN_OR_RETURN(const auto value, Find<int64_t>(attributes, name, "an integer"));
  return value.value_or(fallback);
}

absl::StatusOr<double> Call::Float(std::string_view name, double fallback) const {
  ASSIGN_OR_RETURN(const auto value, Find<double>(attributes, name, "a number with a fraction"));
  return value.value_or(fallback);
}

absl::StatusOr<std::string> Call::String(std::string_view name, std::string_view fallback) const {
  ASSIGN_OR_RETURN(const auto value, Find<std::string>(attributes, name, "a string"));
  return value.value_or(std::string(fallback));
}

absl::StatusOr<std::optional<std::vector<int64_t>>> Call::Ints(std::string_view name) const {
  return Find<std::vector<int64_t>>(attributes, name, "a list of integers");
}

absl::StatusOr<std::vector<int64_t>> Call::RequiredInts(size_t index, std::string_view what) const {
  const Tensor& tensor = input(index);
  if (!tensor.known) {
    return UserError("the result's shape depends on '", Text(what), "', which is computed from weights or data");
  }
  if (IsFloat(tensor.dtype) || tensor.rank() > 1) {
    return UserError("'", Text(what), "' must be a list of integers, but is ", Text(DTypeName(tensor.dtype)),
                     DimsToString(tensor.dims));
  }
  return tensor.ints;
}

absl::StatusOr<std::optional<std::vector<int64_t>>> Call::IntsInput(size_t index, std::string_view what) const {
  if (optional(index) == nullptr) {
    return std::optional<std::vector<int64_t>>();
  }
  ASSIGN_OR_RETURN(std::vector<int64_t> values, RequiredInts(index, what));
  return std::optional(std::move(values));
}

absl::StatusOr<Tensor> Call::Zeros(DType dtype, std::vector<int64_t> dims) const {
  ASSIGN_OR_RETURN(const int64_t count, CheckedNumElements(dims));
  if (count > options.max_elements) {
    return UserError("a tensor of shape ", DimsToString(dims), " has more than ", options.max_elements,
                     " elements, the most that is computed here");
  }
  return Tensor::Zeros(dtype, std::move(dims));
}

absl::StatusOr<Tensor> Call::NewResult(DType dtype, std::vector<int64_t> dims) const {
  for (const Tensor* tensor : inputs) {
    if (tensor != nullptr && !tensor->known) {
      RETURN_IF_ERROR(CheckedNumElements(dims).status());
      return Tensor::Unknown(dtype, std::move(dims));
    }
  }
  return Zeros(dtype, std::move(dims));
}

Results Call::Rounded(Tensor tensor) const {
  if (options.round) {
    for (double& value : tensor.floats) {
      value = RoundToDType(value, tensor.dtype);
    }
  }
  return Single(std::move(tensor));
}

absl::Status ExpectDType(const Tensor& tensor, DType dtype, std::string_view what) {
  if (tensor.dtype != dtype) {
    return UserError("'", Text(what), "' must be ", Text(DTypeName(dtype)), ", but is ", Text(DTypeName(tensor.dtype)));
  }
  return absl::OkStatus();
}

absl::Status ExpectSameDType(const Tensor& a, const Tensor& b) {
  if (a.dtype != b.dtype) {
    return UserError("operands must have the same element type, but are ", Text(DTypeName(a.dtype)), " and ",
                     Text(DTypeName(b.dtype)));
  }
  return absl::OkStatus();
}

absl::Status ExpectFloat(const Tensor& tensor) {
  if (!IsFloat(tensor.dtype)) {
    return UserError("operand must be a float tensor, but is ", Text(DTypeName(tensor.dtype)));
  }
  return absl::OkStatus();
}

}  // namespace onnx_eval

namespace {

using onnx_eval::Call;
using onnx_eval::kMany;
using onnx_eval::Results;

template <Results (*kEval)(const Call&), int kLeast, int kMost>
Results CheckAndEval(const AttributeMap& attributes, absl::Span<const Tensor* const> inputs, int opset,
                     const EvalOptions& options) {
  if (inputs.size() < kLeast || inputs.size() > kMost) {
    return UserError("has ", inputs.size(), " inputs, but takes ", kLeast,
                     kLeast == kMost  ? ""
                     : kMost == kMany ? " or more"
                                      : absl::StrCat(" to ", kMost));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] == nullptr && (i < kLeast || kMost == kMany)) {
      return UserError("input #", i, " is required, but absent");
    }
  }
  return kEval(Call{attributes, inputs, opset, options});
}

struct OnnxEntry {
  std::string_view name;
  OnnxEvalFn eval;
};

#define DEJAVU_ONNX_ENTRY(name, least, most) OnnxEntry{#name, &CheckAndEval<&onnx_eval::Eval##name, least, most>},
constexpr auto kTable = std::to_array<OnnxEntry>({DEJAVU_ONNX_OPS(DEJAVU_ONNX_ENTRY)});
#undef DEJAVU_ONNX_ENTRY

static_assert(std::is_sorted(kTable.begin(), kTable.end(),
                             [](const OnnxEntry& a, const OnnxEntry& b) { return a.name < b.name; }),
              "DEJAVU_ONNX_OPS must be sorted by name");

}  // namespace

OnnxEvalFn FindOnnxEval(std::string_view op_type) {
  const auto* it = std::lower_bound(kTable.begin(), kTable.end(), op_type,
                                    [](const OnnxEntry& entry, std::string_view name) { return entry.name < name; });
  return it != kTable.end() && it->name == op_type ? it->eval : nullptr;
}

}  // namespace dejavu
