// A module's @decode in the interpreter, with what it keeps from token to token.
#ifndef DEJAVU_TESTS_E2E_INTERPRETEDDECODER_H_
#define DEJAVU_TESTS_E2E_INTERPRETEDDECODER_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ir/interp/Interpreter.h"
#include "passes/lift/Probe.h"

namespace dejavu {

/// Runs @decode on one token after the other.
class InterpretedDecoder {
 public:
  /// `observer` also sees each op with its results.
  InterpretedDecoder(const Module& module, WeightStore& store,
                     std::function<void(const Operation&, const std::vector<Tensor>&)> observer = nullptr)
      : decode_(*module.FindFunction("decode")), interpreter_(module, &store, EvalOptions{.round = false}) {
    interpreter_.set_observer(
        [this, observer = std::move(observer)](const Operation& op, const std::vector<Tensor>& results) {
          if (op.Is("sched.launch @select")) {
            lists_.insert(results[0].ints);
          }
          if (observer) {
            observer(op, results);
          }
        });
  }

  absl::StatusOr<std::vector<double>> Decode(int64_t token) {
    ASSIGN_OR_RETURN(std::vector<Tensor> arguments, ArgumentsFor(decode_, {token}));
    for (size_t i = 0; i < decode_.num_arguments(); ++i) {
      const std::string& name = decode_.argument(i)->name();
      if (name == "past") {
        arguments[i] = Tensor::Scalar(past_);
      }
      for (size_t r = 0; r < state_.size(); ++r) {
        arguments[i] = decode_.return_names()[r] == name ? state_[r] : arguments[i];
      }
    }
    ASSIGN_OR_RETURN(state_, interpreter_.Run(decode_, std::move(arguments)));
    ++past_;
    return state_[0].floats;
  }

  /// All different lists that were chosen.
  [[nodiscard]] const std::set<std::vector<int64_t>>& lists() const { return lists_; }

 private:
  const Function& decode_;
  Interpreter interpreter_;
  int64_t past_ = 0;
  std::vector<Tensor> state_;
  std::set<std::vector<int64_t>> lists_;
};

}  // namespace dejavu

#endif  // DEJAVU_TESTS_E2E_INTERPRETEDDECODER_H_
