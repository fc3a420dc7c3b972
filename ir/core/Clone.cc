#include "ir/core/Clone.h"

namespace dejavu {
namespace {

Type Substitute(Type type, const std::map<std::string, Dim>& dims) {
  for (Dim& dim : type.shape) {
    if (auto it = dims.find(dim.symbol()); !dim.is_static() && it != dims.end()) {
      dim = it->second;
    }
  }
  return type;
}

}  // namespace

Function* CloneFunction(Module& module, const Function& from, const std::string& name,
                        const std::map<std::string, Dim>& dims) {
  Function* to = module.AddFunction(name);
  std::map<const Value*, Value*> copies;
  const auto copy_of = [&](Value* value) {
    return value == nullptr || value->weight() != nullptr ? value : copies.at(value);
  };
  for (size_t i = 0; i < from.num_arguments(); ++i) {
    const Value* argument = from.argument(i);
    copies[argument] = to->AddArgument(Substitute(argument->type(), dims), argument->name());
  }
  for (const auto& op : from.ops()) {
    std::vector<Value*> operands;
    for (Value* operand : op->operands()) {
      operands.push_back(copy_of(operand));
    }
    std::vector<Type> types;
    for (size_t i = 0; i < op->num_results(); ++i) {
      types.push_back(Substitute(op->result(i)->type(), dims));
    }
    Operation* clone = to->Insert(std::make_unique<Operation>(&op->schema(), std::move(operands), op->attributes(),
                                                              std::move(types), op->location()));
    for (size_t i = 0; i < op->num_results(); ++i) {
      clone->result(i)->set_name(op->result(i)->name());
      copies[op->result(i)] = clone->result(i);
    }
  }
  std::vector<Value*> returns;
  for (Value* value : from.returns()) {
    returns.push_back(copy_of(value));
  }
  to->SetReturns(std::move(returns), from.return_names());
  return to;
}

}  // namespace dejavu
