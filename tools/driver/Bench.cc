#include "tools/driver/Bench.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <random>

#include "ir/base/Status.h"
#include "runtime/engine/BatchSession.h"
#include "runtime/engine/Session.h"
#include "tools/driver/Distribution.h"
#include "tools/driver/LaunchTimes.h"
#include "tools/driver/ProgressBar.h"

namespace dejavu {
namespace {

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

struct Times {
  std::vector<double> prefill;
  std::vector<double> decode;
};

/// The prompts and `new_tokens` greedy decode steps; `after_step`, if any, follows each. A step takes from one token to
/// the next.
absl::Status RunOnce(Session& session, const BenchOptions& options, Times& times,
                     const std::function<void()>& after_step = nullptr) {
  session.Reset();
  Clock::time_point start = Clock::now();
  ASSIGN_OR_RETURN(const std::span<const float> logits, session.Prefill(options.prompts[0]));
  times.prefill.push_back(MillisecondsSince(start));
  const auto first = static_cast<int32_t>(ArgMax(logits));
  start = Clock::now();
  return session.DecodeGreedily(first, options.new_tokens, [&](int32_t /*choice*/) {
    const Clock::time_point end = Clock::now();
    times.decode.push_back(std::chrono::duration<double, std::milli>(end - start).count());
    if (after_step) {
      after_step();
    }
    start = Clock::now();
    return true;
  });
}

absl::Status RunOnce(BatchSession& session, const BenchOptions& options, Times& times,
                     const std::function<void()>& after_step = nullptr) {
  session.Reset();
  std::vector<int32_t> tokens;
  Clock::time_point start = Clock::now();
  for (size_t i = 0; i < options.prompts.size(); ++i) {
    ASSIGN_OR_RETURN(const std::span<const float> logits, session.Prefill(static_cast<int64_t>(i), options.prompts[i]));
    tokens.push_back(static_cast<int32_t>(ArgMax(logits)));
  }
  times.prefill.push_back(MillisecondsSince(start));
  for (int64_t step = 0; step < options.new_tokens; ++step) {
    start = Clock::now();
    ASSIGN_OR_RETURN(const std::span<const int32_t> choices, session.DecodeGreedily(tokens));
    times.decode.push_back(MillisecondsSince(start));
    tokens.assign(choices.begin(), choices.end());
    if (after_step) {
      after_step();
    }
    if (std::any_of(tokens.begin(), tokens.end(), [](int32_t token) { return token < 0; })) {
      return UserError("the logits give no choice: the model's weights are damaged or its numbers overflow");
    }
  }
  return absl::OkStatus();
}

/// The launches' medians, added up by symbol.
std::vector<KernelTime> TimesBySymbol(const Statistics& statistics, const LaunchTimes& times) {
  std::map<std::string, KernelTime> by_symbol;
  const std::vector<double> medians = times.Medians();
  for (size_t i = 0; i < medians.size(); ++i) {
    const LaunchTotals& totals = statistics.launches()[i];
    const Launch& launch = *totals.launch;
    KernelTime& kernel = by_symbol[launch.symbol.empty() ? launch.kernel : launch.symbol];
    kernel.launches += 1;
    kernel.microseconds += medians[i];
    kernel.bytes += static_cast<double>(totals.bytes) / static_cast<double>(statistics.tokens());
  }
  std::vector<KernelTime> kernels;
  for (auto& [symbol, kernel] : by_symbol) {
    kernel.symbol = symbol;
    kernels.push_back(std::move(kernel));
  }
  std::stable_sort(kernels.begin(), kernels.end(),
                   [](const KernelTime& a, const KernelTime& b) { return a.microseconds > b.microseconds; });
  return kernels;
}

absl::Status CheckLength(const Model& model, const BenchOptions& options) {
  const int64_t needed = static_cast<int64_t>(options.prompts[0].size()) + options.new_tokens + (options.trace ? 1 : 0);
  if (needed > model.info().positions) {
    return UserError("a prompt of ", options.prompts[0].size(), " tokens and ", options.new_tokens, " new ones",
                     options.trace ? " and one for --trace" : "", " are more than the model's ", model.info().positions,
                     " positions; lower --prompt-tokens or --new-tokens");
  }
  return absl::OkStatus();
}

/// Warms up and gathers what does not depend on time: the bytes, the densities and each kernel's share.
template <typename AnySession>
absl::Status Observe(AnySession& session, const BenchOptions& options, BenchResult& result) {
  Times ignored;
  RETURN_IF_ERROR(RunOnce(session, options, ignored));
  session.CollectStatistics(true);
  session.ClearStatistics();
  const Statistics& statistics = session.statistics();
  LaunchTimes launch_times(statistics);
  RETURN_IF_ERROR(RunOnce(session, options, ignored, [&] { launch_times.AddStep(); }));
  session.CollectStatistics(false);
  result.bytes_per_token = statistics.BytesPerToken();
  result.mlp_density = statistics.MeanMlpDensity();
  result.head_density = statistics.MeanHeadDensity();
  result.kernels = TimesBySymbol(statistics, launch_times);
  return absl::OkStatus();
}

/// Traces one more token of a session that has decoded its new ones.
absl::Status Trace(Session& session, int32_t token, BenchResult& result) {
  const Statistics& statistics = session.statistics();
  ASSIGN_OR_RETURN(const std::vector<LaunchSpan> spans, session.Trace(token));
  for (size_t i = 0; i < spans.size(); ++i) {
    const LaunchTotals& totals = statistics.launches()[i];
    const Launch& launch = *totals.launch;
    result.trace.push_back({.name = launch.symbol.empty() ? launch.kernel : launch.symbol,
                            .stream = launch.stream,
                            .layer = launch.layer,
                            .begin_us = static_cast<double>(spans[i].begin) / 1e3,
                            .us = static_cast<double>(spans[i].end - spans[i].begin) / 1e3,
                            .bytes = static_cast<double>(totals.bytes) / static_cast<double>(statistics.tokens())});
  }
  return absl::OkStatus();
}

absl::Status MeasureMemory(MemoryMeter& meter, std::vector<double>& copies, std::vector<double>& reads) {
  for (int pass = 0; pass < 5; ++pass) {
    ASSIGN_OR_RETURN(const double copy, meter.Copy());
    copies.push_back(copy);
    ASSIGN_OR_RETURN(const std::optional<double> read, meter.Read());
    if (read.has_value()) {
      reads.push_back(*read);
    }
  }
  return absl::OkStatus();
}

template <typename AnySession>
absl::StatusOr<BenchResult> Measure(AnySession& session, const BenchOptions& options) {
  const auto sequences = static_cast<double>(options.prompts.size());
  BenchResult result;
  result.sequences = static_cast<int64_t>(options.prompts.size());
  result.threads = session.threads();
  RETURN_IF_ERROR(Observe(session, options, result));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<MemoryMeter> meter,
      session.model().device().NewMemoryMeter(static_cast<size_t>(result.bytes_per_token), result.threads));
  Times times;
  std::vector<double> copies;
  std::vector<double> reads;
  ProgressBar bar("measuring");
  for (int64_t i = 0; i < options.repeats; ++i) {
    // In turns, so that a slow moment of the machine hits all three alike.
    RETURN_IF_ERROR(RunOnce(session, options, times));
    RETURN_IF_ERROR(MeasureMemory(*meter, copies, reads));
    bar.Update(i + 1, options.repeats);
  }
  result.ms_per_step = Percentile(times.decode, 0.5);
  result.ms_per_token = result.ms_per_step / sequences;
  result.ms_per_token_p10 = Percentile(times.decode, 0.1) / sequences;
  result.ms_per_token_p90 = Percentile(times.decode, 0.9) / sequences;
  result.bytes_per_token /= sequences;
  result.prefill_ms = Percentile(times.prefill, 0.5);
  result.copy_gb_per_s = Percentile(copies, 0.5);
  if (!reads.empty()) {
    result.read_gb_per_s = Percentile(reads, 0.5);
  }
  return result;
}

}  // namespace

absl::StatusOr<BenchResult> Bench(const std::shared_ptr<const Model>& model, const BenchOptions& options) {
  RETURN_IF_ERROR(CheckLength(*model, options));
  const SessionOptions session_options = {.threads = options.threads};
  if (options.prompts.size() > 1) {
    ASSIGN_OR_RETURN(const std::unique_ptr<BatchSession> batch,
                     BatchSession::Create(model, static_cast<int64_t>(options.prompts.size()), session_options));
    return Measure(*batch, options);
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Create(model, session_options));
  ASSIGN_OR_RETURN(BenchResult result, Measure(*session, options));
  if (options.trace) {
    RETURN_IF_ERROR(Trace(*session, options.prompts[0].back(), result));
  }
  return result;
}

std::vector<int32_t> RandomTokens(int64_t count, int64_t vocab, uint64_t seed) {
  // Ids 0 to 3 are special in OPT's vocabulary.
  const int64_t first = vocab > 4 ? 4 : 0;
  std::mt19937_64 random(seed);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    tokens.push_back(
        static_cast<int32_t>(first + static_cast<int64_t>(random() % static_cast<uint64_t>(vocab - first))));
  }
  return tokens;
}

}  // namespace dejavu
