#include "tools/driver/RunModel.h"

#include <chrono>

#include "ir/base/Status.h"
#include "runtime/text/StreamDecoder.h"

namespace dejavu {
namespace {

using Clock = std::chrono::steady_clock;

/// Takes the prompt through `session`, and returns the logits that follow it.
absl::StatusOr<std::span<const float>> TakePrompt(Session& session, const RunRequest& request, RunResult& result) {
  if (!request.keep_logits) {
    return session.Prefill(request.tokens);
  }
  if (request.tokens.empty()) {
    return UserError("the prompt is empty; give at least one token");
  }
  std::span<const float> logits;
  for (const int32_t token : request.tokens) {
    ASSIGN_OR_RETURN(logits, session.Decode(token));
    result.logits.insert(result.logits.end(), logits.begin(), logits.end());
  }
  return logits;
}

/// Turns tokens into text as they come.
class TextStream {
 public:
  TextStream(const Tokenizer* tokenizer, const RunRequest& request) : request_(request) {
    if (tokenizer != nullptr) {
      decoder_.emplace(*tokenizer);
    }
  }

  void Feed(int32_t token) {
    if (decoder_.has_value()) {
      Emit(decoder_->Feed(token));
      return;
    }
    Emit((any_ ? "," : "") + std::to_string(token));
    any_ = true;
  }

  /// The whole text, or nothing without a tokenizer.
  std::optional<std::string> Finish() {
    if (!decoder_.has_value()) {
      return std::nullopt;
    }
    Emit(decoder_->Finish());
    return text_;
  }

 private:
  void Emit(const std::string& piece) {
    text_ += piece;
    if (request_.on_text && !piece.empty()) {
      request_.on_text(piece);
    }
  }

  const RunRequest& request_;
  std::optional<StreamDecoder> decoder_;
  std::string text_;
  bool any_ = false;
};

}  // namespace

absl::StatusOr<RunResult> RunModel(const std::shared_ptr<const Model>& model, const Tokenizer* tokenizer,
                                   const RunRequest& request) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Session> session,
                   Session::Create(model, {.threads = request.threads, .statistics = request.statistics}));
  RunResult result;
  result.prompt = request.tokens;
  result.device = model->device().DeviceName(session->threads());
  const Clock::time_point start = Clock::now();
  ASSIGN_OR_RETURN(const std::span<const float> logits, TakePrompt(*session, request, result));
  result.prefill_ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  TextStream stream(tokenizer, request);
  ASSIGN_OR_RETURN(result.generation, Generate(*session, logits, request.generate, [&](int32_t token) {
                     stream.Feed(token);
                     return true;
                   }));
  result.text = stream.Finish();
  if (session->statistics().tokens() > 0) {
    result.bytes_per_token = session->statistics().BytesPerToken();
    result.mlp_density = session->statistics().MeanMlpDensity();
  }
  return result;
}

}  // namespace dejavu
