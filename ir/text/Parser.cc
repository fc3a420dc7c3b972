#include "ir/text/Parser.h"

#include <charconv>
#include <map>

#include "ir/ops/Registry.h"

namespace dejavu {
namespace {

bool IsStage(std::string_view word) { return word == "onnx" || word == "model" || word == "sparse" || word == "sched"; }

class ModuleParser {
 public:
  ModuleParser(std::string_view text, std::string_view file) : lexer_(text, file) {}
  absl::StatusOr<std::unique_ptr<Module>> Parse();

 private:
  using ValueMap = std::map<std::string, Value*, std::less<>>;

  absl::StatusOr<AttributeMap> ParseAttributes();
  absl::StatusOr<std::string> ParseName(TokenKind kind, std::string_view what);
  absl::StatusOr<std::string> ParseString(std::string_view what);
  absl::StatusOr<Type> ParseType();
  absl::Status ParseWeight();
  absl::Status ParseFunction();
  absl::Status ParseArguments(Function* function);
  absl::Status ParseOperation(Function* function);
  absl::Status ParseReturn(Function* function);
  absl::StatusOr<const OpSchema*> ParseOpName();
  absl::StatusOr<std::vector<Value*>> ParseOperands();
  absl::StatusOr<std::vector<Type>> ParseResultTypes(size_t count);
  absl::StatusOr<Value*> ParseValue();
  absl::Status Define(const std::string& name, Value* value, const Token& at);

  Lexer lexer_;
  std::unique_ptr<Module> module_;
  ValueMap values_;
  std::map<std::string, Weight*, std::less<>> weights_;
};

absl::StatusOr<std::string> ModuleParser::ParseName(TokenKind kind, std::string_view what) {
  if (lexer_.token().kind != kind) {
    return lexer_.Error(absl::StrCat("expected ", std::string(what), ", but found ", lexer_.Found()));
  }
  std::string name = lexer_.token().text;
  lexer_.Advance();
  return name;
}

absl::StatusOr<std::string> ModuleParser::ParseString(std::string_view what) {
  return ParseName(TokenKind::kString, what);
}

absl::StatusOr<AttributeMap> ModuleParser::ParseAttributes() {
  AttributeMap attributes;
  while (!lexer_.AtPunct("}")) {
    const Token at = lexer_.token();
    ASSIGN_OR_RETURN(std::string key, ParseName(TokenKind::kIdentifier, "an attribute's name"));
    RETURN_IF_ERROR(lexer_.Expect("="));
    ASSIGN_OR_RETURN(Attribute value, ParseAttribute(lexer_));
    if (!attributes.emplace(key, std::move(value)).second) {
      return lexer_.ErrorAt(at.line, at.column, absl::StrCat("attribute '", key, "' is given twice"));
    }
    if (!lexer_.Accept(",")) {
      break;
    }
  }
  RETURN_IF_ERROR(lexer_.Expect("}"));
  return attributes;
}

absl::StatusOr<Type> ModuleParser::ParseType() {
  const std::optional<DType> dtype =
      lexer_.token().kind == TokenKind::kIdentifier ? ParseDType(lexer_.token().text) : std::nullopt;
  if (!dtype) {
    return lexer_.Error("expected a type such as f32<tokens, 768>, but found " + lexer_.Found());
  }
  lexer_.Advance();
  RETURN_IF_ERROR(lexer_.Expect("<"));
  Type type{*dtype, {}};
  while (!lexer_.AtPunct(">")) {
    const Token& token = lexer_.token();
    if (token.kind == TokenKind::kIdentifier) {
      type.shape.emplace_back(token.text);
    } else {
      int64_t size = 0;
      const char* end = token.text.data() + token.text.size();
      const auto [stop, error] = std::from_chars(token.text.data(), end, size);
      if (token.kind != TokenKind::kNumber || error != std::errc() || stop != end || size < 0 || size > (1LL << 40)) {
        return lexer_.Error("expected a dimension, but found " + lexer_.Found());
      }
      type.shape.emplace_back(size);
    }
    lexer_.Advance();
    if (!lexer_.Accept(",")) {
      break;
    }
  }
  RETURN_IF_ERROR(lexer_.Expect(">"));
  return type;
}

absl::Status ModuleParser::ParseWeight() {
  const Token at = lexer_.token();
  Weight weight;
  ASSIGN_OR_RETURN(weight.name, ParseName(TokenKind::kAt, "a weight's name"));
  if (weights_.contains(weight.name)) {
    return lexer_.ErrorAt(at.line, at.column, absl::StrCat("weight '", weight.name, "' is defined twice"));
  }
  RETURN_IF_ERROR(lexer_.Expect(":"));
  ASSIGN_OR_RETURN(weight.type, ParseType());
  if (!weight.type.is_static()) {
    return lexer_.ErrorAt(at.line, at.column, absl::StrCat("weight '", weight.name, "' must have a fixed shape"));
  }
  RETURN_IF_ERROR(lexer_.Expect("="));
  ASSIGN_OR_RETURN(std::string maker, ParseName(TokenKind::kIdentifier, "file(...) or a transform"));
  RETURN_IF_ERROR(lexer_.Expect("("));
  if (maker == "file") {
    ASSIGN_OR_RETURN(weight.file, ParseString("a file's name"));
    RETURN_IF_ERROR(lexer_.Expect(","));
    ASSIGN_OR_RETURN(weight.tensor, ParseString("a tensor's name"));
  } else {
    weight.transform = maker;
    do {
      const Token source_at = lexer_.token();
      ASSIGN_OR_RETURN(std::string source, ParseName(TokenKind::kAt, "a weight"));
      auto it = weights_.find(source);
      if (it == weights_.end()) {
        return lexer_.ErrorAt(source_at.line, source_at.column,
                              absl::StrCat("weight '", source, "' is not defined above"));
      }
      weight.sources.push_back(it->second);
    } while (lexer_.Accept(","));
  }
  RETURN_IF_ERROR(lexer_.Expect(")"));
  if (lexer_.Accept("hash")) {
    ASSIGN_OR_RETURN(weight.hash, ParseString("a hash"));
  }
  std::string name = weight.name;
  weights_[name] = module_->AddWeight(std::move(weight));
  return absl::OkStatus();
}

absl::Status ModuleParser::Define(const std::string& name, Value* value, const Token& at) {
  value->set_name(name);
  if (!values_.emplace(name, value).second) {
    return lexer_.ErrorAt(at.line, at.column, absl::StrCat("'%", name, "' is defined twice"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Value*> ModuleParser::ParseValue() {
  const Token token = lexer_.token();
  lexer_.Advance();
  if (token.kind == TokenKind::kIdentifier && token.text == "none") {
    return static_cast<Value*>(nullptr);
  }
  if (token.kind == TokenKind::kAt) {
    if (auto it = weights_.find(token.text); it != weights_.end()) {
      return it->second->value;
    }
    return lexer_.ErrorAt(token.line, token.column, absl::StrCat("weight '@", token.text, "' is not defined"));
  }
  if (token.kind == TokenKind::kPercent) {
    if (auto it = values_.find(token.text); it != values_.end()) {
      return it->second;
    }
    return lexer_.ErrorAt(token.line, token.column, absl::StrCat("value '%", token.text, "' is not defined above"));
  }
  return lexer_.ErrorAt(token.line, token.column, "expected %value, @weight or none");
}

absl::Status ModuleParser::ParseArguments(Function* function) {
  RETURN_IF_ERROR(lexer_.Expect("("));
  while (!lexer_.AtPunct(")")) {
    const Token at = lexer_.token();
    ASSIGN_OR_RETURN(std::string name, ParseName(TokenKind::kPercent, "an argument"));
    RETURN_IF_ERROR(lexer_.Expect(":"));
    ASSIGN_OR_RETURN(Type type, ParseType());
    RETURN_IF_ERROR(Define(name, function->AddArgument(std::move(type), name), at));
    if (!lexer_.Accept(",")) {
      break;
    }
  }
  return lexer_.Expect(")");
}

absl::StatusOr<const OpSchema*> ModuleParser::ParseOpName() {
  const Token at = lexer_.token();
  ASSIGN_OR_RETURN(std::string name, ParseName(TokenKind::kIdentifier, "an op's name"));
  if (name == "sched.launch") {
    ASSIGN_OR_RETURN(std::string kernel, ParseName(TokenKind::kAt, "a kernel's name"));
    absl::StrAppend(&name, " @", kernel);
  }
  const OpSchema* schema = FindOpSchema(name);
  if (schema == nullptr) {
    return lexer_.ErrorAt(at.line, at.column, absl::StrCat("there is no op '", name, "'; ir/ops/OPS.md lists them"));
  }
  return schema;
}

absl::StatusOr<std::vector<Value*>> ModuleParser::ParseOperands() {
  std::vector<Value*> operands;
  RETURN_IF_ERROR(lexer_.Expect("("));
  while (!lexer_.AtPunct(")")) {
    ASSIGN_OR_RETURN(Value * value, ParseValue());
    operands.push_back(value);
    if (!lexer_.Accept(",")) {
      break;
    }
  }
  RETURN_IF_ERROR(lexer_.Expect(")"));
  return operands;
}

absl::StatusOr<std::vector<Type>> ModuleParser::ParseResultTypes(size_t count) {
  std::vector<Type> types;
  if (count == 0) {
    return types;
  }
  RETURN_IF_ERROR(lexer_.Expect(":"));
  do {
    ASSIGN_OR_RETURN(Type type, ParseType());
    types.push_back(std::move(type));
  } while (lexer_.Accept(","));
  if (types.size() != count) {
    return lexer_.Error(absl::StrCat(count, " results need ", count, " types, but ", types.size(), " are given"));
  }
  return types;
}

absl::Status ModuleParser::ParseOperation(Function* function) {
  std::vector<Token> results;
  while (lexer_.token().kind == TokenKind::kPercent) {
    results.push_back(lexer_.token());
    lexer_.Advance();
    if (!lexer_.Accept(",")) {
      break;
    }
  }
  if (!results.empty()) {
    RETURN_IF_ERROR(lexer_.Expect("="));
  }
  Location location{"", lexer_.token().line, lexer_.token().column};
  ASSIGN_OR_RETURN(const OpSchema* schema, ParseOpName());
  ASSIGN_OR_RETURN(std::vector<Value*> operands, ParseOperands());
  if (!schema->has_variadic_operand() && operands.size() < schema->num_operands) {
    operands.resize(schema->num_operands, nullptr);  // optional ones at the end may be left out
  }
  int64_t stream = -1;
  if (lexer_.Accept("on")) {
    ASSIGN_OR_RETURN(const std::string word, ParseName(TokenKind::kIdentifier, "a stream"));
    const char* end = word.data() + word.size();
    if (!word.starts_with("stream") || std::from_chars(word.data() + 6, end, stream).ptr != end || stream < 0) {
      return lexer_.Error("expected a stream such as stream0");
    }
  }
  AttributeMap attributes;
  if (lexer_.Accept("{")) {
    ASSIGN_OR_RETURN(attributes, ParseAttributes());
  }
  if (stream >= 0) {
    attributes["stream"] = stream;
  }
  ASSIGN_OR_RETURN(std::vector<Type> types, ParseResultTypes(results.size()));
  if (lexer_.Accept("loc")) {
    RETURN_IF_ERROR(lexer_.Expect("("));
    ASSIGN_OR_RETURN(location.node, ParseString("a location"));
    RETURN_IF_ERROR(lexer_.Expect(")"));
  }
  Operation* op = function->Insert(std::make_unique<Operation>(schema, std::move(operands), std::move(attributes),
                                                               std::move(types), std::move(location)));
  for (size_t i = 0; i < results.size(); ++i) {
    RETURN_IF_ERROR(Define(results[i].text, op->result(i), results[i]));
  }
  return absl::OkStatus();
}

absl::Status ModuleParser::ParseReturn(Function* function) {
  std::vector<Value*> values;
  std::vector<std::string> names;
  while (lexer_.token().kind == TokenKind::kPercent) {
    ASSIGN_OR_RETURN(Value * value, ParseValue());
    values.push_back(value);
    names.emplace_back();
    if (lexer_.Accept("as")) {
      ASSIGN_OR_RETURN(names.back(), ParseString("an output's name"));
    }
    if (!lexer_.Accept(",")) {
      break;
    }
  }
  function->SetReturns(std::move(values), std::move(names));
  return absl::OkStatus();
}

absl::Status ModuleParser::ParseFunction() {
  const Token at = lexer_.token();
  ASSIGN_OR_RETURN(std::string name, ParseName(TokenKind::kAt, "a function's name"));
  if (module_->FindFunction(name) != nullptr) {
    return lexer_.ErrorAt(at.line, at.column, absl::StrCat("function '", name, "' is defined twice"));
  }
  Function* function = module_->AddFunction(name);
  values_.clear();
  RETURN_IF_ERROR(ParseArguments(function));
  RETURN_IF_ERROR(lexer_.Expect("{"));
  while (!lexer_.AtWord("return")) {
    RETURN_IF_ERROR(ParseOperation(function));
  }
  lexer_.Advance();
  RETURN_IF_ERROR(ParseReturn(function));
  return lexer_.Expect("}");
}

absl::StatusOr<std::unique_ptr<Module>> ModuleParser::Parse() {
  RETURN_IF_ERROR(lexer_.Expect("module"));
  ASSIGN_OR_RETURN(std::string name, ParseName(TokenKind::kAt, "the module's name"));
  module_ = std::make_unique<Module>(name);
  RETURN_IF_ERROR(lexer_.Expect("at"));
  if (!IsStage(lexer_.token().text)) {
    return lexer_.Error("expected a stratum (onnx, model, sparse or sched), but found " + lexer_.Found());
  }
  module_->set_stage(lexer_.token().text);
  lexer_.Advance();
  if (lexer_.Accept("{") && lexer_.token().kind == TokenKind::kIdentifier && !lexer_.AtWord("weight") &&
      !lexer_.AtWord("func")) {
    ASSIGN_OR_RETURN(AttributeMap attributes, ParseAttributes());
    for (auto& [key, value] : attributes) {
      module_->SetAttribute(key, std::move(value));
    }
    RETURN_IF_ERROR(lexer_.Expect("{"));
  }
  while (!lexer_.AtPunct("}")) {
    if (lexer_.Accept("weight")) {
      RETURN_IF_ERROR(ParseWeight());
    } else if (lexer_.Accept("func")) {
      RETURN_IF_ERROR(ParseFunction());
    } else {
      return lexer_.Error("expected weight, func or }, but found " + lexer_.Found());
    }
  }
  lexer_.Advance();
  if (lexer_.token().kind != TokenKind::kEnd) {
    return lexer_.Error("expected the end of the text, but found " + lexer_.Found());
  }
  return std::move(module_);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Module>> ParseModule(std::string_view text, std::string_view file) {
  return ModuleParser(text, file).Parse();
}

}  // namespace dejavu
