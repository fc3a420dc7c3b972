// dejavu-run: continues a prompt with the model of an artifact.
#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "ir/base/FileUtil.h"
#include "ir/base/Status.h"
#include "runtime/artifact/Json.h"
#include "tools/driver/CommandLine.h"
#include "tools/driver/Npy.h"
#include "tools/driver/RunModel.h"

namespace dejavu {
namespace {

struct RunFlags {
  std::string artifact;
  std::string prompt;
  std::string tokens;
  std::string tokenizer;
  std::string logits;
  DeviceFlags device;
  GenerateOptions generate;
  bool stats = false;
  bool json = false;
};

constexpr char kExamples[] = R"(Examples:
  dejavu-run opt.dejavu --prompt='The capital of France is'
  dejavu-run opt.dejavu --prompt='Once upon a time' --max-new-tokens=200 --temperature=0.8 --top-p=0.95 --seed=7
  dejavu-run opt.dejavu --tokens=2,133,812 --max-new-tokens=8 --json
  dejavu-run opt.dejavu --prompt='To be or not' --max-new-tokens=0 --logits=logits.npy

Prints the text that the model adds, as it comes, up to its end of text (</s>). The prompt gets </s> in front, as the
model was trained; --tokens are taken as they are, and without a tokenizer the new ids are printed instead of text.)";

void AddFlags(CLI::App& app, RunFlags& flags) {
  app.add_option("ARTIFACT", flags.artifact, "Folder that dejavu-opt wrote, such as opt.dejavu")->required();
  // An empty value is taken here and refused below, with a reason.
  CLI::Option* prompt = app.add_option("--prompt", flags.prompt, "The text to continue")->type_name("TEXT");
  CLI::Option* tokens =
      app.add_option("--tokens", flags.tokens, "The token ids to continue, instead of a text")->type_name("1,2,3");
  prompt->expected(0, 1)->excludes(tokens);
  tokens->expected(0, 1);
  app.add_option("--max-new-tokens", flags.generate.max_new_tokens, "Tokens to add at most")
      ->type_name("N")
      ->check(AtLeast(0))
      ->capture_default_str();
  SamplingOptions& sampling = flags.generate.sampling;
  app.add_option("--temperature", sampling.temperature, "0 takes the likeliest token, larger values vary more")
      ->type_name("X")
      ->capture_default_str();
  app.add_option("--top-k", sampling.top_k, "Draw from the K likeliest tokens; 0 means from all")
      ->type_name("K")
      ->capture_default_str();
  app.add_option("--top-p", sampling.top_p, "Draw from the likeliest tokens that together have probability P")
      ->type_name("P")
      ->capture_default_str();
  app.add_option("--seed", sampling.seed, "Equal seeds draw equal tokens")->type_name("N")->capture_default_str();
  AddDeviceFlags(app, flags.device);
  app.add_option("--tokenizer", flags.tokenizer, "Folder of vocab.json and merges.txt, instead of the artifact's own")
      ->type_name("DIR");
  app.add_option("--logits", flags.logits, "Write the prompt's logits, float32 (tokens, vocab), by the decode kernels")
      ->type_name("F.npy");
  app.add_flag("--stats", flags.stats, "Print times, bytes and densities to stderr");
  app.add_flag("--json", flags.json, "Print one JSON object instead of text");
}

void PrintStats(const RunResult& result) {
  const auto line = [](const char* name, const std::string& value) {
    std::cerr << absl::StreamFormat("%-18s%s\n", name, value);
  };
  std::cerr << "\n";
  line("device", result.device);
  line("prompt", absl::StrFormat("%d tokens in %.1f ms", result.prompt.size(), result.prefill_ms));
  const std::optional<double> ms = result.generation.ms_per_token;
  line("new", absl::StrFormat("%d tokens%s", result.generation.tokens.size(),
                              ms.has_value() ? absl::StrFormat(", %.3f ms each", *ms) : ""));
  if (result.bytes_per_token.has_value()) {
    line("bytes per token", absl::StrFormat("%.3f MB", *result.bytes_per_token / 1e6));
    line("MLP density", absl::StrFormat("%.2f %%", *result.mlp_density * 100));
  }
  line("ended by", std::string(FinishReasonName(result.generation.finish_reason)));
}

void PrintJsonResult(const RunResult& result) {
  nlohmann::ordered_json json;
  json["prompt_tokens"] = result.prompt.size();
  json["tokens"] = result.generation.tokens;
  json["text"] = result.text.has_value() ? nlohmann::ordered_json(*result.text) : nlohmann::ordered_json(nullptr);
  json["finish_reason"] = std::string(FinishReasonName(result.generation.finish_reason));
  // What no token was decoded for is not known.
  const auto known = [](const std::optional<double>& value) {
    return value.has_value() ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
  };
  json["ms_per_token"] = known(result.generation.ms_per_token);
  json["prefill_ms"] = result.prefill_ms;
  json["bytes_per_token"] = known(result.bytes_per_token);
  json["mlp_density"] = known(result.mlp_density);
  std::cout << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
}

absl::StatusOr<std::vector<int32_t>> ParseTokens(const std::string& text) {
  std::vector<int32_t> tokens;
  for (const absl::string_view word : absl::StrSplit(text, ',')) {
    int32_t token = 0;
    if (!absl::SimpleAtoi(word, &token)) {
      return UsageError("--tokens: '", word, "' is not a token id; give numbers separated by commas");
    }
    tokens.push_back(token);
  }
  return tokens;
}

/// Checks the flags and reads --tokens into `tokens`.
absl::Status CheckFlags(const RunFlags& flags, std::vector<int32_t>& tokens) {
  if (flags.prompt.empty() && flags.tokens.empty()) {
    return UserError("the prompt is empty; give it with --prompt=TEXT or --tokens=1,2,3");
  }
  if (!flags.tokens.empty()) {
    ASSIGN_OR_RETURN(tokens, ParseTokens(flags.tokens));
  }
  return ValidateSamplingOptions(flags.generate.sampling);
}

absl::Status Run(const RunFlags& flags) {
  RunRequest request;
  RETURN_IF_ERROR(CheckFlags(flags, request.tokens));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, LoadModel(flags.artifact, flags.device));
  request.threads = flags.device.threads;
  request.generate = flags.generate;
  request.keep_logits = !flags.logits.empty();
  request.statistics = flags.stats || flags.json;
  std::optional<Tokenizer> tokenizer;
  if (!flags.prompt.empty() || HasTokenizer(*model, flags.tokenizer)) {
    ASSIGN_OR_RETURN(tokenizer, LoadTokenizer(*model, flags.tokenizer));
  }
  if (!flags.prompt.empty()) {
    ASSIGN_OR_RETURN(request.tokens, tokenizer->EncodePrompt(flags.prompt));
  }
  if (!flags.logits.empty()) {
    RETURN_IF_ERROR(WithContext(CheckCanCreate(flags.logits), "--logits"));
  }
  if (!flags.json) {
    request.on_text = [](const std::string& text) { std::cout << text << std::flush; };
  }
  ASSIGN_OR_RETURN(const RunResult result, RunModel(model, tokenizer.has_value() ? &*tokenizer : nullptr, request));
  if (!flags.logits.empty()) {
    RETURN_IF_ERROR(
        WriteNpy(flags.logits, result.logits, static_cast<int64_t>(result.prompt.size()), model->info().vocab));
  }
  if (flags.json) {
    PrintJsonResult(result);
  } else {
    std::cout << std::endl;
  }
  if (flags.stats) {
    PrintStats(result);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace dejavu

int main(int argc, char** argv) {
  CLI::App app("Continues a prompt with the model of an artifact.", "dejavu-run");
  dejavu::RunFlags flags;
  dejavu::AddFlags(app, flags);
  dejavu::DescribeTool(app, dejavu::kExamples);
  return dejavu::RunTool(app, argc, argv, [&] { return dejavu::Run(flags); });
}
