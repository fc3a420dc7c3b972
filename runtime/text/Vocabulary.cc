#include "runtime/text/Vocabulary.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "ir/base/FileUtil.h"
#include "ir/base/Status.h"
#include "runtime/text/ByteSymbols.h"

namespace dejavu {
namespace {

using Json = nlohmann::json;

// Real vocabularies have up to some hundred thousand tokens; the limits keep a wrong file from filling the memory.
constexpr size_t kMaxFileBytes = size_t{64} << 20;
constexpr uint64_t kMaxId = (uint64_t{1} << 22) - 1;

// Reads vocab.json as a stream of JSON events, because a document tree would silently keep one of two equal tokens.
class VocabHandler : public nlohmann::json_sax<Json> {
 public:
  VocabHandler(std::unordered_map<std::string, int32_t>& ids, std::vector<std::string>& tokens)
      : ids_(ids), tokens_(tokens) {}

  const std::string& error() const { return error_; }

  bool start_object(size_t /*elements*/) override {
    return !std::exchange(started_, true) || Fail(absl::StrCat("token '", token_, "' has an object for its id"));
  }
  bool key(string_t& text) override {
    token_ = text;
    return !ids_.contains(token_) || Fail(absl::StrCat("token '", token_, "' appears twice"));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (!started_ || value > kMaxId) {
      return Refuse(std::to_string(value));
    }
    if (value >= tokens_.size()) {
      tokens_.resize(value + 1);
      used_.resize(value + 1, false);
    }
    if (used_[value]) {
      return Fail(absl::StrCat("tokens '", tokens_[value], "' and '", token_, "' have the same id ", value));
    }
    used_[value] = true;
    tokens_[value] = token_;
    ids_.emplace(token_, static_cast<int32_t>(value));
    return true;
  }
  bool end_object() override { return true; }
  bool start_array(size_t /*elements*/) override { return Refuse("an array"); }
  bool end_array() override { return true; }
  bool string(string_t& /*text*/) override { return Refuse("a string"); }
  bool number_integer(number_integer_t value) override { return Refuse(std::to_string(value)); }
  bool number_float(number_float_t /*value*/, const string_t& text) override { return Refuse(text); }
  bool null() override { return Refuse("null"); }
  bool boolean(bool /*value*/) override { return Refuse("a boolean"); }
  bool binary(binary_t& /*value*/) override { return Refuse("binary data"); }
  bool parse_error(size_t position, const std::string& /*token*/, const nlohmann::detail::exception& /*e*/) override {
    return Fail(absl::StrCat("is not valid JSON at byte ", position));
  }

 private:
  bool Refuse(const std::string& value) {
    return Fail(started_ ? absl::StrCat("token '", token_, "' has ", value,
                                        " for its id; ids are whole numbers from 0 to ", kMaxId)
                         : "must be a JSON object of tokens and their ids");
  }
  bool Fail(std::string message) {
    error_ = std::move(message);
    return false;
  }

  std::unordered_map<std::string, int32_t>& ids_;
  std::vector<std::string>& tokens_;  // by id
  std::vector<bool> used_;
  bool started_ = false;
  std::string token_;
  std::string error_;
};

uint64_t PairKey(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32U) | static_cast<uint32_t>(right);
}

// The next line of `text`, without its end; `text` moves past it.
std::string_view TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  return line;
}

}  // namespace

absl::StatusOr<Vocabulary> Vocabulary::Load(const std::string& vocab_path, const std::string& merges_path) {
  ASSIGN_OR_RETURN(const std::string vocab, ReadTextFile(vocab_path, kMaxFileBytes));
  ASSIGN_OR_RETURN(const std::string merges, ReadTextFile(merges_path, kMaxFileBytes));
  return Parse(vocab, vocab_path, merges, merges_path);
}

absl::StatusOr<Vocabulary> Vocabulary::Parse(std::string_view vocab_text, const std::string& vocab_path,
                                             std::string_view merges_text, const std::string& merges_path) {
  Vocabulary vocabulary;
  RETURN_IF_ERROR(vocabulary.ParseTokens(vocab_text, vocab_path));
  RETURN_IF_ERROR(vocabulary.FindByteTokens(vocab_path));
  RETURN_IF_ERROR(vocabulary.ParseMerges(merges_text, merges_path, vocab_path));
  return vocabulary;
}

absl::Status Vocabulary::ParseTokens(std::string_view text, const std::string& path) {
  std::vector<std::string> tokens;
  VocabHandler handler(ids_, tokens);
  if (!Json::sax_parse(text.begin(), text.end(), &handler)) {
    return UserError(path, ": ", handler.error());
  }
  bytes_.reserve(tokens.size());
  for (const std::string& token : tokens) {
    bytes_.push_back(BytesOfToken(token));
  }
  return absl::OkStatus();
}

absl::Status Vocabulary::FindByteTokens(const std::string& path) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::string symbol = ByteSymbol(static_cast<uint8_t>(byte));
    const std::optional<int32_t> id = Find(symbol);
    if (!id.has_value()) {
      return UserError(path, ": has no token '", symbol, "' for the byte ", byte,
                       "; only byte-level vocabularies as GPT-2's and OPT's are supported");
    }
    byte_tokens_[byte] = *id;
  }
  return absl::OkStatus();
}

absl::Status Vocabulary::ParseMerges(std::string_view text, const std::string& path, const std::string& vocab_path) {
  int64_t number = 0;
  while (!text.empty()) {
    const std::string_view line = TakeLine(text);
    ++number;
    if (line.empty() || (number == 1 && line.starts_with("#version"))) {
      continue;
    }
    const std::string where = absl::StrCat(path, ":", number);
    const size_t space = line.find(' ');
    if (space == 0 || space == std::string_view::npos || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string_view::npos) {
      return UserError(where, ": a merge must be two tokens with one space between, but the line is '",
                       std::string(line), "'");
    }
    const std::string left(line.substr(0, space));
    const std::string right(line.substr(space + 1));
    std::array<int32_t, 3> ids = {};
    const std::array<std::string, 3> names = {left, right, left + right};
    for (size_t i = 0; i < names.size(); ++i) {
      const std::optional<int32_t> id = Find(names[i]);
      if (!id.has_value()) {
        return UserError(where, ": merge '", std::string(line), "' ", i == 2 ? "makes" : "names", " the token '",
                         names[i], "', which ", vocab_path, " does not have");
      }
      ids[i] = *id;
    }
    const Merge merge = {static_cast<int32_t>(merges_.size()), ids[2]};
    if (!merges_.emplace(PairKey(ids[0], ids[1]), merge).second) {
      return UserError(where, ": merge '", std::string(line), "' appears twice");
    }
  }
  return absl::OkStatus();
}

std::optional<int32_t> Vocabulary::Find(std::string_view token) const {
  const auto found = ids_.find(std::string(token));
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const Merge* Vocabulary::FindMerge(int32_t left, int32_t right) const {
  const auto found = merges_.find(PairKey(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

std::string_view Vocabulary::BytesOf(int32_t id) const {
  return id >= 0 && id < size() ? std::string_view(bytes_[static_cast<size_t>(id)]) : std::string_view();
}

}  // namespace dejavu
