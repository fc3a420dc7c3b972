#include "ir/core/Operation.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace dejavu {
namespace {

[[noreturn]] void DieOfBug(const std::string& message) {
  std::fprintf(stderr, "dejavu: internal error: %s\nThis is a bug in DejaVu; please report it with the command line.\n",
               message.c_str());
  std::abort();
}

}  // namespace

void Value::ReplaceAllUsesWith(Value* other) {
  while (!uses_.empty()) {
    const Use use = uses_.back();
    use.user->SetOperand(use.index, other);
  }
}

Operation::Operation(const OpSchema* schema, std::vector<Value*> operands, AttributeMap attributes,
                     std::vector<Type> result_types, Location location)
    : schema_(schema),
      operands_(std::move(operands)),
      attributes_(std::move(attributes)),
      location_(std::move(location)) {
  for (size_t i = 0; i < operands_.size(); ++i) {
    Register(i);
  }
  for (Type& type : result_types) {
    results_.push_back(std::make_unique<Value>(std::move(type), ""));
    results_.back()->producer_ = this;
  }
}

Operation::~Operation() {
  for (const auto& result : results_) {
    if (result->has_uses()) {
      DieOfBug(absl::StrCat(Describe(), " is destroyed while its result is still used"));
    }
  }
  for (size_t i = 0; i < operands_.size(); ++i) {
    Unregister(i);
  }
}

void Operation::Register(size_t index) {
  if (operands_[index] != nullptr) {
    operands_[index]->uses_.push_back({this, index});
  }
}

void Operation::Unregister(size_t index) {
  if (operands_[index] != nullptr) {
    std::erase(operands_[index]->uses_, Use{this, index});
  }
}

Value* Operation::operand(std::string_view port) const {
  const int index = schema_->OperandIndex(port);
  if (index < 0) {
    DieOfBug(absl::StrCat("schema '", std::string(name()), "' has no operand '", std::string(port), "'"));
  }
  return static_cast<size_t>(index) < operands_.size() ? operands_[static_cast<size_t>(index)] : nullptr;
}

void Operation::SetOperand(size_t index, Value* value) {
  Unregister(index);
  operands_[index] = value;
  Register(index);
}

void Operation::AddOperand(Value* value) {
  operands_.push_back(value);
  Register(operands_.size() - 1);
}

void Operation::SetAttribute(std::string_view key, Attribute value) {
  attributes_.insert_or_assign(std::string(key), std::move(value));
}

std::string Operation::Describe() const {
  std::string text = absl::StrCat("'", std::string(name()), "' op");
  if (!location_.node.empty()) {
    absl::StrAppend(&text, " (from \"", location_.node, "\")");
  }
  return text;
}

bool Use::Reads(std::string_view port) const {
  const int64_t operand = user->schema().OperandIndex(port);
  return operand >= 0 && index == static_cast<size_t>(operand);
}

}  // namespace dejavu
