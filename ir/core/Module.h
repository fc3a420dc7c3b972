// Functions and modules.
#ifndef DEJAVU_IR_CORE_MODULE_H_
#define DEJAVU_IR_CORE_MODULE_H_

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/Status.h"
#include "ir/core/Operation.h"

namespace dejavu {

class Module;

/// A straight-line function: named arguments, operations in order, returned values. Owned by its module.
class Function {
 public:
  using OpList = std::list<std::unique_ptr<Operation>>;

  explicit Function(std::string name) : name_(std::move(name)) {}
  ~Function();
  Function(const Function&) = delete;
  Function& operator=(const Function&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }

  Value* AddArgument(Type type, std::string name);
  /// Removes argument `index`, which must have no uses.
  void RemoveArgument(size_t index);
  [[nodiscard]] size_t num_arguments() const { return arguments_.size(); }
  [[nodiscard]] Value* argument(size_t index) const { return arguments_[index].get(); }
  /// The argument called `arg_name`, or null.
  [[nodiscard]] Value* FindArgument(std::string_view arg_name) const;

  [[nodiscard]] const OpList& ops() const { return ops_; }
  /// Inserts `op` before `before`, or at the end if that is null. Takes ownership.
  Operation* Insert(std::unique_ptr<Operation> op, const Operation* before = nullptr);
  /// Moves `op`, already in this function, to just before `before`, or to the end if that is null.
  void Move(Operation* op, const Operation* before);
  /// Destroys `op`, whose results must have no uses.
  void Erase(Operation* op);
  /// Erases operations without used results, last first; returns how many. Returned values count as used.
  size_t EraseDeadOps();

  /// What the function returns, with the names of the outputs ("logits"); empty names allowed.
  [[nodiscard]] const std::vector<Value*>& returns() const { return returns_; }
  [[nodiscard]] const std::vector<std::string>& return_names() const { return return_names_; }
  void SetReturns(std::vector<Value*> values, std::vector<std::string> names = {});
  /// Whether exactly one operand or returned value reads `value`.
  [[nodiscard]] bool HasOneUse(const Value* value) const;
  /// Makes every user of `from`, operations and returns alike, read `to`.
  void ReplaceAllUses(Value* from, Value* to);

 private:
  OpList::iterator Find(const Operation* op);
  std::string name_;
  std::vector<std::unique_ptr<Value>> arguments_;
  OpList ops_;
  std::vector<Value*> returns_;
  std::vector<std::string> return_names_;
};

/// A program: weights, functions, the stratum that it is at and facts about the model. Not thread-safe.
class Module {
 public:
  explicit Module(std::string name) : name_(std::move(name)) {}
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }
  /// "onnx", "model", "sparse" or "sched".
  [[nodiscard]] const std::string& stage() const { return stage_; }
  void set_stage(std::string stage) { stage_ = std::move(stage); }
  [[nodiscard]] const AttributeMap& attributes() const { return attributes_; }
  void SetAttribute(std::string_view key, Attribute value);
  /// An int64 fact such as "positions"; `fallback` if it is not there.
  [[nodiscard]] int64_t IntAttribute(std::string_view key, int64_t fallback = 0) const;

  /// Adds a weight; its name must be new (ask FindWeight first). The module owns it and its value.
  Weight* AddWeight(Weight weight);
  [[nodiscard]] Weight* FindWeight(std::string_view weight_name) const;
  [[nodiscard]] const std::list<std::unique_ptr<Weight>>& weights() const { return weights_; }
  /// Drops the weights that no operation reads and no kept weight derives from; returns how many.
  size_t EraseDeadWeights();

  Function* AddFunction(std::string function_name);
  [[nodiscard]] Function* FindFunction(std::string_view function_name) const;
  [[nodiscard]] const std::vector<std::unique_ptr<Function>>& functions() const { return functions_; }
  void EraseFunction(Function* function);

 private:
  std::string name_;
  std::string stage_ = "onnx";
  AttributeMap attributes_;
  std::list<std::unique_ptr<Weight>> weights_;
  std::list<std::unique_ptr<Value>> weight_values_;
  std::vector<std::unique_ptr<Function>> functions_;
};

}  // namespace dejavu

#endif  // DEJAVU_IR_CORE_MODULE_H_
