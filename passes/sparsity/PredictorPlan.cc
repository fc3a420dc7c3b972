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
  const auto read_mass = [&](const std::string& text) {
    return ReadNumber(text, &predictor.mass) && predictor.mass > 0 && predictor.mass <= 1;
  };
  const auto read_copy = [&](size_t bits) {
    CopyOptions& copy = predictor.copy;
    return absl::SimpleAtoi(parts[bits], &copy.bits) && absl::SimpleAtoi(parts[bits + 1], &copy.group) &&
           ReadNumber(parts[bits + 2], &copy.margin);
  };
  if (parts.size() == 2 && parts[0] == "low-rank" && read_mass(parts[1])) {
    predictor.family = PredictorFamily::kLowRank;
    return predictor;
  }
  const bool is_copy = parts.size() == 4 && parts[0] == "copy" && read_copy(1);
  if (is_copy || (parts.size() == 5 && parts[0] == "cascade" && read_mass(parts[1]) && read_copy(2))) {
    predictor.family = is_copy ? PredictorFamily::kCopy : PredictorFamily::kCascade;
    RETURN_IF_ERROR(CheckCopyOptions(predictor.copy));
    return predictor;
  }
  return UsageError(
      "insert-predictors: option 'plan' must have none, certified, copy/BITS/GROUP/MARGIN, low-rank/MASS or "
      "cascade/MASS/BITS/GROUP/MARGIN for each layer, with plus signs between them, but has '",
      std::string(word), "'");
}

std::string PrintLayerPredictor(const LayerPredictor& predictor) {
  const std::string copy =
      absl::StrCat("/", predictor.copy.bits, "/", predictor.copy.group, "/", MassText(predictor.copy.margin));
  switch (predictor.family) {
    case PredictorFamily::kNone:
      return "none";
    case PredictorFamily::kCertified:
      return "certified";
    case PredictorFamily::kCopy:
      return "copy" + copy;
    case PredictorFamily::kLowRank:
      return absl::StrCat("low-rank/", MassText(predictor.mass));
    case PredictorFamily::kCascade:
      return absl::StrCat("cascade/", MassText(predictor.mass), copy);
  }
  return "none";
}

absl::StatusOr<std::vector<std::optional<double>>> ParseHeadPlan(std::string_view text) {
  std::vector<std::optional<double>> plan;
  for (const std::string& word :
       std::vector<std::string>(absl::StrSplit(absl::string_view(text.data(), text.size()), '+'))) {
    double share = 0;
    if (word != "none" && (!ReadNumber(word, &share) || share <= 0 || share > 1)) {
      return UsageError(
          "insert-predictors: option 'head-plan' must have none or a share of heads for each layer, with plus signs "
          "between them, but has '",
          word, "'");
    }
    plan.push_back(word == "none" ? std::nullopt : std::optional(share));
  }
  return plan;
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
