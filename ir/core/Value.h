// Values, what uses them, and the weights of a module.
#ifndef DEJAVU_IR_CORE_VALUE_H_
#define DEJAVU_IR_CORE_VALUE_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/core/Attribute.h"
#include "ir/core/Type.h"

namespace dejavu {

class Operation;
class Value;

/// One operand slot that reads a value.
struct Use {
  Operation* user;
  size_t index;

  /// Whether it is what the user's operand `port` takes.
  [[nodiscard]] bool Reads(std::string_view port) const;
  friend bool operator==(const Use&, const Use&) = default;
};

/// A weight is a named tensor outside the program: a tensor of a file, or one derived from other weights.
struct Weight {
  std::string name;
  Type type;
  std::string file;                    // for a file's tensor: the file's path, relative to the module's folder
  std::string tensor;                  // and the tensor's name in it
  std::string transform;               // for a derived weight: the name of a WeightTransform
  std::vector<const Weight*> sources;  // and its inputs; owned by the same module
  std::string hash;                    // XXH3 of a file tensor's bytes, 16 hex digits; empty for derived weights
  Value* value = nullptr;              // the value that operations read; owned by the module

  [[nodiscard]] bool is_derived() const { return !transform.empty(); }
};

/// Something an operation can read: an operation's result, a function's argument or a weight. Owned by what defines it.
class Value {
 public:
  Value(Type type, std::string name) : type_(std::move(type)), name_(std::move(name)) {}
  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;

  [[nodiscard]] const Type& type() const { return type_; }
  void set_type(Type type) { type_ = std::move(type); }
  /// The name to print, if unique and not empty; the printer numbers the others.
  [[nodiscard]] const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }
  /// The defining operation; null for an argument or a weight.
  [[nodiscard]] Operation* producer() const { return producer_; }
  /// The weight that this value is; null for others.
  [[nodiscard]] const Weight* weight() const { return weight_; }
  [[nodiscard]] const std::vector<Use>& uses() const { return uses_; }
  [[nodiscard]] bool has_uses() const { return !uses_.empty(); }
  /// Makes every user read `other` instead. Both must live in the same module.
  void ReplaceAllUsesWith(Value* other);

 private:
  friend class Operation;
  friend class Module;
  friend class Function;
  Type type_;
  std::string name_;
  Operation* producer_ = nullptr;
  const Weight* weight_ = nullptr;
  std::vector<Use> uses_;
};

}  // namespace dejavu

#endif  // DEJAVU_IR_CORE_VALUE_H_
