// Operations: an op's schema, operands, attributes and results.
#ifndef DEJAVU_IR_CORE_OPERATION_H_
#define DEJAVU_IR_CORE_OPERATION_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/core/Attribute.h"
#include "ir/core/OpSchema.h"
#include "ir/core/Value.h"

namespace dejavu {

class Function;

/// Where an operation came from: an ONNX node's or a checkpoint module's name, and the position in a .dv file.
struct Location {
  std::string node;
  int line = 0;  // 0: not read from text
  int column = 0;
};

/// One operation of a function's body. Owned by its function; owns its results and registers itself as their user.
class Operation {
 public:
  Operation(const OpSchema* schema, std::vector<Value*> operands, AttributeMap attributes,
            std::vector<Type> result_types, Location location);
  /// Aborts with a message if a result still has uses: that is a bug in a pass.
  ~Operation();
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  [[nodiscard]] const OpSchema& schema() const { return *schema_; }
  [[nodiscard]] std::string_view name() const { return schema_->name; }
  [[nodiscard]] bool Is(std::string_view op_name) const { return schema_->name == op_name; }
  [[nodiscard]] Function* parent() const { return parent_; }

  [[nodiscard]] size_t num_operands() const { return operands_.size(); }
  /// Null where an optional operand is absent.
  [[nodiscard]] Value* operand(size_t index) const { return operands_[index]; }
  /// By the schema's name; null if absent. Aborts if the schema has no such operand.
  [[nodiscard]] Value* operand(std::string_view port) const;
  [[nodiscard]] const std::vector<Value*>& operands() const { return operands_; }
  void SetOperand(size_t index, Value* value);
  void AddOperand(Value* value);

  [[nodiscard]] size_t num_results() const { return results_.size(); }
  [[nodiscard]] Value* result(size_t index = 0) const { return results_[index].get(); }

  [[nodiscard]] const AttributeMap& attributes() const { return attributes_; }
  void SetAttribute(std::string_view key, Attribute value);
  /// The attribute as T, or nothing if it is missing or of another kind.
  template <typename T>
  [[nodiscard]] std::optional<T> GetAttribute(std::string_view key) const {
    auto it = attributes_.find(key);
    if (it == attributes_.end() || !std::holds_alternative<T>(it->second)) {
      return std::nullopt;
    }
    return std::get<T>(it->second);
  }

  [[nodiscard]] const Location& location() const { return location_; }
  /// `'model.linear' op (from "layers.0/fc1")`, for messages.
  [[nodiscard]] std::string Describe() const;

 private:
  friend class Function;
  friend class Value;
  void Register(size_t index);
  void Unregister(size_t index);

  const OpSchema* schema_;
  std::vector<Value*> operands_;
  AttributeMap attributes_;
  std::vector<std::unique_ptr<Value>> results_;
  Location location_;
  Function* parent_ = nullptr;
};

/// A typed view of an operation: `OpView<kLinear>(op).operand<"bias">()` fails to compile on a wrong name.
template <const OpSchema& kSchema>
class OpView {
 public:
  explicit OpView(const Operation& op) : op_(&op) {}
  [[nodiscard]] static bool Matches(const Operation* op) { return op != nullptr && op->name() == kSchema.name; }
  template <FixedString kPort>
  [[nodiscard]] Value* operand() const {
    constexpr int kIndex = kSchema.OperandIndex(kPort.view());
    static_assert(kIndex >= 0, "no such operand in this op's schema");
    return op_->operand(static_cast<size_t>(kIndex));
  }
  [[nodiscard]] const Operation& op() const { return *op_; }

 private:
  const Operation* op_;
};

}  // namespace dejavu

#endif  // DEJAVU_IR_CORE_OPERATION_H_
