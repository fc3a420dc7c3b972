// dejavu-eval: the perplexity of an artifact's model, what it learns in context, and its distance from another one.
#include <cstdlib>
#include <iostream>

#include "ir/base/FileUtil.h"
#include "ir/base/Status.h"
#include "runtime/cpu/CpuFeatures.h"
#include "tools/driver/CommandLine.h"
#include "tools/driver/EvalOutput.h"
#include "tools/driver/Interrupt.h"
#include "tools/driver/Jobs.h"
#include "tools/driver/Report.h"

namespace dejavu {
namespace {

struct EvalFlags {
  std::string artifact;
  std::string text;
  std::string against;
  std::string tokenizer;
  int64_t max_tokens = 0;
  bool icl = false;
  int64_t icl_sequences = 32;
  uint64_t seed = 1;
  std::string report;
  int jobs = 1;
  DeviceFlags device;
  bool json = false;
};

constexpr char kExamples[] = R"(Examples:
  dejavu-eval opt.dejavu --text=eval.txt
  dejavu-eval opt-sparse.dejavu --against=opt-dense.dejavu --text=eval.txt --max-tokens=20480
  dejavu-eval opt-sparse.dejavu --against=opt-dense.dejavu --icl
  dejavu-eval opt-sparse.dejavu --against=opt-dense.dejavu --text=eval.txt --icl --report=out.html
  dejavu-eval opt.dejavu --text=eval.txt --jobs=8 --device=cuda
  dejavu-eval opt.dejavu --text=eval.txt --json

The text is a file of documents, separated by lines that hold only U+001E. The ids of all documents, each after </s>, are
joined and cut into windows of as many tokens as the model has positions; every token of a window is scored given those
before it. An incomplete last window is dropped. The artifact's decode kernels do the work, one token at a time.

The tasks of --icl are made of random token ids, so that only the context tells the answer, and an answer is right if it
is the model's likeliest token:
  repeat   64 ids, then the same again: the second half is asked for
  copy     a b c d > a b c d ; and so on with new ids: what follows > is asked for
  recall   a 1 b 2 c 3 d 4 > b 2 ; and so on: the value of a key
  reverse  a 1 b 2 c 3 d 4 > 2 b ; and so on: the key of a value
The last three are asked after 0 to 16 examples.)";

void AddFlags(CLI::App& app, EvalFlags& flags) {
  app.add_option("ARTIFACT", flags.artifact, "Folder that dejavu-opt wrote, such as opt.dejavu")->required();
  app.add_option("--text", flags.text, "The text to score; may be left out with --icl")->type_name("FILE");
  app.add_option("--against", flags.against, "Also compare with this artifact, usually the dense one")
      ->type_name("ARTIFACT");
  app.add_option("--max-tokens", flags.max_tokens, "Score the first N / positions windows; 0 means all")
      ->type_name("N")
      ->check(AtLeast(0))
      ->capture_default_str();
  app.add_flag("--icl", flags.icl, "Also measure what the model learns from its context");
  app.add_option("--icl-sequences", flags.icl_sequences, "Sequences of each task of --icl")
      ->type_name("N")
      ->check(AtLeast(2))
      ->capture_default_str();
  app.add_option("--seed", flags.seed, "Of the tasks of --icl")->type_name("N")->capture_default_str();
  app.add_option("--tokenizer", flags.tokenizer, "Folder of vocab.json and merges.txt, instead of the artifact's own")
      ->type_name("DIR");
  app.add_option("--report", flags.report, "Also write an HTML page with plots by layer")->type_name("OUT.html");
  AddDeviceFlags(app, flags.device);
  app.add_option(
         "--jobs", flags.jobs,
         "Windows and sequences at a time, which share the threads or the GPU and have caches and buffers of their "
         "own; the result is the same but for the times of launches, which only 1 measures")
      ->type_name("N")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_flag("--json", flags.json, "Print one JSON object");
}

absl::StatusOr<Evaluation> EvaluateText(const EvalFlags& flags, const std::string& text,
                                        const std::shared_ptr<const Model>& model,
                                        const std::shared_ptr<const Model>& reference) {
  ASSIGN_OR_RETURN(const Tokenizer tokenizer, LoadTokenizer(*model, flags.tokenizer));
  ASSIGN_OR_RETURN(const std::vector<int32_t> ids, EncodeDocuments(tokenizer, text));
  const EvaluateOptions options = {.max_tokens = flags.max_tokens, .threads = flags.device.threads, .jobs = flags.jobs};
  absl::StatusOr<Evaluation> result = Evaluate(model, reference, ids, options);
  RETURN_IF_ERROR(WithContext(result.status(), flags.text));
  return result;
}

absl::Status Run(const EvalFlags& flags) {
  if (flags.text.empty() && !flags.icl) {
    return UsageError("--text is required, or --icl, which needs none");
  }
  if (!flags.report.empty()) {
    RETURN_IF_ERROR(CheckCanCreate(flags.report));
  }
  std::string text;
  if (!flags.text.empty()) {
    ASSIGN_OR_RETURN(text, ReadTextFile(flags.text));
  }
  AllowJobsOnGpu(flags.jobs);
  ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, LoadModel(flags.artifact, flags.device));
  std::shared_ptr<const Model> reference;
  if (!flags.against.empty()) {
    ASSIGN_OR_RETURN(reference, LoadModel(flags.against, flags.device));
  }
  const InterruptGuard guard;
  EvalResult result;
  result.icl_options = {
      .seed = flags.seed, .sequences = flags.icl_sequences, .threads = flags.device.threads, .jobs = flags.jobs};
  if (!flags.text.empty()) {
    ASSIGN_OR_RETURN(result.text, EvaluateText(flags, text, model, reference));
  }
  if (flags.icl) {
    ASSIGN_OR_RETURN(result.icl, ProbeIcl(model, reference, result.icl_options));
  }
  if (!flags.report.empty()) {
    const int threads = flags.device.threads > 0 ? flags.device.threads : AvailableCores();
    const ReportNames names = {.artifact = flags.artifact,
                               .sparsity = model->artifact().manifest().sparsity,
                               .against = flags.against,
                               .text = flags.text,
                               .model = model->info().name,
                               .device = model->device().DeviceName(threads),
                               .contract = model->artifact().manifest().contract};
    RETURN_IF_ERROR(WriteFileAtomically(flags.report, RenderReport(result, names)));
  }
  if (flags.json) {
    std::cout << EvalJson(result).dump() << "\n";
  } else {
    PrintEval(result, std::cout);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace dejavu

int main(int argc, char** argv) {
  CLI::App app("Scores a text with the model of an artifact, and what the model learns in context.", "dejavu-eval");
  dejavu::EvalFlags flags;
  dejavu::AddFlags(app, flags);
  dejavu::DescribeTool(app, dejavu::kExamples);
  return dejavu::RunTool(app, argc, argv, [&] { return dejavu::Run(flags); });
}
