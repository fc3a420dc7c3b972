#include "ir/verify/ScheduleVerifier.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "ir/base/Phases.h"
#include "ir/verify/ListVerifier.h"
#include "ir/verify/StreamOrder.h"
#include "ir/verify/Verifier.h"

namespace dejavu {
namespace {

constexpr int64_t kAlign = 64;
constexpr int64_t kMaxArenaBytes = int64_t{1} << 40;
constexpr int64_t kMaxExtent = int64_t{1} << 24;

std::string NameOf(const Value& value) {
  return value.name().empty() ? "a value" : absl::StrCat("'", value.name(), "'");
}

absl::Status CheckFact(const Module& module, std::string_view key, int64_t low, int64_t high) {
  const auto it = module.attributes().find(key);
  if (it == module.attributes().end() || !std::holds_alternative<int64_t>(it->second)) {
    return UserError("the module has no attribute '", std::string(key), "' that is an integer",
                     key == "max_tokens" ? "; run plan-buffers" : "");
  }
  const int64_t value = std::get<int64_t>(it->second);
  if (value < low || value > high) {
    return UserError("the module's attribute '", std::string(key), "' must be from ", low, " to ", high, ", but is ",
                     value);
  }
  return absl::OkStatus();
}

absl::Status CheckFacts(const Module& module) {
  RETURN_IF_ERROR(CheckFact(module, "max_tokens", 1, 4096));
  for (const char* key : {"hidden", "heads", "ffn", "vocab", "positions"}) {
    RETURN_IF_ERROR(CheckFact(module, key, 1, kMaxExtent));
  }
  RETURN_IF_ERROR(CheckFact(module, "layers", 1, 1 << 16));
  const int64_t last = module.IntAttribute("vocab") - 1;
  RETURN_IF_ERROR(CheckFact(module, "bos", 0, last));
  return CheckFact(module, "eos", 0, last);
}

/// A stretch of the arena, and the numbers of the launches that write and read it.
struct Stretch {
  int64_t begin;
  int64_t end;
  bool stays;  // to the end of the call
  std::vector<size_t> users;
  std::string name;
};

class FunctionVerifier {
 public:
  FunctionVerifier(const Module& module, const Function& function)
      : module_(module),
        function_(function),
        sequences_(std::max<int64_t>(SequencesOf(function.name()), 1)),
        tokens_(SequencesOf(function.name()) > 0 ? Dim(sequences_) : Dim("tokens")),
        past_(sequences_ > 1 ? Type{DType::kI64, {tokens_}} : Type{DType::kI64, {}}),
        max_tokens_(SequencesOf(function.name()) > 0 ? sequences_ : module.IntAttribute("max_tokens")) {}

  absl::Status Run() {
    RETURN_IF_ERROR(RequireWeights(function_));
    for (const auto& op : function_.ops()) {
      const size_t number = numbers_.size();
      numbers_[op.get()] = number;
    }
    RETURN_IF_ERROR(CheckArguments());
    for (const auto& op : function_.ops()) {
      RETURN_IF_ERROR(CheckTables(*op));
      RETURN_IF_ERROR(CheckCache(*op));
      RETURN_IF_ERROR(CheckLists(*op));
      RETURN_IF_ERROR(AddPlaces(*op));
    }
    RETURN_IF_ERROR(CheckLogits());
    RETURN_IF_ERROR(CheckChoice());
    return CheckOverlaps();
  }

 private:
  absl::Status CheckArguments() {
    const Value* tokens = nullptr;
    for (size_t i = 0; i < function_.num_arguments(); ++i) {
      const Value* argument = function_.argument(i);
      const Type& type = argument->type();
      const bool is_cache =
          IsLazyState(type) || (type.rank() == 4 && type.dtype == DType::kF32 && type.shape[0] == Dim(2 * sequences_) &&
                                type.shape[1].is_static() && type.shape[2] == Dim("past") && type.shape[3].is_static());
      if (type == Type{DType::kI32, {tokens_}} && tokens == nullptr) {
        tokens = argument;
      } else if (type != past_ && !is_cache) {
        return UserError("argument '", argument->name(), "' of @", function_.name(), " must be the tokens, an ",
                         Type{DType::kI32, {tokens_}}.ToString(), ", the past, an ", past_.ToString(),
                         ", or a cache, an f32<", 2 * sequences_, ", heads, past, width>, but is ", type.ToString());
      }
    }
    if (tokens == nullptr) {
      return UserError("@", function_.name(), " must take the tokens, an ", Type{DType::kI32, {tokens_}}.ToString());
    }
    // They are written before the first launch: nothing ends before that.
    stretches_.push_back({0, max_tokens_ * 4, IsReturned(*tokens), Users(*tokens), "the tokens"});
    return absl::OkStatus();
  }

  absl::Status CheckTables(const Operation& op) const {
    const bool embeds_tokens = op.Is("sched.launch @embed_tokens");
    if (!embeds_tokens && !op.Is("sched.launch @embed_positions")) {
      return absl::OkStatus();
    }
    const char* fact = embeds_tokens ? "vocab" : "positions";
    const int64_t rows = op.operand("table")->type().shape[0].size();
    const int64_t offset = embeds_tokens ? 0 : op.GetAttribute<int64_t>("offset").value_or(0);
    const int64_t needed = module_.IntAttribute(fact);
    if (offset < 0 || offset > rows || needed > rows - offset) {
      return UserError(Where(op), " has a table of ", rows, " rows",
                       offset == 0 ? "" : absl::StrCat(" and starts at row ", offset), ", but the module's '", fact,
                       "' is ", needed);
    }
    return absl::OkStatus();
  }

  /// What a layer's lazy heads have beside their cache; of one sequence.
  [[nodiscard]] bool IsLazyState(const Type& type) const {
    const Dim one(int64_t{1});
    return type.rank() == 4 && sequences_ == 1 && type.shape[0] == one &&
           ((type.dtype == DType::kF32 && type.shape[1] == one && type.shape[2] == Dim("past") &&
             type.shape[3].is_static()) ||
            (type.dtype == DType::kI32 && type.shape[1].is_static() && type.shape[2] == one && type.shape[3] == one));
  }

  /// Each cache grows in one place, once a call. Lazy heads have theirs from a lazy_qkv and a lazy_attention, in turn.
  absl::Status CheckCache(const Operation& op) {
    if (op.Is("sched.launch @lazy_attention")) {
      const Operation* qkv = op.operand("qkv")->producer();
      const bool follows = qkv != nullptr && qkv->Is("sched.launch @lazy_qkv") &&
                           qkv->operand("active_heads") == op.operand("active_heads") &&
                           qkv->operand("filled") == op.operand("filled") && qkv->result(1) == op.operand("cache") &&
                           qkv->result(1)->uses().size() == 1;
      return follows ? absl::OkStatus()
                     : UserError(Where(op), " must read what a lazy_qkv makes of the same heads, 'filled' and cache");
    }
    for (const char* port : {"cache", "inputs", "filled"}) {
      const Value* cache = op.schema().OperandIndex(port) < 0 ? nullptr : op.operand(port);
      if (cache == nullptr) {
        continue;
      }
      const auto is_other = [&](const Use& use) {
        return use.user != &op && !(port == std::string_view("filled") && op.Is("sched.launch @lazy_qkv") &&
                                    use.user->Is("sched.launch @lazy_attention"));
      };
      const auto& uses = cache->uses();
      if (cache->producer() != nullptr || cache->weight() != nullptr ||
          std::any_of(uses.begin(), uses.end(), is_other)) {
        return UserError(Where(op), " must update a cache that @", function_.name(), " takes and nothing else reads");
      }
    }
    return absl::OkStatus();
  }

  absl::Status AddPlaces(const Operation& op) {
    const auto at = op.GetAttribute<std::vector<int64_t>>("at");
    if (!at || at->size() != op.num_results()) {
      return UserError(Where(op), " has no place for its results; run plan-buffers");
    }
    for (size_t i = 0; i < op.num_results(); ++i) {
      const Value& value = *op.result(i);
      const int64_t begin = (*at)[i];
      if (value.type().rank() == 4) {
        if (begin != -1) {
          return UserError(Where(op), " has the place ", begin, " for a cache, which stays where it is: expected -1");
        }
        continue;
      }
      if (begin < 0 || begin % kAlign != 0) {
        return UserError(Where(op), " has a result at ", begin, ", but places are multiples of ", kAlign);
      }
      ASSIGN_OR_RETURN(const int64_t bytes, ResultBytes(op, value, max_tokens_));
      if (begin > kMaxArenaBytes - bytes) {
        return UserError(Where(op), " has a result at ", begin, ", past the most that an arena can hold, ",
                         kMaxArenaBytes, " bytes");
      }
      stretches_.push_back(
          {begin, begin + bytes, IsReturned(value), Users(value), absl::StrCat(NameOf(value), " of ", Where(op))});
    }
    return absl::OkStatus();
  }

  bool IsReturned(const Value& value) const {
    const auto& returns = function_.returns();
    return std::find(returns.begin(), returns.end(), &value) != returns.end();
  }

  /// The numbers of the launch that makes `value`, if one does, which comes first, and of those that read it.
  std::vector<size_t> Users(const Value& value) const {
    std::vector<size_t> users;
    if (value.producer() != nullptr) {
      users.push_back(numbers_.at(value.producer()));
    }
    for (const Use& use : value.uses()) {
      users.push_back(numbers_.at(use.user));
    }
    return users;
  }

  absl::Status CheckLogits() const {
    const Type expected{DType::kF32, {Dim(sequences_), Dim(module_.IntAttribute("vocab"))}};
    const Value* value = Returned("logits");
    if (value == nullptr) {
      return UserError("@", function_.name(), " must return a value as \"logits\"");
    }
    if (value->producer() == nullptr || value->type() != expected) {
      return UserError("@", function_.name(), " returns logits of ", value->type().ToString(),
                       ", but the module's 'vocab' needs ", expected.ToString());
    }
    return absl::OkStatus();
  }

  /// What is called "choice" is decoded next: it must be a token that the logits are for.
  absl::Status CheckChoice() const {
    const Value* logits = Returned("logits");
    const Value* choice = Returned("choice");
    if (choice == nullptr) {
      return absl::OkStatus();
    }
    const Operation* op = choice->producer();
    if (op == nullptr || !op->Is("sched.launch @argmax") || op->operand("logits") != logits) {
      return UserError("@", function_.name(), " must return the argmax of its logits as \"choice\"");
    }
    return absl::OkStatus();
  }

  /// The value that the function returns under this name, or null.
  const Value* Returned(std::string_view name) const {
    const auto& names = function_.return_names();
    const auto it = std::find(names.begin(), names.end(), name);
    return it == names.end() ? nullptr : function_.returns()[static_cast<size_t>(it - names.begin())];
  }

  absl::Status CheckOverlaps() const {
    ASSIGN_OR_RETURN(const StreamOrder order, StreamOrder::Of(function_));
    // Whether all that `a` is needed for has ended when `b` is written.
    const auto is_over = [&](const Stretch& a, const Stretch& b) {
      return !a.stays && !b.users.empty() && &b != &stretches_.front() &&
             std::all_of(a.users.begin(), a.users.end(),
                         [&](size_t user) { return order.EndsBefore(user, b.users.front()); });
    };
    for (size_t i = 0; i < stretches_.size(); ++i) {
      const Stretch& a = stretches_[i];
      for (size_t j = i + 1; j < stretches_.size(); ++j) {
        const Stretch& b = stretches_[j];
        if (a.begin < b.end && b.begin < a.end && !is_over(a, b) && !is_over(b, a)) {
          return UserError("@", function_.name(), ": ", b.name, " is at ", b.begin, ", where ", a.name,
                           " is still needed, from ", a.begin, " to ", a.end, "; run plan-buffers again");
        }
      }
    }
    return absl::OkStatus();
  }

  const Module& module_;
  const Function& function_;
  int64_t sequences_;
  Dim tokens_;
  Type past_;
  int64_t max_tokens_;
  std::map<const Operation*, size_t> numbers_;
  std::vector<Stretch> stretches_;
};

/// By name, the types of the caches that `function` takes for each sequence.
std::map<std::string, Type> Caches(const Function& function) {
  std::map<std::string, Type> caches;
  for (size_t i = 0; i < function.num_arguments(); ++i) {
    const Value* argument = function.argument(i);
    if (argument->type().rank() == 4) {
      Type type = argument->type();
      type.shape[0] = Dim(type.shape[0].size() / std::max<int64_t>(SequencesOf(function.name()), 1));
      caches.emplace(argument->name(), std::move(type));
    }
  }
  return caches;
}

absl::Status CheckSameCaches(const Function& other, const Function& decode) {
  const std::map<std::string, Type> a = Caches(other);
  const std::map<std::string, Type> b = Caches(decode);
  for (const auto* caches : {&a, &b}) {
    for (const auto& [name, type] : *caches) {
      const auto in_a = a.find(name);
      const auto in_b = b.find(name);
      if (in_a == a.end() || in_b == b.end() || in_a->second != in_b->second) {
        return UserError("@", other.name(), " and @decode must take the same caches, but '", name, "' is ",
                         in_a == a.end() ? "missing" : in_a->second.ToString(), " in @", other.name(), " and ",
                         in_b == b.end() ? "missing" : in_b->second.ToString(), " in @decode");
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> ResultBytes(const Operation& op, const Value& value, int64_t max_tokens) {
  auto bytes = static_cast<int64_t>(DTypeSize(value.type().dtype));
  for (const Dim& dim : value.type().shape) {
    int64_t size = 0;
    if (dim.is_static()) {
      size = dim.size();
    } else if (dim.symbol() == "tokens") {
      size = max_tokens;
    } else if (dim.symbol() == "active" || dim.symbol() == "heads") {
      size = ListCapacity(op);
    }
    if (size == 0 && !dim.is_static()) {
      return UserError(Where(op),
                       " has a result of unknown capacity: its dimensions must be numbers, tokens, active or heads");
    }
    if (size < 0 || __builtin_mul_overflow(bytes, size, &bytes) || bytes > kMaxArenaBytes) {
      return UserError(Where(op), " has a result that is too large: ", value.type().ToString());
    }
  }
  return value.type().dtype == DType::kIndex ? bytes + kAlign : bytes;  // its count comes first
}

absl::Status VerifySchedule(const Module& module) {
  RETURN_IF_ERROR(CheckFacts(module));
  const Function* prefill = module.FindFunction("prefill");
  const Function* decode = module.FindFunction("decode");
  const bool known = std::all_of(module.functions().begin(), module.functions().end(), [&](const auto& function) {
    return function.get() == prefill || SequencesOf(function->name()) > 0;
  });
  if (prefill == nullptr || decode == nullptr || !known) {
    return UserError("the module must have the functions @prefill and @decode, perhaps @decode_2 to @decode_",
                     kMaxSequences, ", and no other");
  }
  for (const auto& function : module.functions()) {
    RETURN_IF_ERROR(CheckSameCaches(*function, *decode));
    RETURN_IF_ERROR(FunctionVerifier(module, *function).Run());
  }
  return absl::OkStatus();
}

}  // namespace dejavu
