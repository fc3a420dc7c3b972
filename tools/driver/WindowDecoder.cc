#include "tools/driver/WindowDecoder.h"

#include <omp.h>

#include <cmath>

#include "absl/strings/str_format.h"
#include "ir/base/Status.h"
#include "tools/driver/Interrupt.h"

namespace dejavu {
namespace {

// Their launches' times are kept.
constexpr size_t kTimedTokens = 2048;

}  // namespace

void WindowProgress::Add(double nll) {
  const std::lock_guard lock(mutex_);
  nll_ += nll;
  ++tokens_;
  bar_.Update(tokens_, total_, absl::StrFormat("perplexity %.3f", std::exp(nll_ / static_cast<double>(tokens_))));
}

absl::StatusOr<std::unique_ptr<WindowDecoder>> WindowDecoder::Create(const WindowModels& models, int threads,
                                                                     bool timed) {
  std::unique_ptr<WindowDecoder> decoder(new WindowDecoder);
  const SessionOptions options = {.threads = threads, .statistics = true, .times = timed};
  ASSIGN_OR_RETURN(decoder->session_, Session::Create(models.model, options));
  ASSIGN_OR_RETURN(decoder->watch_, LayerWatch::Create(*decoder->session_));
  if (models.reference != nullptr) {
    ASSIGN_OR_RETURN(decoder->other_, Session::Create(models.reference, options));
    if (models.energies != nullptr) {
      ASSIGN_OR_RETURN(decoder->other_watch_, LayerWatch::Create(*decoder->other_));
      decoder->energies_ = models.energies;
    }
  }
  if (timed) {
    decoder->times_.emplace(decoder->session_->statistics(), kTimedTokens);
    if (models.reference != nullptr) {
      decoder->other_times_.emplace(decoder->other_->statistics(), kTimedTokens);
    }
  }
  return decoder;
}

absl::Status WindowDecoder::Decode(std::span<const int32_t> ids, int64_t tokens_before, WindowScores& scores,
                                   WindowProgress& progress) {
  // The scoring loops use as many threads as the sessions: teams that change their size between calls are slow.
  omp_set_num_threads(session_->threads());
  session_->Reset();
  if (other_ != nullptr) {
    other_->Reset();
  }
  const auto layers = static_cast<size_t>(session_->model().info().layers);
  scores.neurons.resize(layers);
  scores.heads.resize(other_watch_.has_value() ? layers : 0);
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    ASSIGN_OR_RETURN(const std::span<const float> logits, session_->Decode(ids[i]));
    std::span<const float> reference_logits;
    if (other_ != nullptr) {
      ASSIGN_OR_RETURN(reference_logits, other_->Decode(ids[i]));
    }
    AddTimes();
    AddLayers(scores);
    const double nll = scores.Add(logits, reference_logits, ids[i + 1]);
    if (!std::isfinite(scores.nll)) {
      return UserError("the logits after token ", tokens_before + scores.tokens,
                       " give no probability: the weights of ", session_->model().artifact().path(),
                       " are damaged or its numbers overflow");
    }
    progress.Add(nll);
    RETURN_IF_ERROR(InterruptStatus());
  }
  return absl::OkStatus();
}

void WindowDecoder::AddTimes() {
  for (std::optional<LaunchTimes>* times : {&times_, &other_times_}) {
    if (times->has_value()) {
      (*times)->AddStep();
    }
  }
}

/// The neurons and heads of the token that both have just decoded.
void WindowDecoder::AddLayers(WindowScores& scores) const {
  const int64_t ffn = session_->model().info().ffn;
  for (size_t layer = 0; layer < scores.neurons.size(); ++layer) {
    const LayerNeurons neurons = watch_->Neurons(layer);
    scores.neurons[layer].Add(neurons, ffn);
    if (!other_watch_.has_value()) {
      continue;
    }
    scores.neurons[layer].AddReference(neurons, other_watch_->Neurons(layer), ffn);
    const LayerHeads reference = other_watch_->Heads(layer);
    if (!reference.values.empty()) {
      scores.heads[layer].Add(watch_->Heads(layer), energies_->Of(layer, reference));
    }
  }
}

}  // namespace dejavu
