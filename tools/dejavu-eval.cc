// dejavu-eval: the perplexity of an artifact's model, and its distance from another one.
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_format.h"
#include "ir/base/FileUtil.h"
#include "ir/base/Status.h"
#include "tools/driver/CommandLine.h"
#include "tools/driver/Evaluate.h"

namespace dejavu {
namespace {

struct EvalFlags {
  std::string artifact;
  std::string text;
  std::string against;
  std::string tokenizer;
  int64_t max_tokens = 0;
  DeviceFlags device;
  bool json = false;
};

constexpr char kExamples[] = R"(Examples:
  dejavu-eval opt.dejavu --text=eval.txt
  dejavu-eval opt-sparse.dejavu --against=opt-dense.dejavu --text=eval.txt --max-tokens=20480
  dejavu-eval opt.dejavu --text=eval.txt --json

The text is a file of documents, separated by lines that hold only U+001E. The ids of all documents, each after </s>, are
joined and cut into windows of as many tokens as the model has positions; every token of a window is scored given those
before it. An incomplete last window is dropped. The artifact's decode kernels do the work, one token at a time.)";

void AddFlags(CLI::App& app, EvalFlags& flags) {
  app.add_option("ARTIFACT", flags.artifact, "Folder that dejavu-opt wrote, such as opt.dejavu")->required();
  app.add_option("--text", flags.text, "The text to score")->type_name("FILE")->required();
  app.add_option("--against", flags.against, "Also compare with this artifact, usually the dense one")
      ->type_name("ARTIFACT");
  app.add_option("--max-tokens", flags.max_tokens, "Score the first N / positions windows; 0 means all")
      ->type_name("N")
      ->check(AtLeast(0))
      ->capture_default_str();
  app.add_option("--tokenizer", flags.tokenizer, "Folder of vocab.json and merges.txt, instead of the artifact's own")
      ->type_name("DIR");
  AddDeviceFlags(app, flags.device);
  app.add_flag("--json", flags.json, "Print one JSON object");
}

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

void PrintJson(const Evaluation& result) {
  nlohmann::ordered_json json = {{"ppl", result.ppl},
                                 {"nll", result.nll},
                                 {"tokens", result.tokens},
                                 {"mlp_density", result.mlp_density},
                                 {"head_density", result.head_density},
                                 {"bytes_per_token", result.bytes_per_token},
                                 {"predictor_bytes_per_token", result.predictor_bytes_per_token}};
  if (result.against.has_value()) {
    json["against"] = {{"ppl", result.against->ppl},
                       {"kl_mean", result.against->kl_mean},
                       {"kl_p99", result.against->kl_p99},
                       {"top1_agreement", result.against->top1_agreement}};
  }
  std::cout << json.dump() << "\n";
}

void PrintTable(const Evaluation& result) {
  const auto line = [](const char* name, const std::string& value) {
    std::cout << absl::StreamFormat("%-22s%s\n", name, value);
  };
  line("perplexity", absl::StrFormat("%.4f", result.ppl));
  line("nll", absl::StrFormat("%.6f nats", result.nll));
  line("tokens", absl::StrFormat("%d (%d windows)", result.tokens, result.windows));
  line("bytes per token", absl::StrFormat("%.3f MB", result.bytes_per_token / 1e6));
  line("  of them predictors", absl::StrFormat("%.3f MB", result.predictor_bytes_per_token / 1e6));
  line("MLP density", absl::StrFormat("%.2f %%", Mean(result.mlp_density) * 100));
  line("head density", absl::StrFormat("%.2f %%", Mean(result.head_density) * 100));
  if (result.against.has_value()) {
    const Comparison& against = *result.against;
    line("against: perplexity", absl::StrFormat("%.4f", against.ppl));
    line("  mean KL", absl::StrFormat("%.3e nats", against.kl_mean));
    line("  99th percentile KL", absl::StrFormat("%.3e nats", against.kl_p99));
    line("  same top token", absl::StrFormat("%.3f %%", against.top1_agreement * 100));
  }
  std::cout << "\nlayer  MLP density\n";
  for (size_t layer = 0; layer < result.mlp_density.size(); ++layer) {
    std::cout << absl::StreamFormat("%5d  %9.2f %%\n", layer, result.mlp_density[layer] * 100);
  }
}

absl::Status Run(const EvalFlags& flags) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(flags.text));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, LoadModel(flags.artifact, flags.device));
  std::shared_ptr<const Model> reference;
  if (!flags.against.empty()) {
    ASSIGN_OR_RETURN(reference, LoadModel(flags.against, flags.device));
  }
  ASSIGN_OR_RETURN(const Tokenizer tokenizer, LoadTokenizer(*model, flags.tokenizer));
  ASSIGN_OR_RETURN(const std::vector<int32_t> ids, EncodeDocuments(tokenizer, text));
  const EvaluateOptions options = {.max_tokens = flags.max_tokens, .threads = flags.device.threads};
  const absl::StatusOr<Evaluation> result = Evaluate(model, reference, ids, options);
  if (!result.ok()) {
    return WithContext(result.status(), flags.text);
  }
  if (flags.json) {
    PrintJson(*result);
  } else {
    PrintTable(*result);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace dejavu

int main(int argc, char** argv) {
  CLI::App app("Scores a text with the model of an artifact.", "dejavu-eval");
  dejavu::EvalFlags flags;
  dejavu::AddFlags(app, flags);
  dejavu::DescribeTool(app, dejavu::kExamples);
  return dejavu::RunTool(app, argc, argv, [&] { return dejavu::Run(flags); });
}
