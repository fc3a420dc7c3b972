#include "runtime/artifact/PlanCheck.h"

#include <algorithm>
#include <string>

#include "ir/base/Phases.h"
#include "ir/base/Status.h"
#include "runtime/artifact/PlanGraph.h"

namespace dejavu {
namespace {

/// Checks `ref` against its buffer. `at_least` is what the runtime itself knows the argument to hold, in bytes; there
/// is a cache for each of `sequences`.
absl::Status CheckBuffer(const Plan& plan, const BufferRef& ref, int64_t at_least, const std::string& name,
                         int64_t sequences = 1) {
  const int64_t bytes = std::max({ref.bytes, at_least, int64_t{1}});
  switch (ref.kind) {
    case BufferRef::Kind::kAbsent:
      return absl::OkStatus();
    case BufferRef::Kind::kArena:
      if (ref.value % kBufferAlignment != 0) {
        return UserError("field '", name, "': arena offset ", ref.value, " is not a multiple of ", kBufferAlignment);
      }
      if (ref.value > plan.arena_bytes || bytes > plan.arena_bytes - ref.value) {
        return UserError("field '", name, "': ", bytes, " bytes at arena offset ", ref.value, " end past the arena's ",
                         plan.arena_bytes, " bytes");
      }
      return absl::OkStatus();
    case BufferRef::Kind::kWeight:
      if (ref.value >= static_cast<int64_t>(plan.weights.size())) {
        return UserError("field '", name, "': weight ", ref.value, " does not exist; the plan lists ",
                         plan.weights.size());
      }
      return absl::OkStatus();
    case BufferRef::Kind::kCache:
      if (ref.value >= static_cast<int64_t>(plan.caches.size())) {
        return UserError("field '", name, "': cache ", ref.value, " does not exist; the plan lists ",
                         plan.caches.size());
      }
      if ((bytes - 1) / sequences >= plan.caches[static_cast<size_t>(ref.value)].bytes) {
        return UserError("field '", name, "': ", bytes, " bytes are more than cache ", ref.value, " holds");
      }
      return absl::OkStatus();
  }
  return BugError("unknown kind of buffer");
}

// Bytes of the weight matrix of a gemm.
int64_t GemmWeightBytes(const GemmSpec& spec) { return spec.n * spec.k * static_cast<int64_t>(DTypeSize(spec.dtype)); }

absl::Status CheckGemm(const Plan& plan, const Launch& launch, int64_t tokens, const std::string& name) {
  const GemmSpec& spec = *launch.gemm;
  if (spec.tokens > plan.max_tokens) {
    return UserError("field '", name, "': a product of ", spec.tokens, " tokens, but 'max_tokens' is ",
                     plan.max_tokens);
  }
  const auto present = [&](size_t arg) { return launch.args[arg].kind != BufferRef::Kind::kAbsent; };
  if (!present(0) || !present(1) || !present(4) || present(2) != spec.bias || present(3) != spec.residual) {
    return UserError("field '", name, "': x, w and y must be there, bias and residual as the parameters say");
  }
  if (launch.args[1].kind != BufferRef::Kind::kWeight) {
    return UserError("field '", name, "[1]' must be a weight");
  }
  const int64_t out_bytes = tokens * spec.n * 4;
  RETURN_IF_ERROR(CheckBuffer(plan, launch.args[0], tokens * spec.k * 4, name + "[0]"));
  RETURN_IF_ERROR(CheckBuffer(plan, launch.args[2], spec.n * 4, name + "[2]"));
  RETURN_IF_ERROR(CheckBuffer(plan, launch.args[3], out_bytes, name + "[3]"));
  return CheckBuffer(plan, launch.args[4], out_bytes, name + "[4]");
}

absl::Status CheckCosts(const Plan& plan, const Launch& launch, int64_t sequences, const std::string& name) {
  const auto is_arena = [&](int64_t arg) {
    return launch.args[static_cast<size_t>(arg)].kind == BufferRef::Kind::kArena;
  };
  const auto check_index = [&](int64_t arg) {
    if (!is_arena(arg)) {
      return UserError("field '", name, "': argument ", arg, " must be in the arena");
    }
    return CheckBuffer(plan, launch.args[static_cast<size_t>(arg)], kIndexEntriesOffset, name);
  };
  if (launch.per_active.has_value()) {
    RETURN_IF_ERROR(check_index(launch.per_active->arg));
  }
  if (launch.per_positive.has_value()) {
    RETURN_IF_ERROR(check_index(launch.per_positive->active));
    if (!is_arena(launch.per_positive->h)) {
      return UserError("field '", name, "': argument ", launch.per_positive->h, " must be in the arena");
    }
    if (launch.neurons == 0) {
      return UserError("field '", name, "': 'per_positive' needs 'neurons'");
    }
    return CheckBuffer(plan, launch.args[static_cast<size_t>(launch.per_positive->h)], launch.neurons * 4 * sequences,
                       name);
  }
  return absl::OkStatus();
}

absl::Status CheckFunction(const Plan& plan, const PlanFunction& function, int64_t tokens, int64_t vocab,
                           const std::string& name) {
  if (function.tokens.kind != BufferRef::Kind::kArena || function.logits.kind != BufferRef::Kind::kArena) {
    return UserError("field '", name, "': tokens and logits must be in the arena");
  }
  RETURN_IF_ERROR(CheckBuffer(plan, function.tokens, tokens * 4, name + ".tokens"));
  const int64_t logits = vocab * 4 * function.sequences;
  RETURN_IF_ERROR(CheckBuffer(plan, function.logits, logits, name + ".logits"));
  if (function.choice.kind != BufferRef::Kind::kAbsent && function.choice.kind != BufferRef::Kind::kArena) {
    return UserError("field '", name, ".choice' must be in the arena");
  }
  RETURN_IF_ERROR(
      CheckBuffer(plan, function.choice, static_cast<int64_t>(sizeof(int32_t)) * function.sequences, name + ".choice"));
  if (function.choice.value % kBufferAlignment != 0 || function.logits.value % kBufferAlignment != 0) {
    return UserError("field '", name, "': logits and choice must start at multiples of ", kBufferAlignment, " bytes");
  }
  if (function.logits.bytes != 0 && function.logits.bytes != logits) {
    return UserError("field '", name, ".logits' has ", function.logits.bytes,
                     " bytes, but the manifest's vocabulary of ", vocab, " needs ", logits);
  }
  for (const auto& [tap, buffer] : function.taps) {
    const std::string path = absl::StrCat(name, ".taps.", tap);
    if (buffer.kind != BufferRef::Kind::kArena || buffer.bytes == 0 || buffer.bytes % (tokens * 4) != 0) {
      return UserError("field '", path, "' must be in the arena and have a multiple of ", tokens * 4, " bytes");
    }
    RETURN_IF_ERROR(CheckBuffer(plan, buffer, 0, path));
  }
  for (size_t i = 0; i < function.launches.size(); ++i) {
    const Launch& launch = function.launches[i];
    const std::string path = absl::StrCat(name, ".launches[", i, "]");
    for (size_t arg = 0; arg < launch.args.size(); ++arg) {
      RETURN_IF_ERROR(
          CheckBuffer(plan, launch.args[arg], 0, absl::StrCat(path, ".args[", arg, "]"), function.sequences));
    }
    if (launch.gemm.has_value()) {
      RETURN_IF_ERROR(CheckGemm(plan, launch, launch.gemm->tokens != 0 ? launch.gemm->tokens : tokens, path + ".args"));
    }
    for (const int64_t wait : launch.waits) {
      if (wait < 0 || wait >= static_cast<int64_t>(i)) {
        return UserError("field '", path, ".waits': ", wait, " is not the number of an earlier launch");
      }
    }
    RETURN_IF_ERROR(CheckCosts(plan, launch, function.sequences, path));
  }
  return WithContext(PlanGraph::Of(function, "").status(), absl::StrCat("field '", name, ".joints'"));
}

}  // namespace

absl::Status CheckPlan(const Plan& plan, int64_t vocab) {
  if (plan.FindFunction("decode") == nullptr) {
    return UserError("field 'functions.decode' is missing");
  }
  for (const auto& [name, function] : plan.functions) {
    const int64_t sequences = SequencesOf(name);
    if (function.sequences != std::max<int64_t>(sequences, 1)) {
      return UserError("field 'functions.", name, ".sequences' is ", function.sequences,
                       ", which is not what the function's name says");
    }
    const int64_t tokens = sequences > 0 ? sequences : plan.max_tokens;
    RETURN_IF_ERROR(CheckFunction(plan, function, tokens, vocab, "functions." + name));
  }
  return absl::OkStatus();
}

absl::Status CheckWeightSizes(const Plan& plan, const std::vector<int64_t>& bytes) {
  for (const auto& [name, function] : plan.functions) {
    for (size_t i = 0; i < function.launches.size(); ++i) {
      const Launch& launch = function.launches[i];
      for (size_t arg = 0; arg < launch.args.size(); ++arg) {
        const BufferRef& ref = launch.args[arg];
        if (ref.kind != BufferRef::Kind::kWeight) {
          continue;
        }
        const bool is_gemm_matrix = launch.gemm.has_value() && arg == 1;
        const int64_t needed = std::max(ref.bytes, is_gemm_matrix ? GemmWeightBytes(*launch.gemm) : 0);
        const auto index = static_cast<size_t>(ref.value);
        if (needed > bytes[index]) {
          return UserError("field 'functions.", name, ".launches[", i, "].args[", arg, "]': needs ", needed,
                           " bytes of tensor '", plan.weights[index], "', which has ", bytes[index]);
        }
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace dejavu
