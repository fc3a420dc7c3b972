#include "passes/sparsity/PredictorPlan.h"

#include <cmath>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "ir/base/QuantizedCopy.h"
#include "passes/sparsity/Profile.h"

namespace dejavu {
namespace {

bool ReadNumber(const std::string& text, double* number) {
  char* end = nullptr;
  *number = std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0' && std::isfinite(*number);
}

}  // namespace

absl::Status CheckCopyOptions(const CopyOptions& options) {
  if (!IsCopyBits(options.bits)) {
    return UsageError("insert-predictors: option 'bits' must be 2, 3, 4 or 8, but is ", options.bits);
  }
  if (!IsCopyGroup(options.group)) {
    return UsageError("insert-predictors: option 'group' must be 32, 64 or 128, but is ", options.group);
  }
  return std::abs(options.margin) <= 1e6 ? absl::OkStatus()
                                         : UsageError(
                                               "insert-predictors: option 'margin' must be a number from -1e6 "
                                               "to 1e6, but is ",
                                               options.margin);
}

absl::StatusOr<LayerPredictor> ParseLayerPredictor(std::string_view word) {
  const std::vector<std::string> parts = absl::StrSplit(absl::string_view(word.data(), word.size()), '/');
  LayerPredictor predictor;
  if (parts.size() == 1 && (parts[0] == "none" || parts[0] == "certified")) {
    predictor.family = parts[0] == "none" ? PredictorFamily::kNone : PredictorFamily::kCertified;
    return predictor;
  }
  CopyOptions& copy = predictor.copy;
  if (parts.size() == 4 && parts[0] == "copy" && absl::SimpleAtoi(parts[1], &copy.bits) &&
      absl::SimpleAtoi(parts[2], &copy.group) && ReadNumber(parts[3], &copy.margin)) {
    predictor.family = PredictorFamily::kCopy;
    RETURN_IF_ERROR(CheckCopyOptions(copy));
    return predictor;
  }
  if (parts.size() == 2 && parts[0] == "low-rank" && ReadNumber(parts[1], &predictor.mass) && predictor.mass > 0 &&
      predictor.mass <= 1) {
    predictor.family = PredictorFamily::kLowRank;
    return predictor;
  }
  return UsageError(
      "insert-predictors: option 'plan' must have none, certified, copy/BITS/GROUP/MARGIN or "
      "low-rank/MASS for each layer, with plus signs between them, but has '",
      std::string(word), "'");
}

std::string PrintLayerPredictor(const LayerPredictor& predictor) {
  switch (predictor.family) {
    case PredictorFamily::kNone:
      return "none";
    case PredictorFamily::kCertified:
      return "certified";
    case PredictorFamily::kCopy:
      return absl::StrCat("copy/", predictor.copy.bits, "/", predictor.copy.group, "/",
                          MassText(predictor.copy.margin));
    case PredictorFamily::kLowRank:
      return absl::StrCat("low-rank/", MassText(predictor.mass));
  }
  return "none";
}

absl::StatusOr<std::vector<LayerPredictor>> ParsePredictorPlan(std::string_view text) {
  std::vector<LayerPredictor> plan;
  for (const std::string& word :
       std::vector<std::string>(absl::StrSplit(absl::string_view(text.data(), text.size()), '+'))) {
    ASSIGN_OR_RETURN(plan.emplace_back(), ParseLayerPredictor(word));
  }
  return plan;
}

}  // namespace dejavu
