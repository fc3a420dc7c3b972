#include "runtime/artifact/Manifest.h"

#include <algorithm>

#include "ir/base/Hash.h"
#include "ir/base/Status.h"
#include "runtime/artifact/Json.h"

namespace dejavu {
namespace {

using Json = nlohmann::json;

// Far above every transformer, far below where products of two of them overflow 64 bits.
constexpr int64_t kMaxExtent = int64_t{1} << 24;

absl::StatusOr<uint64_t> ReadHash(const Json& value, const std::string& name) {
  const auto hash = value.is_string() ? ParseHash(value.get_ref<const std::string&>()) : std::nullopt;
  if (!hash.has_value()) {
    return UserError(name, " must be 16 hexadecimal digits, but is ", PrintJson(value).substr(0, 40));
  }
  return *hash;
}

absl::StatusOr<std::string> ReadFileName(const JsonObject& object, const char* key) {
  ASSIGN_OR_RETURN(std::string name, object.String(key));
  if (!IsSafeFileName(name)) {
    return UserError(object.Name(key), ": the file name '", name, "' leaves the artifact's folder or is hidden");
  }
  return name;
}

absl::StatusOr<ModelInfo> ReadModel(const JsonObject& object) {
  ModelInfo model;
  ASSIGN_OR_RETURN(model.name, object.String("name"));
  ASSIGN_OR_RETURN(model.hidden, object.Integer("hidden", 1, kMaxExtent));
  ASSIGN_OR_RETURN(model.layers, object.Integer("layers", 1, 1 << 16));
  ASSIGN_OR_RETURN(model.heads, object.Integer("heads", 1, kMaxExtent));
  ASSIGN_OR_RETURN(model.ffn, object.Integer("ffn", 1, kMaxExtent));
  ASSIGN_OR_RETURN(model.vocab, object.Integer("vocab", 1, kMaxExtent));
  ASSIGN_OR_RETURN(model.positions, object.Integer("positions", 1, kMaxExtent));
  ASSIGN_OR_RETURN(model.bos, object.Integer("bos", 0, model.vocab - 1));
  ASSIGN_OR_RETURN(model.eos, object.Integer("eos", 0, model.vocab - 1));
  ASSIGN_OR_RETURN(model.dtype, object.String("dtype"));
  return model;
}

absl::StatusOr<TargetInfo> ReadTarget(const JsonObject& object) {
  TargetInfo target;
  ASSIGN_OR_RETURN(target.name, object.String("name"));
  ASSIGN_OR_RETURN(target.plan, ReadFileName(object, "plan"));
  ASSIGN_OR_RETURN(const Json* code, object.Array("code"));
  for (size_t i = 0; i < code->size(); ++i) {
    const JsonObject entry((*code)[i], absl::StrCat(object.path(), ".code[", i, "]"));
    CodeFile file;
    ASSIGN_OR_RETURN(file.isa, entry.String("isa"));
    ASSIGN_OR_RETURN(file.file, ReadFileName(entry, "file"));
    target.code.push_back(std::move(file));
  }
  return target;
}

absl::Status ReadFiles(const JsonObject& root, Manifest& manifest) {
  ASSIGN_OR_RETURN(const Json* files, root.Member("files"));
  RETURN_IF_ERROR(JsonObject(*files, "files").Check());
  for (const auto& [name, value] : files->items()) {
    if (!IsSafeFileName(name) || name == kManifestFile) {
      return UserError("field 'files': the file name '", name, "' leaves the artifact's folder, is hidden or reserved");
    }
    const JsonObject entry(value, absl::StrCat("files.", name));
    FileInfo info;
    ASSIGN_OR_RETURN(info.bytes, entry.Integer("bytes", 0, kMaxJsonBytes));
    ASSIGN_OR_RETURN(const Json* hash, entry.Member("xxh3"));
    ASSIGN_OR_RETURN(info.xxh3, ReadHash(*hash, entry.Name("xxh3")));
    if (entry.Has("header_xxh3")) {
      ASSIGN_OR_RETURN(const Json* header, entry.Member("header_xxh3"));
      ASSIGN_OR_RETURN(info.header_xxh3, ReadHash(*header, entry.Name("header_xxh3")));
    }
    manifest.files[name] = info;
  }
  return absl::OkStatus();
}

absl::Status ReadTensors(const JsonObject& root, Manifest& manifest) {
  ASSIGN_OR_RETURN(const Json* tensors, root.Member("tensors"));
  RETURN_IF_ERROR(JsonObject(*tensors, "tensors").Check());
  for (const auto& [name, value] : tensors->items()) {
    ASSIGN_OR_RETURN(manifest.tensors[name], ReadHash(value, absl::StrCat("field 'tensors.", name, "'")));
  }
  return absl::OkStatus();
}

absl::Status ReadSynthetic(const JsonObject& root, Manifest& manifest) {
  if (!root.Has("synthetic")) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(root.Object("synthetic").status());
  ASSIGN_OR_RETURN(const Json* entries, root.Member("synthetic"));
  for (const auto& [name, value] : entries->items()) {
    ASSIGN_OR_RETURN(manifest.synthetic[name],
                     ParseSyntheticTensor(JsonObject(value, absl::StrCat("synthetic.", name))));
  }
  return absl::OkStatus();
}

absl::Status ReadTargets(const JsonObject& root, Manifest& manifest) {
  ASSIGN_OR_RETURN(const Json* targets, root.Array("targets"));
  for (size_t i = 0; i < targets->size(); ++i) {
    const JsonObject object((*targets)[i], absl::StrCat("targets[", i, "]"));
    ASSIGN_OR_RETURN(TargetInfo target, ReadTarget(object));
    std::vector<std::string> names = {target.plan};
    for (const CodeFile& code : target.code) {
      names.push_back(code.file);
    }
    for (const std::string& name : names) {
      if (!manifest.files.contains(name)) {
        return UserError("target '", target.name, "' names the file '", name, "', which field 'files' doesn't list");
      }
    }
    if (manifest.FindTarget(target.name) != nullptr) {
      return UserError("field 'targets' lists '", target.name, "' twice");
    }
    manifest.targets.push_back(std::move(target));
  }
  return absl::OkStatus();
}

constexpr char kSeal[] = "xxh3";

std::string SealOf(Json manifest) {
  manifest.erase(kSeal);
  return HashText(Hash64(PrintJson(manifest)));
}

}  // namespace

void SealManifest(nlohmann::json& manifest) { manifest[kSeal] = SealOf(manifest); }

const TargetInfo* Manifest::FindTarget(std::string_view name) const {
  const auto found = std::find_if(targets.begin(), targets.end(), [&](const TargetInfo& t) { return t.name == name; });
  return found == targets.end() ? nullptr : &*found;
}

absl::StatusOr<Manifest> ParseManifest(std::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseJsonObject(text));
  const JsonObject root(json, "");
  ASSIGN_OR_RETURN(const int64_t format, root.Integer("format", 0, kMaxJsonBytes));
  if (format != kArtifactFormat) {
    return UserError("has artifact format ", format, ", but this program reads format ", kArtifactFormat,
                     "; build the artifact again with this version's dejavu-opt");
  }
  ASSIGN_OR_RETURN(const std::string seal, root.String(kSeal));
  if (seal != SealOf(json)) {
    return UserError("is damaged: its field 'xxh3' says ", seal, ", but its other fields have ", SealOf(json),
                     "; copy or build the artifact again");
  }
  Manifest manifest;
  ASSIGN_OR_RETURN(manifest.producer, root.String("producer"));
  ASSIGN_OR_RETURN(const JsonObject model, root.Object("model"));
  ASSIGN_OR_RETURN(manifest.model, ReadModel(model));
  ASSIGN_OR_RETURN(manifest.sparsity, root.String("sparsity"));
  RETURN_IF_ERROR(ReadFiles(root, manifest));
  RETURN_IF_ERROR(ReadTensors(root, manifest));
  RETURN_IF_ERROR(ReadSynthetic(root, manifest));
  RETURN_IF_ERROR(ReadTargets(root, manifest));
  if (root.Has("contract")) {
    manifest.contract = json["contract"];
  }
  return manifest;
}

Json ManifestToJson(const Manifest& manifest) {
  const ModelInfo& model = manifest.model;
  Json json = {{"format", kArtifactFormat},
               {"producer", manifest.producer},
               {"model",
                {{"name", model.name},
                 {"hidden", model.hidden},
                 {"layers", model.layers},
                 {"heads", model.heads},
                 {"ffn", model.ffn},
                 {"vocab", model.vocab},
                 {"positions", model.positions},
                 {"bos", model.bos},
                 {"eos", model.eos},
                 {"dtype", model.dtype}}},
               {"sparsity", manifest.sparsity},
               {"targets", Json::array()},
               {"contract", manifest.contract},
               {"files", Json::object()},
               {"tensors", Json::object()}};
  for (const TargetInfo& target : manifest.targets) {
    Json code = Json::array();
    for (const CodeFile& file : target.code) {
      code.push_back({{"isa", file.isa}, {"file", file.file}});
    }
    json["targets"].push_back({{"name", target.name}, {"plan", target.plan}, {"code", std::move(code)}});
  }
  for (const auto& [name, info] : manifest.files) {
    json["files"][name] = {{"bytes", info.bytes}, {"xxh3", HashText(info.xxh3)}};
    if (info.header_xxh3.has_value()) {
      json["files"][name]["header_xxh3"] = HashText(*info.header_xxh3);
    }
  }
  for (const auto& [name, hash] : manifest.tensors) {
    json["tensors"][name] = HashText(hash);
  }
  for (const auto& [name, tensor] : manifest.synthetic) {
    json["synthetic"][name] = SyntheticTensorToJson(tensor);
  }
  SealManifest(json);
  return json;
}

bool IsSafeFileName(std::string_view name) {
  if (name.empty() || name.size() > 255 || name.find('\0') != std::string_view::npos) {
    return false;
  }
  while (true) {
    const size_t slash = name.find('/');
    const std::string_view component = name.substr(0, slash);
    if (component.empty() || component.front() == '.') {
      return false;
    }
    if (slash == std::string_view::npos) {
      return true;
    }
    name.remove_prefix(slash + 1);
  }
}

}  // namespace dejavu
