#include "runtime/engine/BatchSession.h"

#include <algorithm>
#include <numeric>

#include "ir/base/Phases.h"
#include "ir/base/Status.h"
#include "runtime/cpu/CpuFeatures.h"

namespace dejavu {
namespace {

/// The numbers of sequences that the plan has code for, as in "1, 2 and 4".
std::string KnownSizes(const Plan& plan) {
  std::vector<std::string> sizes;
  for (int64_t sequences = 1; sequences <= kMaxSequences; ++sequences) {
    if (plan.FindFunction(DecodeName(sequences)) != nullptr) {
      sizes.push_back(std::to_string(sequences));
    }
  }
  std::string text;
  for (size_t i = 0; i < sizes.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : (i + 1 == sizes.size() ? " and " : ", "), sizes[i]);
  }
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BatchSession>> BatchSession::Create(std::shared_ptr<const Model> model,
                                                                   int64_t sequences, const SessionOptions& options) {
  ASSIGN_OR_RETURN(const int threads, ChooseThreads(options.threads));
  if (sequences < 2 || sequences > kMaxSequences || model->plan().FindFunction(DecodeName(sequences)) == nullptr) {
    return UserError(model->artifact().path(), ": has no code for ", sequences, " sequences at once, only for ",
                     KnownSizes(model->plan()), "; build it with dejavu-opt --batch=N, N from 2 to ", kMaxSequences);
  }
  ASSIGN_OR_RETURN(std::unique_ptr<DeviceBatch> device, model->device().NewBatch(model->plan(), sequences, threads));
  return std::unique_ptr<BatchSession>(
      new BatchSession(std::move(model), sequences, options, threads, std::move(device)));
}

BatchSession::BatchSession(std::shared_ptr<const Model> model, int64_t sequences, const SessionOptions& options,
                           int threads, std::unique_ptr<DeviceBatch> device)
    : model_(std::move(model)),
      observe_(options.statistics),
      threads_(threads),
      positions_(static_cast<size_t>(sequences), 0),
      statistics_(model_->info(), *model_->plan().FindFunction(DecodeName(sequences))),
      device_(std::move(device)) {}

absl::StatusOr<std::span<const float>> BatchSession::Prefill(int64_t sequence, std::span<const int32_t> tokens) {
  if (sequence < 0 || sequence >= sequences()) {
    return UserError("there is no sequence ", sequence, "; there are ", sequences(), ", counted from 0");
  }
  if (tokens.empty()) {
    return UserError("the prompt is empty; give at least one token");
  }
  RETURN_IF_ERROR(Check(sequence, tokens));
  const auto most = static_cast<size_t>(model_->plan().max_tokens);
  int64_t& position = positions_[static_cast<size_t>(sequence)];
  while (!tokens.empty()) {
    const std::span<const int32_t> chunk = tokens.first(std::min(most, tokens.size()));
    RETURN_IF_ERROR(Fail(device_->Prefill(sequence, chunk, position)));
    position += static_cast<int64_t>(chunk.size());
    tokens = tokens.subspan(chunk.size());
  }
  absl::StatusOr<std::span<const float>> logits = device_->Logits();
  RETURN_IF_ERROR(Fail(logits.status()));
  return logits;
}

absl::StatusOr<std::span<const float>> BatchSession::Decode(std::span<const int32_t> tokens) {
  RETURN_IF_ERROR(Step(tokens));
  absl::StatusOr<std::span<const float>> logits = device_->Logits();
  RETURN_IF_ERROR(Fail(logits.status()));
  return logits;
}

absl::StatusOr<std::span<const int32_t>> BatchSession::DecodeGreedily(std::span<const int32_t> tokens) {
  RETURN_IF_ERROR(Step(tokens));
  absl::StatusOr<std::span<const int32_t>> choices = device_->Choices();
  RETURN_IF_ERROR(Fail(choices.status()));
  return choices;
}

absl::Status BatchSession::Step(std::span<const int32_t> tokens) {
  if (static_cast<int64_t>(tokens.size()) != sequences()) {
    return UserError("a step takes one token of each of the ", sequences(), " sequences, but gets ", tokens.size());
  }
  for (int64_t i = 0; i < sequences(); ++i) {
    RETURN_IF_ERROR(Check(i, tokens.subspan(static_cast<size_t>(i), 1)));
  }
  RETURN_IF_ERROR(Fail(device_->Decode(tokens, positions_, observe_)));
  for (int64_t& position : positions_) {
    ++position;
  }
  if (observe_) {
    statistics_.Add(device_->records(), std::accumulate(positions_.begin(), positions_.end(), int64_t{0}));
  }
  return absl::OkStatus();
}

absl::Status BatchSession::Check(int64_t sequence, std::span<const int32_t> tokens) const {
  RETURN_IF_ERROR(failure_);
  return WithContext(CheckTokens(model_->info(), tokens, position(sequence)), absl::StrCat("sequence ", sequence));
}

absl::Status BatchSession::Fail(absl::Status status) {
  if (!status.ok()) {
    failure_ = status;
  }
  return status;
}

}  // namespace dejavu
