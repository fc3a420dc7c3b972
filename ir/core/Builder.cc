#include "ir/core/Builder.h"

#include <cstdio>
#include <cstdlib>

#include "ir/core/Inference.h"

namespace dejavu {

absl::StatusOr<Operation*> Builder::TryCreate(const OpSchema& schema, std::vector<Value*> operands,
                                              AttributeMap attributes, const Operation& from) {
  absl::StatusOr<std::vector<Type>> types = InferResultTypes(schema, operands);
  RETURN_IF_ERROR(WithContext(types.status(), from.Describe()));
  return CreateTyped(schema, std::move(operands), std::move(attributes), *std::move(types), from.location());
}

Operation* Builder::Create(const OpSchema& schema, std::vector<Value*> operands, AttributeMap attributes,
                           Location location, std::string result_name) {
  absl::StatusOr<std::vector<Type>> types = InferResultTypes(schema, operands);
  if (!types.ok()) {
    std::fprintf(stderr, "dejavu: internal error: %s\nThis is a bug in DejaVu; please report it.\n",
                 std::string(types.status().message()).c_str());
    std::abort();
  }
  Operation* op =
      CreateTyped(schema, std::move(operands), std::move(attributes), *std::move(types), std::move(location));
  if (op->num_results() > 0) {
    op->result()->set_name(std::move(result_name));
  }
  return op;
}

Operation* Builder::CreateTyped(const OpSchema& schema, std::vector<Value*> operands, AttributeMap attributes,
                                std::vector<Type> result_types, Location location) {
  if (!schema.has_variadic_operand()) {
    operands.resize(schema.num_operands, nullptr);
  }
  return function_->Insert(std::make_unique<Operation>(&schema, std::move(operands), std::move(attributes),
                                                       std::move(result_types), std::move(location)),
                           before_);
}

}  // namespace dejavu
