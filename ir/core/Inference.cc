#include "ir/core/Inference.h"

#include <string>

namespace dejavu {
namespace {

std::string OpName(const OpSchema& schema) { return absl::StrCat("'", std::string(schema.name), "' op"); }

std::string_view AttrKindName(AttrKind kind) {
  constexpr std::string_view kNames[] = {"true or false",   "an integer",         "a number",
                                         "a quoted string", "a list of integers", "a tensor"};
  return kNames[static_cast<size_t>(kind)];
}

bool HasKind(const Attribute& attribute, AttrKind kind) { return attribute.index() == static_cast<size_t>(kind); }

absl::Status PortError(const OpSchema& schema, std::string_view what, size_t index, std::string_view port,
                       std::string_view expected, std::string_view actual) {
  return UserError(OpName(schema), " ", std::string(what), " #", index, " ('", std::string(port), "') must be ",
                   std::string(expected), ", but is ", std::string(actual));
}

absl::Status VerifyAttributes(const Operation& op) {
  const OpSchema& schema = op.schema();
  for (size_t i = 0; i < schema.num_attrs; ++i) {
    const AttrSpec& spec = schema.attr_specs[i];
    auto it = op.attributes().find(spec.name);
    if (it == op.attributes().end()) {
      if (spec.optional) {
        continue;
      }
      return UserError(OpName(schema), " needs the attribute '", std::string(spec.name), "'");
    }
    if (!HasKind(it->second, spec.kind)) {
      return UserError(OpName(schema), " attribute '", std::string(spec.name), "' must be ",
                       std::string(AttrKindName(spec.kind)));
    }
  }
  for (const auto& [key, value] : op.attributes()) {
    bool known = false;
    for (size_t i = 0; i < schema.num_attrs; ++i) {
      known = known || schema.attr_specs[i].name == key;
    }
    if (!known) {
      return UserError(OpName(schema), " has no attribute '", key, "'");
    }
  }
  return absl::OkStatus();
}

absl::Status VerifyResults(const Operation& op, DimBindings bindings) {
  const OpSchema& schema = op.schema();
  const size_t fixed = schema.has_variadic_result() ? schema.num_results - 1 : schema.num_results;
  if (op.num_results() < fixed || (!schema.has_variadic_result() && op.num_results() > fixed)) {
    return UserError(OpName(schema), " has ", fixed, " result(s), but ", op.num_results(), " are given");
  }
  for (size_t i = 0; i < op.num_results(); ++i) {
    const PortSpec& spec = schema.result_specs[std::min(i, schema.num_results - 1)];
    const std::string expected = FillTypePattern(spec.type, bindings);
    if (!MatchTypePattern(spec.type, op.result(i)->type(), bindings)) {
      return PortError(schema, "result", i, spec.name, expected, op.result(i)->type().ToString());
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DimBindings> MatchOperands(const OpSchema& schema, const std::vector<Value*>& operands) {
  DimBindings bindings;
  if (operands.size() > schema.num_operands && !schema.has_variadic_operand()) {
    return UserError(OpName(schema), " takes at most ", schema.num_operands, " operands, but ", operands.size(),
                     " are given");
  }
  const size_t count = std::max(operands.size(), schema.num_operands);
  for (size_t i = 0; i < count; ++i) {
    const PortSpec& spec = schema.operand_specs[std::min(i, schema.num_operands - 1)];
    if (i >= operands.size() || operands[i] == nullptr) {
      if (spec.optional) {
        continue;
      }
      return UserError(OpName(schema), " operand #", i, " ('", std::string(spec.name), "') is missing");
    }
    DimBindings attempt = bindings;
    if (!MatchTypePattern(spec.type, operands[i]->type(), attempt)) {
      return PortError(schema, "operand", i, spec.name, FillTypePattern(spec.type, bindings),
                       operands[i]->type().ToString());
    }
    bindings = std::move(attempt);
  }
  return bindings;
}

absl::StatusOr<std::vector<Type>> InferResultTypes(const OpSchema& schema, const std::vector<Value*>& operands) {
  ASSIGN_OR_RETURN(const DimBindings bindings, MatchOperands(schema, operands));
  std::vector<Type> types;
  for (size_t i = 0; i < schema.num_results; ++i) {
    std::optional<Type> type = InstantiateTypePattern(schema.result_specs[i].type, bindings);
    if (!type) {
      return BugError(OpName(schema), " result #", i, " has no inferable type");
    }
    types.push_back(*std::move(type));
  }
  return types;
}

absl::Status VerifyOperation(const Operation& op) {
  ASSIGN_OR_RETURN(DimBindings bindings, MatchOperands(op.schema(), op.operands()));
  RETURN_IF_ERROR(VerifyAttributes(op));
  RETURN_IF_ERROR(VerifyResults(op, std::move(bindings)));
  if (op.schema().verifier != nullptr) {
    return op.schema().verifier(op);
  }
  return absl::OkStatus();
}

}  // namespace dejavu
