// One constexpr definition per op. Builder, parser, printer, verifier, type inference and OPS.md all read it.
#ifndef DEJAVU_IR_CORE_OPSCHEMA_H_
#define DEJAVU_IR_CORE_OPSCHEMA_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"

namespace dejavu {

class Operation;

/// An operand or a result. `type` is a type pattern:
///   `f32<T, K>`    an element type and dimensions; a capital letter stands for one dimension in the whole op, so every
///                  use must agree; a number is itself; `3H` is three times H
///   `float<N, K>`  any of f32, f16, bf16 (and f64);  `int<...>` any integer;  `any<...>` anything
///   `f32<...>`     any rank
struct PortSpec {
  std::string_view name;
  std::string_view type;
  std::string_view doc;
  bool optional = false;  // printed as `none` when absent
  bool variadic = false;  // only the last one; zero or more
};

enum class AttrKind : uint8_t { kBool, kInt, kFloat, kString, kInts, kTensor };

struct AttrSpec {
  std::string_view name;
  AttrKind kind = AttrKind::kInt;
  std::string_view doc;
  bool optional = false;
};

struct OpSchema {
  static constexpr size_t kMaxPorts = 16;

  std::string_view name;
  std::string_view summary;
  std::array<PortSpec, kMaxPorts> operand_specs{};
  std::array<PortSpec, 4> result_specs{};
  std::array<AttrSpec, 8> attr_specs{};
  size_t num_operands = 0;
  size_t num_results = 0;
  size_t num_attrs = 0;
  absl::Status (*verifier)(const Operation&) =
      nullptr;  // constraints that patterns cannot say, labelled [c1], [c2] ...

  constexpr OpSchema operand(std::string_view port, std::string_view type, std::string_view doc = "") const {
    OpSchema copy = *this;
    copy.operand_specs[copy.num_operands++] = {port, type, doc, false, false};
    return copy;
  }
  constexpr OpSchema optionalOperand(std::string_view port, std::string_view type, std::string_view doc = "") const {
    OpSchema copy = *this;
    copy.operand_specs[copy.num_operands++] = {port, type, doc, true, false};
    return copy;
  }
  constexpr OpSchema variadicOperand(std::string_view port, std::string_view type, std::string_view doc = "") const {
    OpSchema copy = *this;
    copy.operand_specs[copy.num_operands++] = {port, type, doc, true, true};
    return copy;
  }
  constexpr OpSchema result(std::string_view port, std::string_view type, std::string_view doc = "") const {
    OpSchema copy = *this;
    copy.result_specs[copy.num_results++] = {port, type, doc, false, false};
    return copy;
  }
  constexpr OpSchema variadicResult(std::string_view port, std::string_view type, std::string_view doc = "") const {
    OpSchema copy = *this;
    copy.result_specs[copy.num_results++] = {port, type, doc, true, true};
    return copy;
  }
  constexpr OpSchema attr(std::string_view attr_name, AttrKind kind, std::string_view doc = "") const {
    OpSchema copy = *this;
    copy.attr_specs[copy.num_attrs++] = {attr_name, kind, doc, false};
    return copy;
  }
  constexpr OpSchema optionalAttr(std::string_view attr_name, AttrKind kind, std::string_view doc = "") const {
    OpSchema copy = *this;
    copy.attr_specs[copy.num_attrs++] = {attr_name, kind, doc, true};
    return copy;
  }
  constexpr OpSchema verifiedBy(absl::Status (*fn)(const Operation&)) const {
    OpSchema copy = *this;
    copy.verifier = fn;
    return copy;
  }

  /// The position of the operand called `port`, or -1.
  [[nodiscard]] constexpr int OperandIndex(std::string_view port) const {
    for (size_t i = 0; i < num_operands; ++i) {
      if (operand_specs[i].name == port) {
        return static_cast<int>(i);
      }
    }
    return -1;
  }
  [[nodiscard]] constexpr bool has_variadic_operand() const {
    return num_operands > 0 && operand_specs[num_operands - 1].variadic;
  }
  [[nodiscard]] constexpr bool has_variadic_result() const {
    return num_results > 0 && result_specs[num_results - 1].variadic;
  }
  /// The stratum's prefix: "onnx", "model", "sparse" or "sched".
  [[nodiscard]] constexpr std::string_view family() const { return name.substr(0, name.find('.')); }
};

constexpr OpSchema DefineOp(std::string_view name, std::string_view summary) {
  OpSchema schema;
  schema.name = name;
  schema.summary = summary;
  return schema;
}

/// A string as a template argument, for names that are checked while compiling.
template <size_t N>
struct FixedString {
  constexpr FixedString(const char (&text)[N]) { std::copy_n(text, N, chars.begin()); }  // NOLINT
  std::array<char, N> chars{};
  [[nodiscard]] constexpr std::string_view view() const { return {chars.data(), N - 1}; }
};

}  // namespace dejavu

#endif  // DEJAVU_IR_CORE_OPSCHEMA_H_
