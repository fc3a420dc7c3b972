// OPT checkpoints made up by the tests: as a table of tensors' types, and as a folder.
#ifndef DEJAVU_TESTS_UNIT_IMPORT_HF_CHECKPOINT_H_
#define DEJAVU_TESTS_UNIT_IMPORT_HF_CHECKPOINT_H_

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "ir/import/OptGraph.h"
#include "tests/unit/base/TestFiles.h"

namespace dejavu {

/// Types of tensors by name.
using TensorTable = std::map<std::string, Type, std::less<>>;

/// Two layers of 16 in two heads.
[[nodiscard]] OptConfig SmallConfig();

/// The tensors that transformers saves for `config`, without the decoder's prefix.
[[nodiscard]] TensorTable TensorsOf(const OptConfig& config, DType dtype = DType::kF32);

/// The config.json that transformers saves for `config`.
[[nodiscard]] nlohmann::json JsonOf(const OptConfig& config);

/// A checkpoint without files.
class FakeTensors : public OptTensors {
 public:
  explicit FakeTensors(TensorTable table) : table_(std::move(table)) {}
  [[nodiscard]] std::string_view prefix() const override { return "model.decoder."; }
  [[nodiscard]] bool Has(std::string_view name) const override { return table_.contains(name); }
  [[nodiscard]] absl::StatusOr<Weight> Get(std::string_view name) const override;

 private:
  TensorTable table_;
};

/// A folder of a small checkpoint that a test may spoil before it writes it.
class Checkpoint {
 public:
  Checkpoint() : Checkpoint(SmallConfig()) {}
  explicit Checkpoint(const OptConfig& model, const std::string& prefix = "model.decoder.", DType dtype = DType::kF32);

  /// What Write() writes: config.json, each file with its tensors, and model.safetensors.index.json unless it is null.
  nlohmann::json config;
  std::map<std::string, TensorTable> files;
  nlohmann::json index;

  /// Moves the tensors of model.safetensors to two shards with an index.
  void Shard();
  void Write() const;
  [[nodiscard]] const TempFolder& folder() const { return folder_; }
  [[nodiscard]] const std::string& path() const { return folder_.path(); }
  /// The tensors of the only file.
  [[nodiscard]] TensorTable& tensors() { return files.begin()->second; }

 private:
  TempFolder folder_;
};

/// Writes a safetensors file whose elements are small numbers, different from tensor to tensor.
void WriteTensors(const std::string& path, const TensorTable& tensors);

}  // namespace dejavu

#endif  // DEJAVU_TESTS_UNIT_IMPORT_HF_CHECKPOINT_H_
