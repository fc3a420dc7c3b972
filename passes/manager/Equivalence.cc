#include "passes/manager/Equivalence.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/base/Phases.h"
#include "ir/interp/Interpreter.h"
#include "passes/lift/Probe.h"

namespace dejavu {
namespace {

size_t LogitsIndex(const Function& function) {
  const auto& names = function.return_names();
  const auto it = std::find(names.begin(), names.end(), "logits");
  return it == names.end() ? 0 : static_cast<size_t>(it - names.begin());
}

/// The last row of the logits among `results`.
std::vector<double> LastRow(const Function& function, const std::vector<Tensor>& results) {
  const Tensor& logits = results[LogitsIndex(function)];
  return {logits.floats.end() - logits.dims.back(), logits.floats.end()};
}

/// @prefill over all tokens but the last, then @decode.
absl::StatusOr<std::vector<double>> PrefillThenDecode(Interpreter& interpreter, const Function& prefill,
                                                      const Function& decode, const std::vector<int64_t>& tokens) {
  ASSIGN_OR_RETURN(std::vector<Tensor> arguments, ArgumentsFor(prefill, {tokens.begin(), tokens.end() - 1}));
  ASSIGN_OR_RETURN(const std::vector<Tensor> first, interpreter.Run(prefill, std::move(arguments)));
  ASSIGN_OR_RETURN(arguments, ArgumentsFor(decode, {tokens.back()}));
  for (size_t i = 0; i < decode.num_arguments(); ++i) {
    const std::string& name = decode.argument(i)->name();
    if (name == "past") {
      arguments[i] = Tensor::Scalar(static_cast<int64_t>(tokens.size()) - 1);
    }
    for (size_t r = 0; r < prefill.return_names().size(); ++r) {
      if (prefill.return_names()[r] == name) {
        arguments[i] = first[r];
      }
    }
  }
  ASSIGN_OR_RETURN(const std::vector<Tensor> second, interpreter.Run(decode, std::move(arguments)));
  return LastRow(decode, second);
}

}  // namespace

absl::StatusOr<std::vector<std::vector<double>>> InterpretLogits(const Module& module, WeightStore& weights,
                                                                 const std::vector<int64_t>& tokens) {
  Interpreter interpreter(module, &weights, EvalOptions{.round = false});
  std::vector<std::vector<double>> paths;
  for (const auto& function : module.functions()) {
    if (SequencesOf(function->name()) > 0) {
      continue;
    }
    ASSIGN_OR_RETURN(std::vector<Tensor> arguments, ArgumentsFor(*function, tokens));
    ASSIGN_OR_RETURN(const std::vector<Tensor> results, interpreter.Run(*function, std::move(arguments)));
    paths.push_back(LastRow(*function, results));
  }
  const Function* prefill = module.FindFunction("prefill");
  const Function* decode = module.FindFunction("decode");
  if (prefill != nullptr && decode != nullptr) {
    ASSIGN_OR_RETURN(std::vector<double> logits, PrefillThenDecode(interpreter, *prefill, *decode, tokens));
    paths.push_back(std::move(logits));
  }
  return paths;
}

double RelativeError(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < a.size() && a.size() == b.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) {
      norm += std::isfinite(b[i]) ? b[i] * b[i] : 0;
      continue;
    }
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  const double error = difference == 0 ? 0 : std::sqrt(difference / norm);
  return a.size() == b.size() && std::isfinite(error) ? error : std::numeric_limits<double>::infinity();
}

}  // namespace dejavu
