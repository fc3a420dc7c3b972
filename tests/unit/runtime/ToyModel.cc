#include "tests/unit/runtime/ToyModel.h"

#include <random>

#include "ir/base/FileUtil.h"
#include "ir/base/Phases.h"
#include "ir/base/Status.h"
#include "runtime/artifact/ArtifactWriter.h"
#include "runtime/artifact/Json.h"
#include "runtime/cpu/CpuFeatures.h"
#include "runtime/text/ByteSymbols.h"

namespace dejavu::toy {
namespace {

using Kind = BufferRef::Kind;

constexpr char kCodeName[] = "cpu-toy.so";
const std::vector<TensorSpec>& Specs() {
  static const auto* specs = new std::vector<TensorSpec>{{"embed", DType::kF32, {kVocab, kHidden}},
                                                         {"fc1", DType::kF32, {kNeurons, kHidden}},
                                                         {"fc1.bias", DType::kF32, {kNeurons}},
                                                         {"fc2", DType::kF32, {kNeurons, kHidden}},
                                                         {"fc2.bias", DType::kF32, {kHidden}}};
  return *specs;
}
enum WeightNumber { kEmbed, kFc1, kFc1Bias, kFc2, kFc2Bias };

// The arena: one slot of 1 KB per value, enough for kMaxTokens rows of the widest.
enum Slot { kTokens, kX, kMixed, kFlags, kActive, kH, kY, kLast, kLogits, kChoice, kSlots };
constexpr int64_t kSlotBytes = 1024;

BufferRef At(Slot slot) { return {Kind::kArena, slot * kSlotBytes, 0}; }
BufferRef Of(WeightNumber weight) { return {Kind::kWeight, weight, 0}; }

Launch Call(const std::string& name, std::vector<BufferRef> args, int64_t bytes) {
  Launch launch;
  launch.kernel = name;
  launch.symbol = "toy_" + name;
  launch.args = std::move(args);
  launch.bytes = bytes;
  launch.layer = 0;
  return launch;
}

Launch Gemm(std::vector<BufferRef> args, const GemmSpec& spec) {
  Launch launch;
  launch.kernel = "gemm";
  launch.gemm = spec;
  launch.args = std::move(args);
  launch.layer = 0;
  return launch;
}

std::vector<Launch> Front() {
  Launch mix = Call("mix", {At(kX), {Kind::kCache, 0, 0}, At(kMixed)}, 64);
  mix.bytes_per_context_token = 32;
  return {Call("embed", {At(kTokens), Of(kEmbed), At(kX)}, 64), mix};
}

PlanFunction DecodeFunction() {
  PlanFunction function = {1, At(kTokens), At(kLogits), At(kChoice), Front()};
  std::vector<Launch>& launches = function.launches;
  launches.push_back(Call("test", {At(kMixed), Of(kFc1), Of(kFc1Bias), At(kFlags)}, 500));
  launches.back().predictor = true;
  launches.back().neurons = kNeurons;
  launches.push_back(Call("compact", {At(kFlags), At(kActive)}, 16));
  launches.back().predictor = true;
  launches.back().per_active = PerActive{1, 4};
  launches.push_back(Call("fc1", {At(kMixed), Of(kFc1), Of(kFc1Bias), At(kActive), At(kH)}, 32));
  launches.back().neurons = kNeurons;
  launches.back().per_active = PerActive{3, 36};
  launches.push_back(Call("fc2", {At(kH), At(kActive), Of(kFc2), Of(kFc2Bias), At(kMixed), At(kY)}, 96));
  launches.back().neurons = kNeurons;
  launches.back().per_positive = PerPositive{0, 1, 32};
  launches.push_back(Call("head", {At(kY), Of(kEmbed), At(kLogits)}, 800));
  launches.back().layer = -1;
  launches.push_back(Call("argmax", {At(kLogits), At(kChoice)}, 100));
  launches.back().layer = -1;
  return function;
}

PlanFunction PrefillFunction() {
  PlanFunction function = {1, At(kTokens), At(kLogits), {}, Front()};
  std::vector<Launch>& launches = function.launches;
  launches.push_back(Gemm({At(kMixed), Of(kFc1), Of(kFc1Bias), {}, At(kH)},
                          {.n = kNeurons, .k = kHidden, .relu = true, .bias = true}));
  launches.push_back(Gemm({At(kH), Of(kFc2), Of(kFc2Bias), At(kMixed), At(kY)},
                          {.n = kHidden, .k = kNeurons, .transposed = true, .bias = true, .residual = true}));
  launches.push_back(Call("last_row", {At(kY), At(kLast)}, 0));
  launches.push_back(Gemm({At(kLast), Of(kEmbed), {}, {}, At(kLogits)}, {.n = kVocab, .k = kHidden, .tokens = 1}));
  return function;
}

}  // namespace

ToyWeights MakeWeights(uint32_t seed) {
  std::minstd_rand random(seed);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  ToyWeights weights;
  for (const TensorSpec& spec : Specs()) {
    std::vector<float>& values = weights[spec.name];
    values.resize(static_cast<size_t>(spec.dims[0] * (spec.dims.size() > 1 ? spec.dims[1] : 1)));
    for (float& value : values) {
      value = uniform(random);
    }
  }
  return weights;
}

std::vector<float> Reference(const ToyWeights& weights, std::span<const int32_t> tokens, std::vector<int64_t>* active) {
  const auto at = [&](const char* name, int64_t row, int64_t column) {
    return weights.at(name)[static_cast<size_t>(row * kHidden + column)];
  };
  std::vector<float> sum(kHidden, 0.0F);
  std::vector<float> y(kHidden);
  for (const int32_t token : tokens) {
    std::vector<float> mixed(kHidden);
    for (int64_t c = 0; c < kHidden; ++c) {
      const auto i = static_cast<size_t>(c);
      sum[i] += at("embed", token, c);
      mixed[i] = at("embed", token, c) + 0.125F * sum[i];
      y[i] = mixed[i] + weights.at("fc2.bias")[i];
    }
    int64_t count = 0;
    for (int64_t n = 0; n < kNeurons; ++n) {
      float h = weights.at("fc1.bias")[static_cast<size_t>(n)];
      for (int64_t c = 0; c < kHidden; ++c) {
        h += at("fc1", n, c) * mixed[static_cast<size_t>(c)];
      }
      count += h > -0.25F ? 1 : 0;
      for (int64_t c = 0; c < kHidden && h > 0; ++c) {
        y[static_cast<size_t>(c)] += h * at("fc2", n, c);
      }
    }
    if (active != nullptr) {
      active->push_back(count);
    }
  }
  std::vector<float> logits(kVocab, 0.0F);
  for (int64_t v = 0; v < kVocab; ++v) {
    for (int64_t c = 0; c < kHidden; ++c) {
      logits[static_cast<size_t>(v)] += at("embed", v, c) * y[static_cast<size_t>(c)];
    }
  }
  return logits;
}

Plan MakePlan() {
  Plan plan;
  plan.target = "cpu";
  plan.arena_bytes = kSlots * kSlotBytes;
  plan.max_tokens = kMaxTokens;
  plan.positions = kPositions;
  for (const TensorSpec& spec : Specs()) {
    plan.weights.push_back(spec.name);
  }
  plan.caches.push_back({"kv0", kPositions * kHidden * 4});
  plan.functions["decode"] = DecodeFunction();
  plan.functions["prefill"] = PrefillFunction();
  return plan;
}

Plan WithBatch(Plan plan, int64_t sequences) {
  PlanFunction& batch = plan.functions[DecodeName(sequences)] = plan.functions.at("decode");
  batch.sequences = sequences;
  for (Launch& launch : batch.launches) {
    // Where tokens are looked up, and where flags become a list, there is nothing to tell sequences apart.
    launch.symbol += launch.kernel == "embed" || launch.kernel == "compact" ? "" : "_batch";
  }
  return plan;
}

Manifest MakeManifest() {
  Manifest manifest;
  manifest.producer = "dejavu tests";
  manifest.model = {.name = "toy",
                    .hidden = kHidden,
                    .layers = 1,
                    .heads = 1,
                    .ffn = kNeurons,
                    .vocab = kVocab,
                    .positions = kPositions,
                    .bos = 2,
                    .eos = 2,
                    .dtype = "f32"};
  manifest.sparsity = "exact";
  manifest.targets = {{"cpu", "plan-cpu.json", {{SupportedIsas().back(), kCodeName}}}};
  return manifest;
}

std::map<std::string, std::string> TokenizerFiles() {
  nlohmann::json vocab = {{"<s>", 0}, {"<pad>", 1}, {"</s>", 2}, {"<unk>", 3}};
  int id = 4;
  for (char letter = 'a'; id < kVocab; ++letter) {
    vocab[std::string(1, letter)] = id++;
  }
  // A byte-level vocabulary has every byte; the others' ids are beyond the model's.
  for (int byte = 0; byte < 256; ++byte) {
    const std::string symbol(ByteSymbol(static_cast<uint8_t>(byte)));
    if (!vocab.contains(symbol)) {
      vocab[symbol] = id++;
    }
  }
  return {{"tokenizer/vocab.json", PrintJson(vocab)}, {"tokenizer/merges.txt", "#version: 0.2\n"}};
}

std::map<std::string, SyntheticTensor> SyntheticTensors() {
  constexpr float kStep = 0x1p-8F;
  return {{"embed", {DType::kF32, kVocab, kHidden, {.step = kStep, .seeds = {11, 12}}}},
          {"fc1", {DType::kF32, kNeurons, kHidden, {.step = kStep, .seeds = {13}}}},
          {"fc1.bias", {DType::kF32, kNeurons, 1, {.pattern = {0.5F, -0.25F, 0}}}},
          {"fc2", {DType::kF32, kNeurons, kHidden, {.step = kStep, .seeds = {14}, .transposed = true}}},
          {"fc2.bias", {DType::kF32, kHidden, 1, {.pattern = {0}}}}};
}

absl::Status WriteArtifact(const std::string& path, uint32_t seed, const std::map<std::string, std::string>& extra) {
  ASSIGN_OR_RETURN(const std::string code, ReadTextFile(DEJAVU_TOY_KERNELS));
  std::map<std::string, std::string> files = extra;
  files[kCodeName] = code;
  files["plan-cpu.json"] = PrintJson(PlanToJson(MakePlan()));
  return WriteArtifact(path, seed, MakeManifest(), files);
}

absl::Status WriteArtifact(const std::string& path, uint32_t seed, const Manifest& manifest,
                           const std::map<std::string, std::string>& files) {
  ASSIGN_OR_RETURN(ArtifactWriter writer, ArtifactWriter::Create(path));
  RETURN_IF_ERROR(writer.AddFile("module.dv", "// the toy model has no IR\n"));
  for (const auto& [name, contents] : files) {
    RETURN_IF_ERROR(writer.AddFile(name, contents));
  }
  if (!manifest.synthetic.empty()) {
    return writer.Commit(manifest);
  }
  RETURN_IF_ERROR(writer.BeginTensors(Specs()));
  const ToyWeights weights = MakeWeights(seed);
  for (const TensorSpec& spec : Specs()) {
    RETURN_IF_ERROR(writer.AppendTensor(std::as_bytes(std::span(weights.at(spec.name)))));
  }
  return writer.Commit(manifest);
}

}  // namespace dejavu::toy
