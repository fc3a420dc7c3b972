#include "runtime/text/Tokenizer.h"

#include <queue>
#include <unordered_map>

#include "ir/base/Status.h"

namespace dejavu {
namespace {

constexpr std::string_view kBos = "</s>";
// The tokens that tokenizer.json of an OPT adds to the vocabulary's merges; all start with '<'.
constexpr std::string_view kSpecials[] = {"<s>", "<pad>", "</s>", "<unk>"};
// Positions inside a piece are int32.
constexpr size_t kMaxTextBytes = size_t{1} << 30;

// A token inside a piece that is being merged; linked, so that a merge costs the same wherever it is.
struct Symbol {
  int32_t token;  // -1 once it was merged into its left neighbour
  int32_t previous;
  int32_t next;  // -1 at the end
};

// Two neighbours that may merge, unless one of them changed since.
struct Candidate {
  Merge merge;
  int32_t left;  // position of the left symbol
};

struct LaterCandidate {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return std::pair(a.merge.rank, a.left) > std::pair(b.merge.rank, b.left);
  }
};

}  // namespace

absl::StatusOr<Tokenizer> Tokenizer::Load(const std::string& folder) {
  const std::string vocab_path = folder + "/vocab.json";
  ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::Load(vocab_path, folder + "/merges.txt"));
  return Create(std::move(vocabulary), vocab_path);
}

absl::StatusOr<Tokenizer> Tokenizer::Create(Vocabulary vocabulary, const std::string& where) {
  if (!vocabulary.Find(kBos).has_value()) {
    return UserError(where, ": has no token '", std::string(kBos), "', which begins and ends texts");
  }
  ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, PreTokenizer::Create());
  return Tokenizer(std::move(vocabulary), std::move(pre_tokenizer));
}

Tokenizer::Tokenizer(Vocabulary vocabulary, PreTokenizer pre_tokenizer)
    : vocabulary_(std::move(vocabulary)), pre_tokenizer_(std::move(pre_tokenizer)) {
  for (const std::string_view special : kSpecials) {
    if (const std::optional<int32_t> id = vocabulary_.Find(special); id.has_value()) {
      specials_.emplace_back(special, *id);
    }
  }
  bos_ = *vocabulary_.Find(kBos);
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text) const {
  if (text.size() > kMaxTextBytes) {
    return UserError("the text has ", text.size(), " bytes; at most ", kMaxTextBytes, " can be tokenized at once");
  }
  std::vector<int32_t> ids;
  size_t begin = 0;
  for (size_t at = text.find('<'); at != std::string_view::npos; at = text.find('<', at)) {
    const auto [length, id] = MatchSpecial(text.substr(at));
    if (length == 0) {
      ++at;
      continue;
    }
    RETURN_IF_ERROR(EncodeOrdinary(text.substr(begin, at - begin), ids));
    ids.push_back(id);
    at += length;
    begin = at;
  }
  RETURN_IF_ERROR(EncodeOrdinary(text.substr(begin), ids));
  return ids;
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::EncodePrompt(std::string_view text) const {
  ASSIGN_OR_RETURN(std::vector<int32_t> ids, Encode(text));
  ids.insert(ids.begin(), bos_);
  return ids;
}

std::string Tokenizer::Decode(std::span<const int32_t> ids) const {
  std::string bytes;
  for (const int32_t id : ids) {
    bytes.append(BytesOf(id));
  }
  return bytes;
}

std::pair<size_t, int32_t> Tokenizer::MatchSpecial(std::string_view text) const {
  for (const auto& [name, id] : specials_) {
    if (text.starts_with(name)) {
      return {name.size(), id};
    }
  }
  return {0, 0};
}

absl::Status Tokenizer::EncodeOrdinary(std::string_view text, std::vector<int32_t>& ids) const {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> pieces, pre_tokenizer_.Split(text));
  // Words repeat; a word's ids are copied from where it came first.
  std::unordered_map<std::string_view, std::pair<size_t, size_t>> known;
  for (const std::string_view piece : pieces) {
    const auto [entry, is_new] = known.try_emplace(piece);
    auto& [begin, end] = entry->second;
    if (is_new) {
      begin = ids.size();
      MergePiece(piece, ids);
      end = ids.size();
    } else {
      for (size_t i = begin; i < end; ++i) {
        ids.push_back(ids[i]);
      }
    }
  }
  return absl::OkStatus();
}

void Tokenizer::MergePiece(std::string_view piece, std::vector<int32_t>& ids) const {
  const auto count = static_cast<int32_t>(piece.size());
  std::vector<Symbol> symbols;
  symbols.reserve(piece.size());
  for (int32_t i = 0; i < count; ++i) {
    const int32_t token = vocabulary_.byte_token(static_cast<uint8_t>(piece[static_cast<size_t>(i)]));
    symbols.push_back({token, i - 1, i + 1 < count ? i + 1 : -1});
  }
  std::priority_queue<Candidate, std::vector<Candidate>, LaterCandidate> candidates;
  const auto consider = [&](int32_t left) {
    const int32_t right = left < 0 ? -1 : symbols[static_cast<size_t>(left)].next;
    if (right < 0) {
      return;
    }
    const Merge* merge =
        vocabulary_.FindMerge(symbols[static_cast<size_t>(left)].token, symbols[static_cast<size_t>(right)].token);
    if (merge != nullptr) {
      candidates.push({*merge, left});
    }
  };
  for (int32_t i = 0; i + 1 < count; ++i) {
    consider(i);
  }
  while (!candidates.empty()) {
    const Candidate candidate = candidates.top();
    candidates.pop();
    Symbol& left = symbols[static_cast<size_t>(candidate.left)];
    if (left.token < 0 || left.next < 0) {
      continue;
    }
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    const Merge* merge = vocabulary_.FindMerge(left.token, right.token);
    if (merge == nullptr || merge->token != candidate.merge.token) {
      continue;
    }
    left.token = merge->token;
    right.token = -1;
    left.next = right.next;
    if (right.next >= 0) {
      symbols[static_cast<size_t>(right.next)].previous = candidate.left;
    }
    consider(left.previous);
    consider(candidate.left);
  }
  for (const Symbol& symbol : symbols) {
    if (symbol.token >= 0) {
      ids.push_back(symbol.token);
    }
  }
}

}  // namespace dejavu
