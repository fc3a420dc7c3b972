#include "ir/import/SyntheticReader.h"

#include "ir/import/OptGraph.h"
#include "ir/import/SyntheticWeights.h"

namespace dejavu {
namespace {

class SyntheticTensors : public OptTensors {
 public:
  SyntheticTensors(const OptConfig& config, std::string_view shape)
      : config_(config), file_(absl::StrCat(std::string(kSyntheticPrefix), std::string(shape))) {}

  [[nodiscard]] std::string_view prefix() const override { return ""; }
  [[nodiscard]] bool Has(std::string_view name) const override { return !SyntheticTensorShape(config_, name).empty(); }
  [[nodiscard]] absl::StatusOr<Weight> Get(std::string_view name) const override {
    Weight weight;
    weight.name = name;
    weight.type = {DType::kF16, SyntheticTensorShape(config_, name)};
    weight.file = file_;
    weight.tensor = name;
    return weight;
  }

 private:
  const OptConfig& config_;
  std::string file_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Module>> ReadSynthetic(std::string_view shape) {
  ASSIGN_OR_RETURN(const OptConfig config, SyntheticConfig(shape));
  const std::string name(shape.substr(0, shape.find(':')));
  return BuildOptModule(config, name, SyntheticTensors(config, shape));
}

}  // namespace dejavu
