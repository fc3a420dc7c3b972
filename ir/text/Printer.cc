#include "ir/text/Printer.h"

#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ir/text/Lexer.h"

namespace dejavu {
namespace {

std::string PrintNumber(double value) {
  if (std::isnan(value)) {
    return "nan";
  }
  if (std::isinf(value)) {
    return value > 0 ? "inf" : "-inf";
  }
  std::array<char, 40> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  std::string text(buffer.data(), end);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string PrintLiteral(const TensorLiteral& literal) {
  std::string text = absl::StrCat(std::string(DTypeName(literal.dtype)), "<", absl::StrJoin(literal.dims, ", "), ">[");
  if (IsFloat(literal.dtype)) {
    absl::StrAppend(&text, absl::StrJoin(literal.floats, ", ",
                                         [](std::string* out, double value) { out->append(PrintNumber(value)); }));
  } else {
    absl::StrAppend(&text, absl::StrJoin(literal.ints, ", "));
  }
  return text + "]";
}

std::string AtName(std::string_view name) { return "@" + (IsPlainName(name) ? std::string(name) : Quote(name)); }

/// Unique printed names for the values of one function.
class Names {
 public:
  explicit Names(const Function& function) {
    for (size_t i = 0; i < function.num_arguments(); ++i) {
      Add(function.argument(i));
    }
    for (const auto& op : function.ops()) {
      for (size_t i = 0; i < op->num_results(); ++i) {
        Add(op->result(i));
      }
    }
  }

  [[nodiscard]] std::string Get(const Value* value) const {
    if (value == nullptr) {
      return "none";
    }
    if (value->weight() != nullptr) {
      return AtName(value->name());
    }
    auto it = names_.find(value);
    return it == names_.end() ? "%<dangling>" : it->second;
  }

 private:
  void Add(const Value* value) {
    std::string name = value->name();
    const bool numbered = name.empty() || name.find_first_not_of("0123456789") == std::string::npos;
    if (numbered) {
      name = std::to_string(next_number_++);
    }
    const std::string base = name;
    for (int suffix = 1; !taken_.insert(name).second; ++suffix) {
      name = absl::StrCat(base, "_", suffix);
    }
    names_[value] = "%" + (IsPlainName(name) ? name : Quote(name));
  }

  std::map<const Value*, std::string> names_;
  std::set<std::string> taken_;
  int next_number_ = 0;
};

std::string PrintWeight(const Weight& weight) {
  std::string text = absl::StrCat("  weight ", AtName(weight.name), " : ", weight.type.ToString(), " = ");
  if (weight.is_derived()) {
    absl::StrAppend(&text, weight.transform, "(",
                    absl::StrJoin(weight.sources, ", ",
                                  [](std::string* out, const Weight* source) { out->append(AtName(source->name)); }),
                    ")");
  } else {
    absl::StrAppend(&text, "file(", Quote(weight.file), ", ", Quote(weight.tensor), ")");
  }
  if (!weight.hash.empty()) {
    absl::StrAppend(&text, " hash ", Quote(weight.hash));
  }
  return text + "\n";
}

/// Absent optional operands are written as none, but for those at the end, which are left out.
std::vector<const Value*> WrittenOperands(const Operation& op) {
  std::vector<const Value*> operands(op.operands().begin(), op.operands().end());
  while (!operands.empty() && operands.back() == nullptr) {
    operands.pop_back();
  }
  return operands;
}

std::string PrintOp(const Operation& op, const Names& names) {
  std::string text;
  for (size_t i = 0; i < op.num_results(); ++i) {
    absl::StrAppend(&text, i > 0 ? ", " : "", names.Get(op.result(i)));
  }
  absl::StrAppend(&text, op.num_results() > 0 ? " = " : "", std::string(op.name()), "(",
                  absl::StrJoin(WrittenOperands(op), ", ",
                                [&](std::string* out, const Value* value) { out->append(names.Get(value)); }),
                  ")");
  AttributeMap attributes = op.attributes();
  if (auto stream = op.GetAttribute<int64_t>("stream"); stream && op.schema().family() == "sched") {
    absl::StrAppend(&text, " on stream", *stream);
    attributes.erase("stream");
  }
  if (!attributes.empty()) {
    absl::StrAppend(&text, " ", PrintAttributes(attributes));
  }
  for (size_t i = 0; i < op.num_results(); ++i) {
    absl::StrAppend(&text, i == 0 ? " : " : ", ", op.result(i)->type().ToString());
  }
  if (!op.location().node.empty()) {
    absl::StrAppend(&text, " loc(", Quote(op.location().node), ")");
  }
  return text;
}

void PrintFunction(const Function& function, std::string* out) {
  const Names names(function);
  absl::StrAppend(out, "  func ", AtName(function.name()), "(");
  for (size_t i = 0; i < function.num_arguments(); ++i) {
    const Value* argument = function.argument(i);
    absl::StrAppend(out, i > 0 ? ", " : "", names.Get(argument), ": ", argument->type().ToString());
  }
  absl::StrAppend(out, ") {\n");
  for (const auto& op : function.ops()) {
    absl::StrAppend(out, "    ", PrintOp(*op, names), "\n");
  }
  absl::StrAppend(out, "    return");
  for (size_t i = 0; i < function.returns().size(); ++i) {
    absl::StrAppend(out, i > 0 ? ", " : " ", names.Get(function.returns()[i]));
    if (!function.return_names()[i].empty()) {
      absl::StrAppend(out, " as ", Quote(function.return_names()[i]));
    }
  }
  absl::StrAppend(out, "\n  }\n");
}

}  // namespace

std::string PrintAttribute(const Attribute& attribute) {
  if (const auto* flag = std::get_if<bool>(&attribute)) {
    return *flag ? "true" : "false";
  }
  if (const auto* integer = std::get_if<int64_t>(&attribute)) {
    return std::to_string(*integer);
  }
  if (const auto* number = std::get_if<double>(&attribute)) {
    return PrintNumber(*number);
  }
  if (const auto* text = std::get_if<std::string>(&attribute)) {
    return Quote(*text);
  }
  if (const auto* ints = std::get_if<std::vector<int64_t>>(&attribute)) {
    return absl::StrCat("[", absl::StrJoin(*ints, ", "), "]");
  }
  return PrintLiteral(std::get<TensorLiteral>(attribute));
}

std::string PrintAttributes(const AttributeMap& attributes) {
  if (attributes.empty()) {
    return "";
  }
  return absl::StrCat("{",
                      absl::StrJoin(attributes, ", ",
                                    [](std::string* out, const auto& entry) {
                                      absl::StrAppend(out, entry.first, " = ", PrintAttribute(entry.second));
                                    }),
                      "}");
}

std::string PrintModule(const Module& module) {
  std::string out = absl::StrCat("module ", AtName(module.name()), " at ", module.stage());
  if (!module.attributes().empty()) {
    absl::StrAppend(&out, " ", PrintAttributes(module.attributes()));
  }
  absl::StrAppend(&out, " {\n");
  for (const auto& weight : module.weights()) {
    absl::StrAppend(&out, PrintWeight(*weight));
  }
  for (const auto& function : module.functions()) {
    PrintFunction(*function, &out);
  }
  return out + "}\n";
}

}  // namespace dejavu
