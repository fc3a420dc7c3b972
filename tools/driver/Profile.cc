#include "tools/driver/Profile.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "ir/base/FileUtil.h"
#include "ir/base/Hash.h"
#include "ir/base/JsonText.h"
#include "ir/base/PredictorRows.h"
#include "ir/base/Safetensors.h"
#include "passes/Pipelines.h"
#include "passes/manager/PassManager.h"
#include "passes/sparsity/Lookahead.h"
#include "passes/sparsity/LowRankPredictors.h"
#include "passes/sparsity/training/Sensitivity.h"
#include "passes/sparsity/training/Thresholds.h"
#include "runtime/cpu/CpuFeatures.h"
#include "tools/driver/Compile.h"
#include "tools/driver/Evaluate.h"
#include "tools/driver/Interrupt.h"
#include "tools/driver/ModelInput.h"
#include "tools/driver/ProgressBar.h"
#include "tools/driver/RecordRows.h"
#include "tools/driver/TrainHeads.h"
#include "tools/driver/TrainLayers.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr char kPartialFolder[] = "partial";
constexpr char kRecordingFile[] = "recording.json";
constexpr int64_t kMostHeldOut = 8192;
// What heads are weighed on: their sensitivities are means over some thousand tokens.
constexpr size_t kWeighedWindows = 4;
constexpr size_t kWeighedTokens = 1024;

absl::Status Run(Module& module, WeightStore& store, const std::string& text) {
  ASSIGN_OR_RETURN(const Pipeline pipeline, ParsePipeline(text));
  return RunPipeline(module, store, pipeline, {}, std::cerr);
}

std::string HashOf(const std::string& text) { return HashText(Hash64(std::string_view(text))); }

class Profiling {
 public:
  explicit Profiling(const ProfileOptions& options)
      : options_(options), partial_(absl::StrCat(options.output, "/", kPartialFolder)) {}

  absl::StatusOr<Profile> Run() {
    RETURN_IF_ERROR(ReadInputs());
    RETURN_IF_ERROR(PrepareFolder());
    if (!has_recording_) {
      RETURN_IF_ERROR(Record());
    }
    RETURN_IF_ERROR(Train());
    RETURN_IF_ERROR(Finish());
    return profile_;
  }

 private:
  /// The model at [model], the text and what identifies both.
  absl::Status ReadInputs() {
    if (!options_.text.empty()) {
      ASSIGN_OR_RETURN(text_, ReadTextFile(options_.text));
    }
    ASSIGN_OR_RETURN(module_, ReadModel(options_.model, &store_));
    ASSIGN_OR_RETURN(const std::string pipeline, PipelineBetween(*module_, "model", "none"));
    RETURN_IF_ERROR(WithContext(dejavu::Run(*module_, store_, pipeline), options_.model));
    ASSIGN_OR_RETURN(mlps_, FindMlps(*module_));
    ASSIGN_OR_RETURN(blocks_, FindBlocks(*module_->FindFunction("prefill")));
    ASSIGN_OR_RETURN(profile_.model_hash, HashModel(*module_, store_));
    profile_.lookahead = options_.lookahead;
    profile_.matrix_bits = options_.matrix_bits;
    profile_.layers.resize(mlps_.size());
    std::string folder = options_.tokenizer;
    std::error_code error;
    if (folder.empty() && fs::is_directory(options_.model, error)) {
      folder = options_.model;
    }
    profile_.tokenizer_hash = HashOf("");
    profile_.text_hash = HashOf(options_.self > 0 ? absl::StrCat("self ", options_.self) : text_);
    if (options_.self > 0) {
      return absl::OkStatus();
    }
    if (folder.empty()) {
      return UserError(options_.model,
                       ": has no tokenizer; give the folder of vocab.json and merges.txt with --tokenizer=DIR");
    }
    ASSIGN_OR_RETURN(tokenizer_, Tokenizer::Load(folder));
    ASSIGN_OR_RETURN(const std::string vocabulary, ReadTextFile(folder + "/vocab.json"));
    ASSIGN_OR_RETURN(const std::string merges, ReadTextFile(folder + "/merges.txt"));
    profile_.tokenizer_hash = HashOf(vocabulary + merges);
    return absl::OkStatus();
  }

  /// What a recording must agree in to be gone on with.
  [[nodiscard]] Json Key() const {
    return {{"format", kProfileFormat},
            {"model", profile_.model_hash},
            {"text", profile_.text_hash},
            {"tokenizer", profile_.tokenizer_hash},
            {"lookahead", options_.lookahead},
            {"max_tokens", options_.max_tokens},
            {"heads", true},
            {"matrix_bits", options_.matrix_bits},
            {"rank", options_.rank}};
  }

  absl::Status PrepareFolder() {
    std::error_code error;
    if (fs::exists(absl::StrCat(options_.output, "/", kProfileFile), error)) {
      return UserError(options_.output, ": holds a profile already; remove it or choose another directory");
    }
    if (fs::exists(options_.output, error) && !fs::is_directory(options_.output, error)) {
      return UserError(options_.output, ": is no directory");
    }
    fs::create_directories(partial_, error);
    if (error) {
      return UserError(options_.output, ": cannot be made: ", error.message());
    }
    const std::string path = absl::StrCat(partial_, "/", kRecordingFile);
    if (!fs::exists(path, error)) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
    absl::StatusOr<Json> recording = ParseJsonObject(text);
    RETURN_IF_ERROR(WithContext(recording.status(), path));
    if (recording->value("key", Json()) != Key() || !(*recording)["rows"].is_number_integer()) {
      return UserError(options_.output,
                       ": holds an unfinished profile of another model, text or other options; remove it or choose "
                       "another directory");
    }
    RETURN_IF_ERROR(WithContext(ReadSensitivity(*recording), path));
    profile_.rows = (*recording)["rows"];
    profile_.tokens = profile_.rows;
    has_recording_ = true;
    return absl::OkStatus();
  }

  absl::Status ReadSensitivity(const Json& recording) {
    const Json layers = recording.value("sensitivity", Json());
    bool fits = layers.is_array() && layers.size() == blocks_.size();
    for (size_t layer = 0; fits && layer < layers.size(); ++layer) {
      const auto heads = static_cast<size_t>(blocks_[layer].attention->operand("cache")->type().shape[1].size());
      fits = layers[layer].is_array() && layers[layer].size() == heads &&
             std::all_of(layers[layer].begin(), layers[layer].end(), [](const Json& one) { return one.is_number(); });
    }
    if (!fits) {
      return UserError("field 'sensitivity' must have a number for each head; remove the directory and profile again");
    }
    sensitivity_ = layers.get<std::vector<std::vector<double>>>();
    return absl::OkStatus();
  }

  /// Windows of as many tokens as the model has positions, spread over the text; the last one may be shorter.
  absl::StatusOr<std::vector<std::vector<int32_t>>> CutText(const ModelInfo& info) const {
    ASSIGN_OR_RETURN(const std::vector<int32_t> ids, EncodeDocuments(*tokenizer_, text_));
    for (const int32_t id : ids) {
      if (id >= info.vocab) {
        return UserError(options_.text, ": has the token id ", id, ", but ", options_.model, " knows 0 to ",
                         info.vocab - 1, "; is the tokenizer another model's?");
      }
    }
    const auto size = static_cast<int64_t>(ids.size());
    const int64_t windows = (size + info.positions - 1) / info.positions;
    const int64_t wanted = std::clamp<int64_t>(options_.max_tokens / info.positions, 1, windows);
    std::vector<std::vector<int32_t>> result;
    for (int64_t i = 0; i < wanted; ++i) {
      const int64_t begin = i * windows / wanted * info.positions;
      const int64_t end = std::min({size, begin + info.positions, begin + options_.max_tokens});
      result.emplace_back(ids.begin() + begin, ids.begin() + end);
    }
    return result;
  }

  absl::Status Record() {
    const std::string artifact = partial_ + "/tapped.dejavu";
    RETURN_IF_ERROR(CompileTapped(artifact));
    ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, LoadModel(artifact, options_.device));
    if (!model->device().CanPrefill()) {
      return UserError("--device=", options_.device.device, ": cannot take in text by matrix products here");
    }
    ASSIGN_OR_RETURN(const auto windows, options_.self > 0
                                             ? SampleWindows(model, options_.device.threads, options_.self)
                                             : CutText(model->info()));
    for (const std::vector<int32_t>& window : windows) {
      profile_.rows += static_cast<int64_t>(window.size());
    }
    RETURN_IF_ERROR(CheckRows(model->info()));
    RETURN_IF_ERROR(CheckDisk(model->info()));
    RETURN_IF_ERROR(RecordRows(model, options_.device.threads, windows, Files()));
    RETURN_IF_ERROR(WeighHeads(windows));
    profile_.tokens = profile_.rows;
    const Json recording = {{"key", Key()}, {"rows", profile_.rows}, {"sensitivity", sensitivity_}};
    RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(partial_, "/", kRecordingFile), PrintJson(recording)));
    std::error_code error;
    fs::remove_all(artifact, error);
    return absl::OkStatus();
  }

  absl::Status WeighHeads(const std::vector<std::vector<int32_t>>& windows) {
    std::vector<std::vector<int32_t>> some;
    const size_t count = std::min(kWeighedWindows, windows.size());
    for (size_t i = 0; i < count; ++i) {
      some.push_back(windows[i * windows.size() / count]);
      some.back().resize(std::min(kWeighedTokens, some.back().size()));
    }
    ProgressBar bar("weighing heads");
    ASSIGN_OR_RETURN(sensitivity_,
                     MeasureSensitivity(*module_->FindFunction("prefill"), store_, some, Threads(), [&](double share) {
                       bar.Update(static_cast<int64_t>(share * 1000), 1000);
                       return InterruptStatus("the same command starts again");
                     }));
    return absl::OkStatus();
  }

  absl::Status CompileTapped(const std::string& path) {
    WeightStore store;
    ASSIGN_OR_RETURN(const std::unique_ptr<Module> module, ReadModel(options_.model, &store));
    ASSIGN_OR_RETURN(const std::string pipeline, PipelineBetween(*module, "sparse", "none"));
    RETURN_IF_ERROR(dejavu::Run(*module, store, pipeline + ",tapped"));
    ArtifactOptions artifact;
    artifact.path = path;
    // Which of its architectures a GPU has is known when the artifact is loaded.
    ASSIGN_OR_RETURN(artifact.targets, ParseTargets(options_.device.device == "cpu" ? "cpu" : "cuda:sm_80,cuda:sm_90"));
    return WriteArtifact(*module, store, artifact);
  }

  [[nodiscard]] absl::Status CheckRows(const ModelInfo& info) const {
    // Fewer say more about the text than about the model.
    const int64_t least = 4 * info.hidden;
    if (profile_.rows < least) {
      return UserError(options_.self > 0 ? "--self" : options_.text, ": has ", profile_.rows,
                       " tokens, but a model of width ", info.hidden, " needs at least ", least,
                       " to train predictors on; use a longer text");
    }
    return absl::OkStatus();
  }

  [[nodiscard]] absl::Status CheckDisk(const ModelInfo& info) const {
    std::error_code error;
    const int64_t needed = RecordingBytes(info, profile_.rows);
    const fs::space_info space = fs::space(partial_, error);
    if (!error && static_cast<int64_t>(space.available) < needed) {
      return UserError(options_.output, ": the recording needs ", needed >> 20, " MiB, but the disk has ",
                       space.available >> 20, " MiB left; use fewer --max-tokens");
    }
    return absl::OkStatus();
  }

  [[nodiscard]] RecordingFiles Files() const { return {partial_, options_.lookahead}; }
  [[nodiscard]] std::string LayerPath(size_t layer, const char* ending) const {
    return absl::StrCat(partial_, "/layer-", layer, ending);
  }

  [[nodiscard]] int Threads() const { return options_.device.threads > 0 ? options_.device.threads : AvailableCores(); }
  /// Empty names for a layer that nothing comes before from which its heads could be told.
  [[nodiscard]] HeadFiles FilesOfHeads(size_t layer) const {
    return HeadsFrom(static_cast<int64_t>(layer), options_.lookahead)
               ? HeadFiles{LayerPath(layer, ".heads.safetensors"), LayerPath(layer, ".scores")}
               : HeadFiles();
  }

  absl::Status Train() {
    profile_.held_out = std::min(kMostHeldOut, profile_.rows / 8);
    const int64_t width = mlps_[0]->operand("x")->type().shape[1].size();
    ProgressBar bar("training");
    for (size_t layer = 0; layer < mlps_.size(); ++layer) {
      RETURN_IF_ERROR(TrainOne(layer, width));
      bar.Update(static_cast<int64_t>(layer) + 1, static_cast<int64_t>(mlps_.size()));
    }
    return absl::OkStatus();
  }

  /// A layer is finished when its JSON file is there.
  absl::Status TrainOne(size_t layer, int64_t width) {
    const std::string path = LayerPath(layer, ".json");
    std::error_code error;
    if (!fs::exists(path, error)) {
      const std::string where = absl::StrCat("layer ", layer);
      absl::StatusOr<ProfileLayer> trained = TrainNeurons(layer, width);
      RETURN_IF_ERROR(WithContext(trained.status(), where));
      RETURN_IF_ERROR(WithContext(TrainHeads(layer, width), where));
      RETURN_IF_ERROR(WriteFileAtomically(path, PrintProfileLayer(*trained)));
    }
    absl::StatusOr<ProfileLayer> read = ReadProfileLayer(path);
    RETURN_IF_ERROR(read.status());
    profile_.layers[layer] = *std::move(read);
    return absl::OkStatus();
  }

  absl::StatusOr<ProfileLayer> TrainNeurons(size_t layer, int64_t width) {
    ASSIGN_OR_RETURN(const LayerRows rows, ReadRows(Files(), static_cast<int64_t>(layer), width, profile_.rows));
    ASSIGN_OR_RETURN(const LayerMlp mlp, ReadMlp(*mlps_[layer], store_));
    return TrainLayer(rows, mlp, static_cast<int64_t>(layer),
                      {profile_.held_out, options_.rank, options_.matrix_bits, Threads()},
                      LayerPath(layer, ".safetensors"));
  }

  absl::Status TrainHeads(size_t layer, int64_t width) {
    const HeadFiles files = FilesOfHeads(layer);
    if (files.tensors.empty()) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const HeadRows rows, ReadHeadRows(Files(), static_cast<int64_t>(layer), width, profile_.rows));
    return TrainHeadsOfLayer(rows, *blocks_[layer].attention, store_, sensitivity_[layer],
                             {profile_.held_out, HeadMatrixBits(options_.matrix_bits), Threads()}, files);
  }

  /// Joins the layers; profile.json comes last and makes it a profile.
  absl::Status Finish() {
    std::vector<HeadFiles> head_files;
    std::vector<Safetensors> files;
    std::vector<TensorSpec> specs;
    for (size_t layer = 0; layer < mlps_.size(); ++layer) {
      head_files.push_back(FilesOfHeads(layer));
      if (!profile_.layers[layer].mlp) {
        continue;  // nothing was active
      }
      ASSIGN_OR_RETURN(Safetensors file, Safetensors::Open(LayerPath(layer, ".safetensors")));
      for (const TensorView& tensor : file.tensors()) {
        if (!IsPaddingTensor(tensor.name)) {
          specs.push_back({tensor.name, tensor.dtype, tensor.dims});
        }
      }
      files.push_back(std::move(file));
    }
    ASSIGN_OR_RETURN(const JoinedHeads heads, JoinHeads(head_files));
    for (size_t layer = 0; layer < mlps_.size(); ++layer) {
      profile_.layers[layer].heads = heads.layers[layer];
    }
    specs.insert(specs.end(), heads.specs.begin(), heads.specs.end());
    const std::string joined = absl::StrCat(partial_, "/", kPredictorsFile);
    ASSIGN_OR_RETURN(SafetensorsWriter writer, SafetensorsWriter::Create(joined, std::move(specs)));
    for (const Safetensors& file : files) {
      for (const TensorView& tensor : file.tensors()) {
        if (!IsPaddingTensor(tensor.name)) {
          RETURN_IF_ERROR(writer.Append({tensor.data, tensor.bytes}));
        }
      }
    }
    for (const std::vector<std::byte>& tensor : heads.tensors) {
      RETURN_IF_ERROR(writer.Append(tensor));
    }
    RETURN_IF_ERROR(writer.Finish().status());
    std::error_code error;
    fs::rename(joined, absl::StrCat(options_.output, "/", kPredictorsFile), error);
    if (error) {
      return UserError(options_.output, "/", kPredictorsFile, ": cannot be written: ", error.message());
    }
    RETURN_IF_ERROR(WriteFileAtomically(options_.output + "/summary.txt", ProfileSummary(profile_)));
    RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(options_.output, "/", kProfileFile), PrintProfile(profile_)));
    fs::remove_all(partial_, error);
    return absl::OkStatus();
  }

  const ProfileOptions& options_;
  std::string partial_;  // the folder of what is not finished
  std::string text_;
  std::optional<Tokenizer> tokenizer_;
  WeightStore store_;
  std::unique_ptr<Module> module_;
  std::vector<const Operation*> mlps_;
  std::vector<Block> blocks_;
  std::vector<std::vector<double>> sensitivity_;  // of each layer's heads
  Profile profile_;
  bool has_recording_ = false;
};

}  // namespace

absl::StatusOr<Profile> MakeProfile(const ProfileOptions& options) {
  const InterruptGuard guard;
  return Profiling(options).Run();
}

}  // namespace dejavu
