#include "tools/driver/Compile.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <span>

#include "absl/strings/str_split.h"
#include "codegen/plan/LaunchPlan.h"
#include "codegen/target/TargetRegistry.h"
#include "ir/base/FileUtil.h"
#include "ir/import/SyntheticWeights.h"
#include "ir/text/Printer.h"
#include "runtime/artifact/ArtifactWriter.h"
#include "tools/driver/Interrupt.h"
#include "tools/driver/ProgressBar.h"

namespace dejavu {
namespace {

constexpr int64_t kProgressBytes = int64_t{1} << 30;

std::string TextAttribute(const Module& module, std::string_view key) {
  auto it = module.attributes().find(key);
  return it != module.attributes().end() && std::holds_alternative<std::string>(it->second)
             ? std::get<std::string>(it->second)
             : "";
}

Manifest MakeManifest(const Module& module) {
  Manifest manifest;
  manifest.producer = std::string("dejavu ") + DEJAVU_VERSION;
  manifest.sparsity = TextAttribute(module, "sparsity");
  manifest.model = {.name = module.name(),
                    .hidden = module.IntAttribute("hidden"),
                    .layers = module.IntAttribute("layers"),
                    .heads = module.IntAttribute("heads"),
                    .ffn = module.IntAttribute("ffn"),
                    .vocab = module.IntAttribute("vocab"),
                    .positions = module.IntAttribute("positions"),
                    .bos = module.IntAttribute("bos"),
                    .eos = module.IntAttribute("eos"),
                    .dtype = TextAttribute(module, "dtype")};
  for (const char* budget : {"mlp_density", "head_density"}) {
    const auto it = module.attributes().find(budget);
    if (it != module.attributes().end() && std::holds_alternative<double>(it->second)) {
      manifest.contract["budgets"][budget] = std::get<double>(it->second);
    }
  }
  return manifest;
}

absl::Status AddTokenizer(const std::string& folder, ArtifactWriter* writer) {
  constexpr size_t kMaxBytes = 256U << 20U;
  for (const char* name : {"vocab.json", "merges.txt"}) {
    ASSIGN_OR_RETURN(const std::string text, ReadTextFile(absl::StrCat(folder, "/", name), kMaxBytes));
    RETURN_IF_ERROR(writer->AddFile(absl::StrCat(kTokenizerFolder, "/", name), text));
  }
  return absl::OkStatus();
}

void AddMissing(const std::vector<const Weight*>& more, std::vector<const Weight*>* weights) {
  const std::set<const Weight*> known(weights->begin(), weights->end());
  std::copy_if(more.begin(), more.end(), std::back_inserter(*weights),
               [&](const Weight* weight) { return !known.contains(weight); });
}

/// Plans and code of each target, those of one target with several instruction sets together.
absl::Status AddTargets(const Module& module, const std::vector<TargetChoice>& choices, CodeCache* code,
                        Manifest* manifest, ArtifactWriter* writer, std::vector<const Weight*>* weights) {
  for (const TargetChoice& choice : choices) {
    ASSIGN_OR_RETURN(const Target* target, FindTarget(choice.target));
    ASSIGN_OR_RETURN(LaunchPlan plan, MakeLaunchPlan(module, *target));
    if (IsSynthetic(module) && target->kernels().Find(kSyntheticFillKernel) != nullptr) {
      plan.kernels.push_back({kSyntheticFillKernel, {}, {}, {}});
    }
    TargetInfo* info = nullptr;
    for (TargetInfo& other : manifest->targets) {
      info = other.name == choice.target ? &other : info;
    }
    if (info == nullptr) {
      manifest->targets.push_back({choice.target, absl::StrCat("plan-", choice.target, ".json"), {}});
      info = &manifest->targets.back();
      RETURN_IF_ERROR(writer->AddFile(info->plan, PlanToJson(plan.plan).dump()));
      AddMissing(plan.weights, weights);
    }
    RETURN_IF_ERROR(InterruptStatus());
    ASSIGN_OR_RETURN(const CompiledCode compiled, code != nullptr ? code->Compile(*target, plan.kernels, choice.isa)
                                                                  : target->Compile(plan.kernels, choice.isa));
    RETURN_IF_ERROR(writer->AddFile(
        compiled.file, std::string_view(reinterpret_cast<const char*>(compiled.bytes.data()), compiled.bytes.size())));
    info->code.push_back({compiled.isa, compiled.file});
  }
  return absl::OkStatus();
}

/// Looks for an interrupt now and then: a large matrix takes seconds.
absl::Status AppendInPieces(std::span<const std::byte> bytes, ArtifactWriter* writer) {
  constexpr size_t kPieceBytes = size_t{1} << 26;
  RETURN_IF_ERROR(InterruptStatus());
  for (size_t begin = 0; begin < bytes.size(); begin += kPieceBytes) {
    RETURN_IF_ERROR(writer->AppendTensor(bytes.subspan(begin, std::min(kPieceBytes, bytes.size() - begin))));
    RETURN_IF_ERROR(InterruptStatus());
  }
  return absl::OkStatus();
}

/// Describes the weights of a synthetic model.
absl::Status AddSyntheticTensors(const std::vector<const Weight*>& weights, Manifest* manifest) {
  for (const Weight* weight : weights) {
    const Shape& shape = weight->type.shape;
    SyntheticTensor tensor{weight->type.dtype, shape[0].size(), shape.size() == 1 ? 1 : shape[1].size()};
    ASSIGN_OR_RETURN(tensor.fill, FillOf(*weight));
    manifest->synthetic[weight->name] = std::move(tensor);
  }
  return absl::OkStatus();
}

absl::Status AddWeights(const std::vector<const Weight*>& weights, WeightStore& store, ArtifactWriter* writer) {
  std::vector<TensorSpec> specs;
  int64_t total = 0;
  for (const Weight* weight : weights) {
    TensorSpec spec{weight->name, weight->type.dtype, {}};
    for (const Dim& dim : weight->type.shape) {
      spec.dims.push_back(dim.size());
    }
    total += weight->type.NumElements() * static_cast<int64_t>(DTypeSize(weight->type.dtype));
    specs.push_back(std::move(spec));
  }
  RETURN_IF_ERROR(writer->BeginTensors(std::move(specs)));
  ProgressBar progress("packing weights");
  int64_t done = 0;
  for (const Weight* weight : weights) {
    ASSIGN_OR_RETURN(const WeightData data, store.Read(*weight));
    RETURN_IF_ERROR(AppendInPieces({data.data, data.bytes}, writer));
    done += static_cast<int64_t>(data.bytes);
    if (total > kProgressBytes) {
      progress.Update(done, total, weight->name);
    }
  }
  return absl::OkStatus();
}

bool Prints(const Target& target, const std::string& format) {
  const std::vector<std::string> formats = target.formats();
  return std::find(formats.begin(), formats.end(), format) != formats.end();
}

}  // namespace

absl::StatusOr<CompiledCode> CodeCache::Compile(const Target& target, absl::Span<const KernelSpec> kernels,
                                                const std::string& isa) {
  const auto has = [](absl::Span<const KernelSpec> all, const KernelSpec& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  };
  const Entry* first = nullptr;
  for (const Entry& entry : entries_) {
    if (entry.target != target.name() || entry.isa != isa) {
      continue;
    }
    first = first == nullptr ? &entry : first;
    if (std::all_of(kernels.begin(), kernels.end(), [&](const KernelSpec& one) { return has(entry.kernels, one); })) {
      return entry.code;
    }
  }
  Entry entry = {std::string(target.name()), isa, {kernels.begin(), kernels.end()}, {}};
  if (first != nullptr) {
    std::copy_if(first->kernels.begin(), first->kernels.end(), std::back_inserter(entry.kernels),
                 [&](const KernelSpec& one) { return !has(kernels, one); });
  }
  ASSIGN_OR_RETURN(entry.code, target.Compile(entry.kernels, isa));
  entries_.push_back(std::move(entry));
  return entries_.back().code;
}

absl::StatusOr<std::vector<TargetChoice>> ParseTargets(const std::string& text) {
  std::vector<TargetChoice> choices;
  for (const std::string& word : std::vector<std::string>(absl::StrSplit(text, ','))) {
    const std::vector<std::string> parts = absl::StrSplit(word, absl::MaxSplits(':', 1));
    ASSIGN_OR_RETURN(const Target* target, FindTarget(parts[0]));
    TargetChoice choice{parts[0], ""};
    if (parts.size() == 1) {
      ASSIGN_OR_RETURN(choice.isa, target->HostIsa());
    } else {
      choice.isa = parts[1];
      const std::vector<std::string> isas = target->isas();
      if (std::find(isas.begin(), isas.end(), choice.isa) == isas.end()) {
        std::string list;
        for (const std::string& isa : isas) {
          absl::StrAppend(&list, list.empty() ? "" : ", ", isa);
        }
        return UsageError("--target: '", parts[0], "' has no instruction set '", choice.isa, "'; there are ", list);
      }
    }
    for (const TargetChoice& other : choices) {
      if (other.target == choice.target && other.isa == choice.isa) {
        return UsageError("--target: '", word, "' is given twice");
      }
    }
    choices.push_back(std::move(choice));
  }
  return choices;
}

absl::Status WriteArtifact(const Module& module, WeightStore& weights, const ArtifactOptions& options) {
  // Before the writer, so that its files are gone before a signal can end the program again.
  const InterruptGuard guard;
  ASSIGN_OR_RETURN(ArtifactWriter writer, ArtifactWriter::Create(options.path));
  Manifest manifest = MakeManifest(module);
  if (!options.contract.is_null()) {
    manifest.contract.update(options.contract);
  }
  RETURN_IF_ERROR(writer.AddFile("module.dv", PrintModule(module)));
  if (!options.tokenizer.empty()) {
    RETURN_IF_ERROR(AddTokenizer(options.tokenizer, &writer));
  }
  std::vector<const Weight*> order;
  RETURN_IF_ERROR(AddTargets(module, options.targets, options.code, &manifest, &writer, &order));
  RETURN_IF_ERROR(IsSynthetic(module) ? AddSyntheticTensors(order, &manifest) : AddWeights(order, weights, &writer));
  return writer.Commit(std::move(manifest));
}

std::vector<std::string> KernelFormats() {
  std::vector<std::string> all;
  for (const Target* target : Targets()) {
    const std::vector<std::string> formats = target->formats();
    all.insert(all.end(), formats.begin(), formats.end());
  }
  return all;
}

absl::StatusOr<TargetChoice> ChooseForFormat(const std::vector<TargetChoice>& choices, const std::string& format) {
  const TargetChoice* chosen = nullptr;
  for (const TargetChoice& choice : choices) {
    ASSIGN_OR_RETURN(const Target* target, FindTarget(choice.target));
    if (!Prints(*target, format)) {
      continue;
    }
    if (chosen != nullptr) {
      return UsageError("--emit=", format, " writes the kernels of one target, but --target names ", chosen->target,
                        ":", chosen->isa, " and ", choice.target, ":", choice.isa);
    }
    chosen = &choice;
  }
  if (chosen != nullptr) {
    return *chosen;
  }
  for (const Target* target : Targets()) {
    if (Prints(*target, format)) {
      const std::string name(target->name());
      const std::string isa = target->HostIsa().ok() ? "" : ":" + target->isas().back();
      return UsageError("--emit=", format, " prints kernels of the target ", name, ": add --target=", name, isa);
    }
  }
  return UsageError("--emit: no target prints '", format, "'");
}

absl::StatusOr<std::string> EmitKernelText(const Module& module, const TargetChoice& choice,
                                           const std::string& format) {
  ASSIGN_OR_RETURN(const Target* target, FindTarget(choice.target));
  ASSIGN_OR_RETURN(const LaunchPlan plan, MakeLaunchPlan(module, *target));
  return target->EmitText(plan.kernels, choice.isa, format);
}

}  // namespace dejavu
