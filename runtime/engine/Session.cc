#include "runtime/engine/Session.h"

#include <algorithm>

#include "ir/base/Status.h"
#include "runtime/cpu/CpuFeatures.h"

namespace dejavu {
namespace {

constexpr int kMaxThreads = 1024;

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> Session::Create(std::shared_ptr<const Model> model,
                                                         const SessionOptions& options) {
  if (options.threads < 0 || options.threads > kMaxThreads) {
    return UsageError("the number of threads must be from 1 to ", kMaxThreads, " or 0 for all cores, but is ",
                      options.threads);
  }
  ASSIGN_OR_RETURN(KvCache cache, KvCache::Create(model->plan()));
  ASSIGN_OR_RETURN(HostBuffer arena,
                   HostBuffer::Allocate(static_cast<size_t>(model->plan().arena_bytes), "the activations"));
  std::unique_ptr<Session> session(new Session(std::move(model), options, std::move(cache), std::move(arena)));
  RETURN_IF_ERROR(session->Bind());
  return session;
}

Session::Session(std::shared_ptr<const Model> model, const SessionOptions& options, KvCache cache, HostBuffer arena)
    : model_(std::move(model)),
      observe_(options.statistics),
      cache_(std::move(cache)),
      arena_(std::move(arena)),
      team_(options.threads == 0 ? AvailableCores() : options.threads),
      statistics_(model_->info(), *model_->plan().FindFunction("decode")) {}

absl::Status Session::Bind() {
  const Plan& plan = model_->plan();
  const PlanFunction* prefill = plan.FindFunction("prefill");
  ASSIGN_OR_RETURN(decode_,
                   Executor::Create(*model_, *plan.FindFunction("decode"), 1, team_.threads(), arena_, cache_));
  if (prefill != nullptr) {
    ASSIGN_OR_RETURN(prefill_, Executor::Create(*model_, *prefill, plan.max_tokens, team_.threads(), arena_, cache_));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::span<const float>> Session::Prefill(std::span<const int32_t> tokens) {
  if (tokens.empty()) {
    return UserError("the prompt is empty; give at least one token");
  }
  RETURN_IF_ERROR(CheckTokens(tokens));
  if (prefill_ == nullptr) {
    for (const int32_t token : tokens) {
      RunDecode(token);
    }
    return Logits(*decode_);
  }
  const auto chunk_size = static_cast<size_t>(model_->plan().max_tokens);
  while (!tokens.empty()) {
    const std::span<const int32_t> chunk = tokens.first(std::min(chunk_size, tokens.size()));
    std::copy(chunk.begin(), chunk.end(), prefill_->tokens());
    prefill_->Run(team_, static_cast<int64_t>(chunk.size()), cache_.position(), /*observe=*/false);
    cache_.Advance(static_cast<int64_t>(chunk.size()));
    tokens = tokens.subspan(chunk.size());
  }
  return Logits(*prefill_);
}

absl::StatusOr<std::span<const float>> Session::Decode(int32_t token) {
  RETURN_IF_ERROR(CheckTokens({&token, 1}));
  RunDecode(token);
  return Logits(*decode_);
}

absl::Status Session::CheckTokens(std::span<const int32_t> tokens) const {
  const int64_t vocab = model_->info().vocab;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocab) {
      return UserError("token id ", tokens[i], " (number ", i + 1, " of ", tokens.size(),
                       ") is outside the vocabulary, whose ids are 0 to ", vocab - 1);
    }
  }
  const int64_t needed = cache_.position() + static_cast<int64_t>(tokens.size());
  if (needed > cache_.capacity()) {
    return UserError("the sequence would be ", needed, " tokens long, but the model has ", cache_.capacity(),
                     " positions; shorten the prompt");
  }
  return absl::OkStatus();
}

void Session::RunDecode(int32_t token) {
  *decode_->tokens() = token;
  decode_->Run(team_, 1, cache_.position(), observe_);
  cache_.Advance(1);
  if (observe_) {
    statistics_.Add(decode_->records(), cache_.position());
  }
}

std::span<const float> Session::Logits(const Executor& executor) const {
  return {executor.logits(), static_cast<size_t>(model_->info().vocab)};
}

}  // namespace dejavu
