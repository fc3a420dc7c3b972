// What a pass is: a name, a sentence, options and a function from module to module.
#ifndef DEJAVU_PASSES_MANAGER_PASS_H_
#define DEJAVU_PASSES_MANAGER_PASS_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/types/span.h"
#include "ir/base/Status.h"
#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"

namespace dejavu {

/// An option of a pass, with the value it has when the pipeline text leaves it out.
struct PassOption {
  std::string_view name;
  std::string_view default_value;
  std::string_view doc;
};

/// The values of one pass's options, as text; every declared option has one.
using PassOptionValues = std::map<std::string, std::string, std::less<>>;

/// What a running pass sees besides the module. Passes never name a target and hold no other state.
class PassContext {
 public:
  PassContext(const PassOptionValues* options, WeightStore* weights) : options_(options), weights_(weights) {}

  [[nodiscard]] const std::string& Option(std::string_view name) const { return options_->find(name)->second; }
  /// The option as a whole number; a usage error that names it otherwise.
  [[nodiscard]] absl::StatusOr<int64_t> IntOption(std::string_view name) const;
  /// Counts towards `--statistics`; `what` is a noun in the plural, such as "launches fused".
  void Count(std::string_view what, int64_t by = 1) { statistics_[std::string(what)] += by; }
  [[nodiscard]] const std::map<std::string, int64_t>& statistics() const { return statistics_; }
  [[nodiscard]] WeightStore* weights() const { return weights_; }

 private:
  const PassOptionValues* options_;
  WeightStore* weights_;
  std::map<std::string, int64_t> statistics_;
};

/// How exactly a pass keeps results, which `--check-equivalent` holds it to.
enum class Promise : uint8_t {
  kReal,             // equal in exact arithmetic: 1e-10 relative on the interpreter in float64 without rounding
  kBits,             // bit for bit on the same interpreter
  kUnlessPredicted,  // as kReal, but where predictors or an oracle choose: then a pass may leave out what counts
};

struct PassInfo {
  std::string_view name;
  std::string_view summary;
  /// The IR before and after, in a few lines of Markdown code; shown in PASSES.md.
  std::string_view example;
  Promise promise;
  absl::Span<const PassOption> options;
  absl::Status (*run)(Module& module, PassContext& context);
};

}  // namespace dejavu

#endif  // DEJAVU_PASSES_MANAGER_PASS_H_
