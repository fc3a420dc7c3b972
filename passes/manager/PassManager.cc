#include "passes/manager/PassManager.h"

#include <chrono>
#include <iomanip>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "ir/base/FileUtil.h"
#include "ir/text/Printer.h"
#include "ir/verify/Verifier.h"
#include "passes/manager/Equivalence.h"

namespace dejavu {
namespace {

struct StepRecord {
  std::string name;
  double seconds = 0;
  std::map<std::string, int64_t> statistics;
};

class Runner {
 public:
  Runner(Module& module, WeightStore& weights, const Pipeline& pipeline, const PassManagerOptions& options,
         std::ostream& log)
      : module_(module), weights_(weights), pipeline_(pipeline), options_(options), log_(log) {}

  absl::Status Run() {
    if (options_.check_equivalent) {
      ASSIGN_OR_RETURN(logits_, InterpretLogits(module_, weights_, Tokens()));
    }
    size_t number = 0;
    for (const PipelineStep& step : pipeline_) {
      if (options_.stop_after_pass >= 0 && number == static_cast<size_t>(options_.stop_after_pass)) {
        break;
      }
      RETURN_IF_ERROR(RunStep(step, number++));
    }
    if (options_.timing) {
      PrintTiming();
    }
    if (options_.statistics) {
      PrintStatistics();
    }
    return absl::OkStatus();
  }

 private:
  bool NeedsTextBefore() const {
    return options_.verify_each || options_.print_after_change || !options_.reproducer.empty();
  }

  absl::Status RunStep(const PipelineStep& step, size_t number) {
    const std::string before = NeedsTextBefore() ? PrintModule(module_) : "";
    PassContext context(&step.options, &weights_);
    const auto start = std::chrono::steady_clock::now();
    absl::Status status = step.pass->run(module_, context);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    records_.push_back({std::string(step.pass->name), elapsed.count(), context.statistics()});
    if (!status.ok()) {
      return WriteReproducer(status, before, number);
    }
    if (options_.verify_each) {
      // What the user wrote was verified before the pipeline, so a fault here is the pass's.
      if (absl::Status broken = VerifyModule(module_); !broken.ok()) {
        return WriteReproducer(BugError("pass '", std::string(step.pass->name),
                                        "' broke the module: ", std::string(broken.message()), Replay(number)),
                               before, number);
      }
    }
    RETURN_IF_ERROR(WriteReproducer(CheckEquivalent(*step.pass), before, number));
    Print(*step.pass, before);
    return absl::OkStatus();
  }

  std::string Replay(size_t number) const {
    return absl::StrCat("\nreplay with: dejavu-opt ", options_.input_name, " --pipeline='", PrintPipeline(pipeline_),
                        "' --stop-after-pass=", number + 1,
                        options_.reproducer.empty() ? " --reproducer=before.dv" : "");
  }

  absl::Status WriteReproducer(const absl::Status& status, const std::string& before, size_t number) const {
    if (status.ok() || options_.reproducer.empty()) {
      return status;
    }
    const Pipeline rest(pipeline_.begin() + static_cast<ptrdiff_t>(number), pipeline_.end());
    const std::string text =
        absl::StrCat("// dejavu-opt ", options_.reproducer, " --pipeline='", PrintPipeline(rest), "'\n", before);
    RETURN_IF_ERROR(WriteFileAtomically(options_.reproducer, text));
    return status;
  }

  /// A fixed sequence that any vocabulary has.
  std::vector<int64_t> Tokens() const { return {2, 5, 3, 11, 7, 4}; }

  absl::Status CheckEquivalent(const PassInfo& pass) {
    if (!options_.check_equivalent) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(std::vector<std::vector<double>> logits, InterpretLogits(module_, weights_, Tokens()));
    constexpr double kReal = 1e-10;
    const auto sparsity = module_.attributes().find("sparsity");
    const bool may_differ = pass.promise == Promise::kUnlessPredicted && sparsity != module_.attributes().end() &&
                            (sparsity->second == Attribute(std::string("predicted")) ||
                             sparsity->second == Attribute(std::string("oracle")));
    for (size_t i = 0; i < logits.size() && !may_differ; ++i) {
      // A pass that splits a function is compared with what there was: both phases with the whole graph.
      const std::vector<double>& expected = logits_[logits.size() == logits_.size() ? i : 0];
      const double error = RelativeError(logits[i], expected);
      if (!(error <= (pass.promise == Promise::kBits ? 0 : kReal))) {
        return BugError("pass '", std::string(pass.name), "' changed the logits by ", error, " relative; it promises ",
                        pass.promise == Promise::kBits ? "to keep every bit" : "at most 1e-10");
      }
    }
    logits_ = std::move(logits);
    return absl::OkStatus();
  }

  void Print(const PassInfo& pass, const std::string& before) {
    const bool named = options_.print_after_all || options_.print_after.contains(std::string(pass.name));
    if (options_.print_after_change && before == PrintModule(module_)) {
      log_ << "// " << pass.name << ": no change\n";
    } else if (named || options_.print_after_change) {
      log_ << "// after " << pass.name << "\n" << PrintModule(module_);
    }
  }

  void PrintTiming() {
    double total = 0;
    log_ << "     seconds  pass\n";
    for (const StepRecord& record : records_) {
      log_ << std::fixed << std::setprecision(6) << std::setw(12) << record.seconds << "  " << record.name << "\n";
      total += record.seconds;
    }
    log_ << std::fixed << std::setprecision(6) << std::setw(12) << total << "  total\n";
  }

  void PrintStatistics() {
    for (const StepRecord& record : records_) {
      for (const auto& [what, count] : record.statistics) {
        if (count != 0) {
          log_ << record.name << ": " << count << " " << what << "\n";
        }
      }
    }
  }

  Module& module_;
  WeightStore& weights_;
  const Pipeline& pipeline_;
  const PassManagerOptions& options_;
  std::ostream& log_;
  std::vector<StepRecord> records_;
  std::vector<std::vector<double>> logits_;
};

}  // namespace

absl::Status RunPipeline(Module& module, WeightStore& weights, const Pipeline& pipeline,
                         const PassManagerOptions& options, std::ostream& log) {
  return Runner(module, weights, pipeline, options, log).Run();
}

}  // namespace dejavu
