// Measures artifacts for the quality contract: on text to choose by, and on text that judges.
#ifndef DEJAVU_TOOLS_DRIVER_CONTRACTJUDGE_H_
#define DEJAVU_TOOLS_DRIVER_CONTRACTJUDGE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/engine/Model.h"
#include "tools/driver/Contract.h"
#include "tools/driver/Evaluate.h"

namespace dejavu {

/// Parts of the contract's text; no window is both for choosing and for judging.
enum class TextPart : uint8_t {
  kSample,    ///< The first window, or two of the tasks' sequences where there is no text.
  kChoosing,  ///< Of windows that choose, all.
  kHeldOut,   ///< That judge. Without a text there are none.
};

class ContractJudge {
 public:
  /// Compiles the dense model and reads the text. `choosing`: whether some of it is for choosing. `bounds` and `build`
  /// must outlive the judge.
  [[nodiscard]] static absl::StatusOr<ContractJudge> Create(const ContractBounds& bounds, const ContractBuild& build,
                                                            bool choosing);

  /// The model with these choices, for ContractBuild::compile.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<const Model>> Load(const std::vector<size_t>& choices) const;

  /// Compares `model` with the dense one; `against` is there.
  [[nodiscard]] absl::StatusOr<Evaluation> Compare(const std::shared_ptr<const Model>& model, TextPart part,
                                                   const std::string& label) const;

  /// The bound terms of a comparison on a text.
  [[nodiscard]] std::vector<ContractTerm> TextTerms(const Comparison& against) const;
  /// The term of in-context learning, if it is bound: of the sequences that judge, or of others.
  [[nodiscard]] absl::StatusOr<std::optional<ContractTerm>> IclTerm(const std::shared_ptr<const Model>& model,
                                                                    bool judges) const;

  [[nodiscard]] bool has_text() const { return text_hash_.has_value(); }
  [[nodiscard]] std::optional<uint64_t> text_hash() const { return text_hash_; }
  [[nodiscard]] int64_t choosing_tokens() const { return choosing_windows_ * positions_; }
  /// Of the dense model in the comparison that came first: so prices of different comparisons are of one clock.
  [[nodiscard]] double TimeScale(const Evaluation& compared);

 private:
  ContractJudge(const ContractBounds& bounds, const ContractBuild& build) : bounds_(bounds), build_(build) {}
  absl::Status ReadText(bool choosing);
  absl::Status MakeSample();

  const ContractBounds& bounds_;
  const ContractBuild& build_;
  std::shared_ptr<const Model> reference_;
  int64_t positions_ = 0;
  std::vector<int32_t> ids_;
  std::optional<uint64_t> text_hash_;
  int64_t choosing_windows_ = 0;
  int64_t held_out_windows_ = 0;
  double first_dense_time_ = 0;
};

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_CONTRACTJUDGE_H_
