// dejavu-bench: how fast an artifact decodes, and how fast the memory would let it.
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "ir/base/FileUtil.h"
#include "ir/base/Phases.h"
#include "ir/base/Status.h"
#include "tools/driver/Bench.h"
#include "tools/driver/CommandLine.h"

namespace dejavu {
namespace {

struct BenchFlags {
  std::string artifact;
  std::string text;
  int64_t prompt_tokens = 128;
  int64_t batch = 1;
  BenchOptions bench;
  DeviceFlags device;
  std::string trace;
  bool per_kernel = false;
  bool json = false;
};

constexpr char kExamples[] = R"(Examples:
  dejavu-bench opt.dejavu
  dejavu-bench opt.dejavu --text=README.md --threads=2 --json
  dejavu-bench opt.dejavu --per-kernel
  dejavu-bench opt.dejavu --device=cuda --trace=token.json
  dejavu-bench opt.dejavu --batch=4

Takes a prompt through the model and decodes greedily, several times; the times are medians of single steps. With
--batch, each sequence has a prompt of its own, a step takes a token of each, and densities are of their union. Which
neurons a token needs depends on the text, so the speed of a sparse artifact does too: without --text, the prompt is
random tokens. The memory's speed is measured in the same run: a copy (bytes read and written count) and, on a CPU, a
sum (bytes read), there over buffers as large as one token's reads. --per-kernel times every launch by itself, one after
the other: on a GPU, where launches overlap, the sum is more than a token takes. --trace keeps the streams beside each
other; the clocks around the launches add some microseconds to each.)";

void AddFlags(CLI::App& app, BenchFlags& flags) {
  app.add_option("ARTIFACT", flags.artifact, "Folder that dejavu-opt wrote, such as opt.dejavu")->required();
  app.add_option("--prompt-tokens", flags.prompt_tokens, "Length of the prompt")
      ->type_name("N")
      ->check(AtLeast(1))
      ->capture_default_str();
  app.add_option("--new-tokens", flags.bench.new_tokens, "Tokens to decode in each repeat")
      ->type_name("N")
      ->check(AtLeast(1))
      ->capture_default_str();
  app.add_option("--batch", flags.batch, "Sequences that are decoded together; more than 1 needs dejavu-opt --batch=N")
      ->type_name("N")
      ->check(AtLeast(1))
      ->capture_default_str();
  app.add_option("--repeats", flags.bench.repeats, "How often to measure")
      ->type_name("N")
      ->check(AtLeast(1))
      ->capture_default_str();
  app.add_option("--text", flags.text, "Take the prompt from the start of this file, by the artifact's tokenizer")
      ->type_name("FILE");
  AddDeviceFlags(app, flags.device);
  app.add_flag("--per-kernel", flags.per_kernel, "Also list every kernel's time, bytes and speed");
  app.add_option("--trace", flags.trace, "Write a token's timeline for chrome://tracing, a row for each stream")
      ->type_name("F.json");
  app.add_flag("--json", flags.json, "Print one JSON object");
}

/// One for each sequence: random tokens, or parts of the text that follow each other.
absl::StatusOr<std::vector<std::vector<int32_t>>> Prompts(const Model& model, const BenchFlags& flags) {
  std::vector<std::vector<int32_t>> prompts;
  if (flags.prompt_tokens > model.info().positions) {
    return UserError("--prompt-tokens=", flags.prompt_tokens, " is more than the model's ", model.info().positions,
                     " positions");
  }
  if (flags.text.empty()) {
    for (int64_t i = 0; i < flags.batch; ++i) {
      prompts.push_back(RandomTokens(flags.prompt_tokens, model.info().vocab, static_cast<uint64_t>(i) + 1));
    }
    return prompts;
  }
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(flags.text));
  ASSIGN_OR_RETURN(const Tokenizer tokenizer, LoadTokenizer(model, ""));
  ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, tokenizer.EncodePrompt(text));
  const auto count = static_cast<int64_t>(tokens.size());
  if (count / flags.batch < flags.prompt_tokens) {
    return UserError(flags.text, ": has ", count, " tokens, fewer than --prompt-tokens=", flags.prompt_tokens,
                     flags.batch > 1 ? absl::StrCat(" for each of ", flags.batch, " sequences") : "");
  }
  for (int64_t i = 0; i < flags.batch; ++i) {
    const auto begin = tokens.begin() + i * flags.prompt_tokens;
    prompts.emplace_back(begin, begin + flags.prompt_tokens);
  }
  return prompts;
}

/// GB/s; 0 for a kernel that took no time that can be measured.
double Rate(const KernelTime& kernel) {
  return kernel.microseconds > 0 ? kernel.bytes / 1e3 / kernel.microseconds : 0.0;
}

std::string SpeedText(const BenchResult& result) {
  const double speed = result.gb_per_s();
  if (!result.read_gb_per_s.has_value()) {
    return absl::StrFormat("%.2f GB/s (%.0f %% of a copy's %.2f)", speed, 100 * speed / result.copy_gb_per_s,
                           result.copy_gb_per_s);
  }
  return absl::StrFormat("%.2f GB/s (%.0f %% of a read's %.2f; a copy has %.2f)", speed,
                         100 * speed / *result.read_gb_per_s, *result.read_gb_per_s, result.copy_gb_per_s);
}

void PrintJson(const BenchResult& result, const Model& model, bool per_kernel) {
  nlohmann::ordered_json json = {{"batch", result.sequences},
                                 {"ms_per_step", result.ms_per_step},
                                 {"ms_per_token", result.ms_per_token},
                                 {"ms_per_token_p10", result.ms_per_token_p10},
                                 {"ms_per_token_p90", result.ms_per_token_p90},
                                 {"prefill_ms", result.prefill_ms},
                                 {"bytes_per_token", result.bytes_per_token},
                                 {"gb_per_s", result.gb_per_s()},
                                 {"copy_gb_per_s", result.copy_gb_per_s},
                                 {"read_gb_per_s", nullptr},
                                 {"mlp_density", result.mlp_density},
                                 {"head_density", result.head_density},
                                 {"device", model.device().DeviceName(result.threads)},
                                 {"model", model.info().name},
                                 {"target", model.isa()}};
  if (result.read_gb_per_s.has_value()) {
    json["read_gb_per_s"] = *result.read_gb_per_s;
  }
  if (per_kernel) {
    json["kernels"] = nlohmann::ordered_json::array();
    for (const KernelTime& kernel : result.kernels) {
      json["kernels"].push_back({{"symbol", kernel.symbol},
                                 {"launches", kernel.launches},
                                 {"us", kernel.microseconds},
                                 {"bytes", kernel.bytes},
                                 {"gb_per_s", Rate(kernel)},
                                 {"of_copy", Rate(kernel) / result.copy_gb_per_s}});
    }
  }
  std::cout << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
}

void PrintTable(const BenchResult& result, const Model& model) {
  const auto line = [](const char* name, const std::string& value) {
    std::cout << absl::StreamFormat("%-18s%s\n", name, value);
  };
  line("model", absl::StrFormat("%s, %s", model.info().name, model.artifact().manifest().sparsity));
  line("device", absl::StrFormat("%s, %s", model.device().DeviceName(result.threads), model.isa()));
  if (result.sequences > 1) {
    line("step", absl::StrFormat("%.3f ms for a token of each of %d sequences", result.ms_per_step, result.sequences));
  }
  line("decode", absl::StrFormat("%.3f ms per token (10th to 90th percentile: %.3f to %.3f)", result.ms_per_token,
                                 result.ms_per_token_p10, result.ms_per_token_p90));
  line("prefill", absl::StrFormat("%.2f ms", result.prefill_ms));
  line("bytes per token", absl::StrFormat("%.3f MB", result.bytes_per_token / 1e6));
  line("speed", SpeedText(result));
  line("MLP density", absl::StrFormat("%.2f %%", result.mlp_density * 100));
  line("head density", absl::StrFormat("%.2f %%", result.head_density * 100));
}

void PrintKernels(const BenchResult& result) {
  size_t width = 6;
  for (const KernelTime& kernel : result.kernels) {
    width = std::max(width, kernel.symbol.size());
  }
  std::cout << absl::StreamFormat("\n%-*s %9s %9s %11s %8s %8s\n", width, "kernel", "launches", "us", "bytes", "GB/s",
                                  "of copy");
  for (const KernelTime& kernel : result.kernels) {
    const double rate = Rate(kernel);
    std::cout << absl::StreamFormat("%-*s %9d %9.1f %11.0f %8.2f %7.0f%%\n", width, kernel.symbol, kernel.launches,
                                    kernel.microseconds, kernel.bytes, rate, 100 * rate / result.copy_gb_per_s);
  }
}

absl::Status Run(BenchFlags& flags) {
  if (flags.batch > kMaxSequences) {
    return UsageError("--batch=", flags.batch, ": at most ", kMaxSequences, " sequences are decoded together");
  }
  if (flags.batch > 1 && !flags.trace.empty()) {
    return UsageError("--trace shows a token of one sequence; leave out --batch");
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, LoadModel(flags.artifact, flags.device));
  ASSIGN_OR_RETURN(flags.bench.prompts, Prompts(*model, flags));
  flags.bench.threads = flags.device.threads;
  flags.bench.trace = !flags.trace.empty();
  if (flags.bench.trace) {
    RETURN_IF_ERROR(WithContext(CheckCanCreate(flags.trace), "--trace"));
  }
  ASSIGN_OR_RETURN(const BenchResult result, Bench(model, flags.bench));
  if (flags.bench.trace) {
    const std::string device = model->device().DeviceName(result.threads);
    RETURN_IF_ERROR(WriteTrace(flags.trace, absl::StrCat(model->info().name, " on ", device), result.trace));
  }
  if (flags.json) {
    PrintJson(result, *model, flags.per_kernel);
    return absl::OkStatus();
  }
  PrintTable(result, *model);
  if (flags.per_kernel) {
    PrintKernels(result);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace dejavu

int main(int argc, char** argv) {
  CLI::App app("Measures how fast an artifact decodes.", "dejavu-bench");
  dejavu::BenchFlags flags;
  dejavu::AddFlags(app, flags);
  dejavu::DescribeTool(app, dejavu::kExamples);
  return dejavu::RunTool(app, argc, argv, [&] { return dejavu::Run(flags); });
}
