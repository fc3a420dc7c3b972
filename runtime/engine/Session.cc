#include "runtime/engine/Session.h"

#include <algorithm>

#include "ir/base/Status.h"
#include "runtime/cpu/CpuFeatures.h"

namespace dejavu {
namespace {

constexpr int kMaxThreads = 1024;

absl::Status CheckLengthOf(const ModelInfo& model, int64_t needed) {
  return needed <= model.positions ? absl::OkStatus()
                                   : UserError("the sequence would be ", needed, " tokens long, but the model has ",
                                               model.positions, " positions; shorten the prompt");
}

bool IsLazy(const PlanFunction& decode) {
  return std::any_of(decode.launches.begin(), decode.launches.end(),
                     [](const Launch& launch) { return launch.kernel == "lazy_qkv"; });
}

}  // namespace

absl::StatusOr<int> ChooseThreads(int threads) {
  if (threads < 0 || threads > kMaxThreads) {
    return UsageError("the number of threads must be from 1 to ", kMaxThreads, " or 0 for all cores, but is ", threads);
  }
  return threads == 0 ? AvailableCores() : threads;
}

absl::Status CheckTokens(const ModelInfo& model, std::span<const int32_t> tokens, int64_t position) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= model.vocab) {
      return UserError("token id ", tokens[i], " (number ", i + 1, " of ", tokens.size(),
                       ") is outside the vocabulary, whose ids are 0 to ", model.vocab - 1);
    }
  }
  return CheckLengthOf(model, position + static_cast<int64_t>(tokens.size()));
}

absl::StatusOr<std::unique_ptr<Session>> Session::Create(std::shared_ptr<const Model> model,
                                                         const SessionOptions& options) {
  ASSIGN_OR_RETURN(const int threads, ChooseThreads(options.threads));
  ASSIGN_OR_RETURN(std::unique_ptr<DeviceSession> device, model->device().NewSession(model->plan(), threads));
  device->KeepTimes(options.times);
  return std::unique_ptr<Session>(new Session(std::move(model), options, threads, std::move(device)));
}

Session::Session(std::shared_ptr<const Model> model, const SessionOptions& options, int threads,
                 std::unique_ptr<DeviceSession> device)
    : model_(std::move(model)),
      observe_(options.statistics),
      threads_(threads),
      lazy_(IsLazy(*model_->plan().FindFunction("decode"))),
      statistics_(model_->info(), *model_->plan().FindFunction("decode")),
      device_(std::move(device)) {}

absl::StatusOr<std::span<const float>> Session::Prefill(std::span<const int32_t> tokens) {
  if (tokens.empty()) {
    return UserError("the prompt is empty; give at least one token");
  }
  RETURN_IF_ERROR(CheckTokens(tokens));
  // Otherwise the decode kernels take its tokens one by one.
  const bool has_prefill =
      model_->plan().FindFunction("prefill") != nullptr && model_->device().CanPrefill() && all_filled_;
  all_filled_ = has_prefill || !lazy_;
  const auto chunk_size = has_prefill ? static_cast<size_t>(model_->plan().max_tokens) : 1;
  while (!tokens.empty()) {
    const std::span<const int32_t> chunk = tokens.first(std::min(chunk_size, tokens.size()));
    RETURN_IF_ERROR(Fail(has_prefill ? device_->Prefill(chunk, position_)
                                     : device_->Decode(chunk[0], position_, /*observe=*/false)));
    position_ += static_cast<int64_t>(chunk.size());
    tokens = tokens.subspan(chunk.size());
  }
  absl::StatusOr<std::span<const float>> logits = device_->Logits();
  RETURN_IF_ERROR(Fail(logits.status()));
  return logits;
}

absl::StatusOr<std::vector<float>> Session::ReadTap(const std::string& name, int64_t tokens) {
  RETURN_IF_ERROR(failure_);
  const Plan& plan = model_->plan();
  const PlanFunction* prefill = plan.FindFunction("prefill");
  if (prefill == nullptr || !model_->device().CanPrefill() || !prefill->taps.contains(name)) {
    return UserError(model_->artifact().path(), ": has no tap '", name, "' on this device");
  }
  if (tokens < 1 || tokens > plan.max_tokens) {
    return BugError("a tap has from 1 to ", plan.max_tokens, " rows, not ", tokens);
  }
  const BufferRef& tap = prefill->taps.at(name);
  std::vector<float> rows(static_cast<size_t>(tap.bytes / plan.max_tokens / 4 * tokens));
  RETURN_IF_ERROR(Fail(device_->Read(tap, std::as_writable_bytes(std::span(rows)))));
  return rows;
}

absl::StatusOr<std::span<const float>> Session::Decode(int32_t token) {
  RETURN_IF_ERROR(Advance(token));
  absl::StatusOr<std::span<const float>> logits = device_->Logits();
  RETURN_IF_ERROR(Fail(logits.status()));
  return logits;
}

absl::Status Session::Advance(int32_t token) {
  RETURN_IF_ERROR(CheckTokens({&token, 1}));
  all_filled_ = !lazy_;
  RETURN_IF_ERROR(Fail(device_->Decode(token, position_, observe_)));
  ++position_;
  if (observe_) {
    statistics_.Add(device_->records(), position_);
  }
  return absl::OkStatus();
}

absl::Status Session::DecodeGreedily(int32_t token, int64_t count, const OnChoice& on_choice) {
  RETURN_IF_ERROR(CheckTokens({&token, 1}));
  if (count < 1) {
    return UserError("the number of tokens to decode must be at least 1, but is ", count);
  }
  RETURN_IF_ERROR(CheckLength(count));
  all_filled_ = !lazy_;
  absl::Status no_choice;
  const auto take = [&](int32_t choice) {
    ++position_;
    if (choice < 0) {
      no_choice = UserError("the logits after token ", position_,
                            " give no choice: the model's weights are damaged or its numbers overflow");
    }
    return choice >= 0 && on_choice(choice);
  };
  RETURN_IF_ERROR(observe_ ? ObserveGreedily(token, count, take)
                           : Fail(device_->DecodeGreedily(token, position_, count, take)));
  return no_choice;
}

absl::Status Session::ObserveGreedily(int32_t token, int64_t count, const OnChoice& on_choice) {
  for (int64_t i = 0; i < count; ++i) {
    RETURN_IF_ERROR(Fail(device_->Decode(token, position_, /*observe=*/true)));
    statistics_.Add(device_->records(), position_ + 1);
    const absl::StatusOr<int32_t> choice = device_->Choice();
    RETURN_IF_ERROR(Fail(choice.status()));
    if (!on_choice(*choice)) {
      break;
    }
    token = *choice;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<LaunchSpan>> Session::Trace(int32_t token) {
  RETURN_IF_ERROR(CheckTokens({&token, 1}));
  all_filled_ = !lazy_;
  absl::StatusOr<std::vector<LaunchSpan>> spans = device_->Trace(token, position_);
  RETURN_IF_ERROR(Fail(spans.status()));
  ++position_;
  return spans;
}

absl::Status Session::Watch(std::vector<WatchedOperand> operands) {
  const std::vector<Launch>& launches = model_->plan().FindFunction("decode")->launches;
  for (const WatchedOperand& operand : operands) {
    const bool known = operand.launch < launches.size() && operand.arg < launches[operand.launch].args.size();
    const BufferRef buffer = known ? launches[operand.launch].args[operand.arg] : BufferRef();
    const auto first = static_cast<size_t>(buffer.value);
    const auto arena = static_cast<size_t>(model_->plan().arena_bytes);
    if (buffer.kind != BufferRef::Kind::kArena || first > arena || operand.bytes > arena - first) {
      return BugError("argument ", operand.arg, " of launch ", operand.launch, " has no ", operand.bytes,
                      " bytes in the arena");
    }
  }
  device_->Watch(std::move(operands));
  return absl::OkStatus();
}

absl::Status Session::CheckTokens(std::span<const int32_t> tokens) const {
  RETURN_IF_ERROR(failure_);
  return dejavu::CheckTokens(model_->info(), tokens, position_);
}

absl::Status Session::CheckLength(int64_t count) const { return CheckLengthOf(model_->info(), position_ + count); }

/// Remembers a failure of the device: what is in its memory afterwards is anybody's guess.
absl::Status Session::Fail(absl::Status status) {
  if (!status.ok()) {
    failure_ = status;
  }
  return status;
}

}  // namespace dejavu
