#include "ir/verify/Verifier.h"

#include <array>
#include <set>

#include "ir/core/Inference.h"

namespace dejavu {
namespace {

struct StageRule {
  std::string_view stage;
  std::string_view family;
};

// While a lifting pipeline runs, model ops appear among onnx ops; the stage changes when the last onnx op is gone.
constexpr std::array<StageRule, 6> kLegal = {{{"onnx", "onnx"},
                                              {"onnx", "model"},
                                              {"model", "model"},
                                              {"sparse", "model"},
                                              {"sparse", "sparse"},
                                              {"sched", "sched"}}};

Diagnostic At(const Operation& op, std::string message) {
  if (!op.location().node.empty()) {
    absl::StrAppend(&message, " (from \"", op.location().node, "\")");
  }
  return {op.location().line, op.location().column, std::move(message)};
}

std::string_view StageNeeds(std::string_view stage) {
  return stage == "sched" ? "sched ops" : (stage == "sparse" ? "model and sparse ops" : "model ops");
}

void VerifyFunction(const Module& module, const Function& function, std::vector<Diagnostic>* errors) {
  std::set<const Value*> defined;
  for (size_t i = 0; i < function.num_arguments(); ++i) {
    defined.insert(function.argument(i));
  }
  for (const auto& op : function.ops()) {
    if (!IsLegalAt(module.stage(), op->schema().family())) {
      errors->push_back(
          At(*op, absl::StrCat("'", std::string(op->name()), "' op is illegal at stratum '", module.stage(),
                               "', which holds ", std::string(StageNeeds(module.stage())), " only")));
    }
    for (size_t i = 0; i < op->num_operands(); ++i) {
      const Value* operand = op->operand(i);
      if (operand != nullptr && operand->weight() == nullptr && !defined.contains(operand)) {
        errors->push_back(
            At(*op, absl::StrCat("'", std::string(op->name()), "' op operand #", i, " is not defined before its use")));
      }
    }
    if (absl::Status status = VerifyOperation(*op); !status.ok()) {
      errors->push_back(At(*op, std::string(status.message())));
    }
    for (size_t i = 0; i < op->num_results(); ++i) {
      defined.insert(op->result(i));
    }
  }
  for (const Value* value : function.returns()) {
    if (value == nullptr || !defined.contains(value)) {
      errors->push_back(
          {0, 0, absl::StrCat("function '@", function.name(), "' returns a value that it does not define")});
    }
  }
}

}  // namespace

bool IsLegalAt(std::string_view stage, std::string_view family) {
  for (const StageRule& rule : kLegal) {
    if (rule.stage == stage && rule.family == family) {
      return true;
    }
  }
  return false;
}

absl::Status RequireWeights(const Function& function) {
  for (const auto& op : function.ops()) {
    for (size_t i = 0; i < op->num_operands() && i < op->schema().num_operands; ++i) {
      const PortSpec& spec = op->schema().operand_specs[i];
      const bool stored = spec.type.starts_with("float<") || spec.type.starts_with("i8<") || spec.name == "rows";
      if (stored && op->operand(i) != nullptr && op->operand(i)->weight() == nullptr) {
        return UserError(op->Describe(), " operand #", i, " ('", std::string(spec.name),
                         "') must be a weight, but is a computed value");
      }
    }
  }
  return absl::OkStatus();
}

std::vector<Diagnostic> FindErrors(const Module& module) {
  std::vector<Diagnostic> errors;
  for (const auto& function : module.functions()) {
    VerifyFunction(module, *function, &errors);
  }
  return errors;
}

absl::Status VerifyModule(const Module& module, std::string_view file) {
  const std::vector<Diagnostic> errors = FindErrors(module);
  if (errors.empty()) {
    return absl::OkStatus();
  }
  const Diagnostic& first = errors.front();
  std::string place(file);
  if (first.line > 0) {
    absl::StrAppend(&place, place.empty() ? "" : ":", first.line, ":", first.column);
  }
  return UserError(place, place.empty() ? "" : ": ", "error: ", first.message);
}

}  // namespace dejavu
