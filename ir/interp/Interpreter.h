// Runs a function op by op: slow, obvious, and the judge of every pass and kernel.
#ifndef DEJAVU_IR_INTERP_INTERPRETER_H_
#define DEJAVU_IR_INTERP_INTERPRETER_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"
#include "ir/interp/OnnxEval.h"
#include "ir/interp/Tensor.h"

namespace dejavu {

/// Evaluates functions of one module, which must outlive it and not change. Not thread-safe.
class Interpreter {
 public:
  /// Called after each operation with its results.
  using Observer = std::function<void(const Operation&, const std::vector<Tensor>&)>;

  Interpreter(const Module& module, WeightStore* weights, EvalOptions options)
      : module_(module), weights_(weights), options_(options) {}

  /// Leaves the contents of float weights unknown, so that running a function tells shapes, sizes and masks only.
  void set_abstract() { abstract_ = true; }

  void set_observer(Observer observer) { observer_ = std::move(observer); }
  /// What symbolic dimensions stand for; needed only where model ops meet unknown contents.
  void set_symbols(std::map<std::string, int64_t, std::less<>> symbols) { symbols_ = std::move(symbols); }

  /// Evaluates `function` on one tensor per argument; the returned tensors are those of its `return`. Errors name the
  /// op.
  [[nodiscard]] absl::StatusOr<std::vector<Tensor>> Run(const Function& function, std::vector<Tensor> arguments);

 private:
  [[nodiscard]] absl::StatusOr<const Tensor*> Load(const Weight& weight);
  [[nodiscard]] absl::StatusOr<std::vector<Tensor>> Evaluate(const Operation& op,
                                                             const std::vector<const Tensor*>& inputs);
  [[nodiscard]] absl::StatusOr<std::vector<Tensor>> UnknownResults(const Operation& op) const;

  const Module& module_;
  WeightStore* weights_;
  EvalOptions options_;
  bool abstract_ = false;
  Observer observer_;
  std::map<std::string, int64_t, std::less<>> symbols_;
  std::map<const Weight*, Tensor> loaded_;  // weights stay: every call of a decode loop reads them again
};

/// A weight's bytes as a tensor of doubles or integers.
[[nodiscard]] Tensor ToTensor(const WeightData& data);

}  // namespace dejavu

#endif  // DEJAVU_IR_INTERP_INTERPRETER_H_
