#include "ir/core/Module.h"

#include <algorithm>
#include <set>

namespace dejavu {

Function::~Function() {
  // Users go before what they use.
  returns_.clear();
  while (!ops_.empty()) {
    ops_.pop_back();
  }
}

Value* Function::AddArgument(Type type, std::string name) {
  arguments_.push_back(std::make_unique<Value>(std::move(type), std::move(name)));
  return arguments_.back().get();
}

void Function::RemoveArgument(size_t index) { arguments_.erase(arguments_.begin() + static_cast<ptrdiff_t>(index)); }

Value* Function::FindArgument(std::string_view arg_name) const {
  for (const auto& argument : arguments_) {
    if (argument->name() == arg_name) {
      return argument.get();
    }
  }
  return nullptr;
}

Function::OpList::iterator Function::Find(const Operation* op) {
  return std::find_if(ops_.begin(), ops_.end(), [op](const auto& entry) { return entry.get() == op; });
}

Operation* Function::Insert(std::unique_ptr<Operation> op, const Operation* before) {
  op->parent_ = this;
  Operation* raw = op.get();
  ops_.insert(before == nullptr ? ops_.end() : Find(before), std::move(op));
  return raw;
}

void Function::Move(Operation* op, const Operation* before) {
  auto to = before == nullptr ? ops_.end() : Find(before);
  ops_.splice(to, ops_, Find(op));
}

void Function::Erase(Operation* op) { ops_.erase(Find(op)); }

size_t Function::EraseDeadOps() {
  const std::set<const Value*> returned(returns_.begin(), returns_.end());
  size_t erased = 0;
  for (auto it = ops_.end(); it != ops_.begin();) {
    --it;
    bool used = false;
    for (size_t i = 0; i < (*it)->num_results(); ++i) {
      used = used || (*it)->result(i)->has_uses() || returned.contains((*it)->result(i));
    }
    if (!used) {
      it = ops_.erase(it);
      ++erased;
    }
  }
  return erased;
}

void Function::SetReturns(std::vector<Value*> values, std::vector<std::string> names) {
  returns_ = std::move(values);
  return_names_ = std::move(names);
  return_names_.resize(returns_.size());
}

bool Function::HasOneUse(const Value* value) const {
  const auto returned = std::count(returns_.begin(), returns_.end(), value);
  return value->uses().size() + static_cast<size_t>(returned) == 1;
}

void Function::ReplaceAllUses(Value* from, Value* to) {
  from->ReplaceAllUsesWith(to);
  std::replace(returns_.begin(), returns_.end(), from, to);
}

Module::~Module() { functions_.clear(); }

void Module::SetAttribute(std::string_view key, Attribute value) {
  attributes_.insert_or_assign(std::string(key), std::move(value));
}

int64_t Module::IntAttribute(std::string_view key, int64_t fallback) const {
  auto it = attributes_.find(key);
  return it != attributes_.end() && std::holds_alternative<int64_t>(it->second) ? std::get<int64_t>(it->second)
                                                                                : fallback;
}

Weight* Module::AddWeight(Weight weight) {
  weights_.push_back(std::make_unique<Weight>(std::move(weight)));
  Weight* raw = weights_.back().get();
  weight_values_.push_back(std::make_unique<Value>(raw->type, raw->name));
  raw->value = weight_values_.back().get();
  raw->value->weight_ = raw;
  return raw;
}

Weight* Module::FindWeight(std::string_view weight_name) const {
  for (const auto& weight : weights_) {
    if (weight->name == weight_name) {
      return weight.get();
    }
  }
  return nullptr;
}

size_t Module::EraseDeadWeights() {
  // A source always precedes what derives from it, so one walk from the end sees every user first.
  std::set<const Weight*> needed;
  size_t erased = 0;
  for (auto it = weights_.end(); it != weights_.begin();) {
    --it;
    const Weight* weight = it->get();
    if (weight->value->has_uses() || needed.contains(weight)) {
      needed.insert(weight->sources.begin(), weight->sources.end());
      continue;
    }
    weight_values_.remove_if([weight](const auto& value) { return value->weight() == weight; });
    it = weights_.erase(it);
    ++erased;
  }
  return erased;
}

Function* Module::AddFunction(std::string function_name) {
  functions_.push_back(std::make_unique<Function>(std::move(function_name)));
  return functions_.back().get();
}

Function* Module::FindFunction(std::string_view function_name) const {
  for (const auto& function : functions_) {
    if (function->name() == function_name) {
      return function.get();
    }
  }
  return nullptr;
}

void Module::EraseFunction(Function* function) {
  std::erase_if(functions_, [function](const auto& entry) { return entry.get() == function; });
}

}  // namespace dejavu
