#include "ir/verify/ListVerifier.h"

namespace dejavu {
namespace {

/// A list must come from as many flags as the matrix that it indexes has rows.
absl::Status CheckNeurons(const Operation& op) {
  if (op.schema().OperandIndex("active") < 0) {
    return absl::OkStatus();
  }
  const Value* active = op.operand("active");
  const Operation* list = active->producer();
  const int64_t rows = ListCapacity(op);
  if (list == nullptr || !(list->Is("sched.launch @compact") || list->Is("sched.launch @select"))) {
    return UserError(Where(op), " must take its list of neurons from a compact or a select");
  }
  if (const int64_t numbered = ListCapacity(*list); numbered != rows) {
    return UserError(Where(op), " has a matrix of ", rows, " neurons, but a list made of ", numbered,
                     list->Is("sched.launch @compact") ? " flags" : " scores");
  }
  if (op.schema().OperandIndex("h") < 0) {
    return absl::OkStatus();
  }
  const Operation* fc1 = op.operand("h")->producer();
  if (fc1 == nullptr || !fc1->Is("sched.launch @sparse_fc1") || fc1->operand("active") != active) {
    return UserError(Where(op), " must read what a sparse_fc1 makes of the same list of neurons");
  }
  return absl::OkStatus();
}

/// Only what knows the candidates knows how many of their flags there are.
absl::Status CheckCandidates(const Operation& op) {
  const Value* among = op.schema().OperandIndex("among") < 0 ? nullptr : op.operand("among");
  if (among == nullptr) {
    return absl::OkStatus();
  }
  if (op.Is("sched.launch @compact")) {
    const Operation* test = op.operand("flags")->producer();
    return test != nullptr && test->Is("sched.launch @quantized_test") && test->operand("among") == among
               ? absl::OkStatus()
               : UserError(Where(op), " must read what a quantized_test makes of the same candidates");
  }
  for (const Use& use : op.result()->uses()) {
    if (!use.user->Is("sched.launch @compact") || use.user->operand("among") != among) {
      return UserError(Where(op), " may only be read by a compact of the same candidates, but is read by ",
                       use.user->Describe());
    }
  }
  return absl::OkStatus();
}

absl::Status CheckReaders(const Operation& op, const Value& heads, const char* reader) {
  for (const Use& use : op.result()->uses()) {
    // As the first operand: a residual, say, would be read in full.
    if (use.user->name() != absl::StrCat("sched.launch @", reader) || use.index != 0 ||
        use.user->operand("active_heads") != &heads) {
      return UserError(Where(op), " may only be read by a ", reader, " of the same list of heads, but is read by ",
                       use.user->Describe());
    }
  }
  return absl::OkStatus();
}

/// Lists of heads come from as many scores as there are heads, and of what a launch leaves out nobody reads.
absl::Status CheckHeads(const Operation& op) {
  const Value* heads = op.schema().OperandIndex("active_heads") < 0 ? nullptr : op.operand("active_heads");
  if (heads == nullptr) {
    return absl::OkStatus();
  }
  const Operation* list = heads->producer();
  if (list == nullptr || !list->Is("sched.launch @select") || ListCapacity(*list) != ListCapacity(op)) {
    return UserError(Where(op), " must take its list of heads from a select of ", ListCapacity(op), " scores");
  }
  if (!op.Is("sched.launch @sparse_out")) {
    return CheckReaders(op, *heads,
                        op.Is("sched.launch @sparse_qkv") ? "attention"
                        : op.Is("sched.launch @lazy_qkv") ? "lazy_attention"
                                                          : "sparse_out");
  }
  const Operation* attention = op.operand("x")->producer();
  if (attention == nullptr ||
      !(attention->Is("sched.launch @attention") || attention->Is("sched.launch @lazy_attention")) ||
      attention->operand("active_heads") != heads) {
    return UserError(Where(op), " must read what an attention makes of the same list of heads");
  }
  return absl::OkStatus();
}

}  // namespace

std::string Where(const Operation& op) {
  return absl::StrCat(op.location().line > 0 ? absl::StrCat("line ", op.location().line, ": ") : "", op.Describe());
}

int64_t ListCapacity(const Operation& op) {
  struct Port {
    std::string_view name;
    size_t axis;
  };
  static constexpr Port kPorts[] = {{"flags", 0}, {"scores", 1}, {"fc1", 0}, {"fc2", 0}};
  for (const Port& port : kPorts) {
    if (op.schema().OperandIndex(port.name) >= 0) {
      return op.operand(port.name)->type().shape[port.axis].size();
    }
  }
  return op.GetAttribute<int64_t>("heads").value_or(0);
}

absl::Status CheckLists(const Operation& op) {
  RETURN_IF_ERROR(CheckNeurons(op));
  RETURN_IF_ERROR(CheckCandidates(op));
  return CheckHeads(op);
}

}  // namespace dejavu
