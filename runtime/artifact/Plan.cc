#include "runtime/artifact/Plan.h"

#include <algorithm>
#include <array>

#include "ir/base/Phases.h"
#include "ir/base/Status.h"
#include "runtime/artifact/Json.h"
#include "runtime/artifact/Manifest.h"
#include "runtime/artifact/PlanCheck.h"

namespace dejavu {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxCount = 1 << 24;
// What no CUDA device exceeds.
constexpr int64_t kMaxBlocks = (int64_t{1} << 31) - 1;
constexpr int64_t kMaxBlocksPerSm = 32;
constexpr int64_t kMaxBlockThreads = 1024;
constexpr int64_t kMaxBlockShared = int64_t{227} * 1024;
// x, w, bias, residual, y.
constexpr int64_t kGemmArguments = 5;

absl::StatusOr<BufferRef> ReadBuffer(const Json& value, const std::string& path) {
  BufferRef ref;
  if (value.is_null()) {
    return ref;
  }
  const JsonObject object(value, path);
  RETURN_IF_ERROR(object.Check());
  struct Form {
    const char* key;
    BufferRef::Kind kind;
  };
  static constexpr std::array<Form, 3> kForms = {
      {{"arena", BufferRef::Kind::kArena}, {"weight", BufferRef::Kind::kWeight}, {"cache", BufferRef::Kind::kCache}}};
  for (const Form& form : kForms) {
    if (object.Has(form.key)) {
      ref.kind = form.kind;
      ASSIGN_OR_RETURN(ref.value, object.Integer(form.key, 0, kMaxJsonBytes));
      ASSIGN_OR_RETURN(ref.bytes, object.IntegerOr("bytes", 0, kMaxJsonBytes, 0));
      return ref;
    }
  }
  return UserError("field '", path, "' must be null or have one of 'arena', 'weight' and 'cache'");
}

absl::StatusOr<GemmSpec> ReadGemm(const JsonObject& params) {
  GemmSpec spec;
  ASSIGN_OR_RETURN(spec.n, params.Integer("n", 1, kMaxCount));
  ASSIGN_OR_RETURN(spec.k, params.Integer("k", 1, kMaxCount));
  ASSIGN_OR_RETURN(const std::string dtype, params.String("dtype"));
  const std::optional<DType> parsed = ParseDType(dtype);
  if (parsed != DType::kF32 && parsed != DType::kF16 && parsed != DType::kBF16) {
    return UserError(params.Name("dtype"), " must be f32, f16 or bf16, but is '", dtype, "'");
  }
  spec.dtype = *parsed;
  ASSIGN_OR_RETURN(spec.relu, params.BoolOr("relu", false));
  ASSIGN_OR_RETURN(spec.transposed, params.BoolOr("transposed", false));
  ASSIGN_OR_RETURN(spec.bias, params.BoolOr("bias", false));
  ASSIGN_OR_RETURN(spec.residual, params.BoolOr("residual", false));
  ASSIGN_OR_RETURN(spec.tokens, params.IntegerOr("tokens", 0, kMaxCount, 0));
  return spec;
}

absl::StatusOr<LaunchGrid> ReadGrid(const JsonObject& object) {
  LaunchGrid grid;
  ASSIGN_OR_RETURN(grid.blocks, object.Integer("blocks", 1, kMaxBlocks));
  ASSIGN_OR_RETURN(grid.per_sm, object.IntegerOr("per_sm", 0, kMaxBlocksPerSm, 0));
  ASSIGN_OR_RETURN(grid.threads, object.Integer("threads", 1, kMaxBlockThreads));
  ASSIGN_OR_RETURN(grid.shared, object.IntegerOr("shared", 0, kMaxBlockShared, 0));
  ASSIGN_OR_RETURN(grid.scratch, object.IntegerOr("scratch", 0, kMaxJsonBytes, 0));
  if (grid.scratch != 0 && grid.scratch < kScratchCounterBytes) {
    return UserError(object.Name("scratch"), " must be 0 or at least ", kScratchCounterBytes, ", but is ",
                     grid.scratch);
  }
  ASSIGN_OR_RETURN(grid.early, object.BoolOr("early", false));
  return grid;
}

absl::Status ReadGrids(const JsonObject& object, std::map<std::string, LaunchGrid>& to) {
  ASSIGN_OR_RETURN(const Json* grids, object.Member("grids"));
  const std::string path = absl::StrCat(object.path(), ".grids");
  RETURN_IF_ERROR(JsonObject(*grids, path).Check());
  for (const auto& [isa, value] : grids->items()) {
    const JsonObject grid(value, absl::StrCat(path, ".", isa));
    RETURN_IF_ERROR(grid.Check());
    ASSIGN_OR_RETURN(to[isa], ReadGrid(grid));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadSymbol(const JsonObject& object) {
  ASSIGN_OR_RETURN(std::string symbol, object.String("symbol"));
  if (symbol.empty() || symbol.find('\0') != std::string::npos) {
    return UserError(object.Name("symbol"), " must be the name of a function");
  }
  return symbol;
}

absl::StatusOr<std::vector<int64_t>> ReadIntegers(const JsonObject& object, const char* key) {
  ASSIGN_OR_RETURN(const Json* array, object.Array(key));
  std::vector<int64_t> values;
  for (const Json& value : *array) {
    if (!value.is_number_integer()) {
      return UserError(object.Name(key), " must hold integers");
    }
    values.push_back(value.get<int64_t>());
  }
  return values;
}

absl::Status ReadCode(const JsonObject& object, Launch& launch) {
  if (object.Has("params")) {
    ASSIGN_OR_RETURN(const Json* params, object.Member("params"));
    launch.params = *params;
  }
  if (object.Has("grids")) {
    if (object.Has("builtin")) {
      return UserError(object.Name("grids"), " do not belong to a builtin");
    }
    RETURN_IF_ERROR(ReadGrids(object, launch.grids));
  }
  if (!object.Has("builtin")) {
    ASSIGN_OR_RETURN(launch.symbol, ReadSymbol(object));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string builtin, object.String("builtin"));
  if (builtin != "gemm") {
    return UserError(object.Name("builtin"), ": this runtime has no builtin '", builtin, "', only 'gemm'");
  }
  ASSIGN_OR_RETURN(const JsonObject params, object.Object("params"));
  ASSIGN_OR_RETURN(launch.gemm, ReadGemm(params));
  if (static_cast<int64_t>(launch.args.size()) != kGemmArguments) {
    return UserError(object.Name("args"),
                     " of the builtin gemm must have 5 entries (x, w, bias, residual, y), but has ",
                     launch.args.size());
  }
  return absl::OkStatus();
}

absl::Status ReadCosts(const JsonObject& object, Launch& launch) {
  ASSIGN_OR_RETURN(launch.bytes, object.IntegerOr("bytes", 0, kMaxJsonBytes, 0));
  ASSIGN_OR_RETURN(launch.bytes_per_context_token, object.IntegerOr("bytes_per_context_token", 0, kMaxJsonBytes, 0));
  ASSIGN_OR_RETURN(launch.flops, object.IntegerOr("flops", 0, int64_t{1} << 60, 0));
  ASSIGN_OR_RETURN(launch.layer, object.IntegerOr("layer", -1, kMaxCount, -1));
  ASSIGN_OR_RETURN(launch.neurons, object.IntegerOr("neurons", 0, kMaxCount, 0));
  ASSIGN_OR_RETURN(launch.heads, object.IntegerOr("heads", 0, kMaxCount, 0));
  ASSIGN_OR_RETURN(launch.predictor, object.BoolOr("predictor", false));
  const auto last_arg = static_cast<int64_t>(launch.args.size()) - 1;
  if (object.Has("per_active")) {
    ASSIGN_OR_RETURN(const JsonObject cost, object.Object("per_active"));
    PerActive active;
    ASSIGN_OR_RETURN(active.arg, cost.Integer("arg", 0, last_arg));
    ASSIGN_OR_RETURN(active.bytes, cost.Integer("bytes", 0, kMaxJsonBytes));
    ASSIGN_OR_RETURN(active.bytes_per_context_token, cost.IntegerOr("bytes_per_context_token", 0, kMaxJsonBytes, 0));
    launch.per_active = active;
  }
  if (object.Has("per_positive")) {
    ASSIGN_OR_RETURN(const JsonObject cost, object.Object("per_positive"));
    PerPositive positive;
    ASSIGN_OR_RETURN(positive.h, cost.Integer("h", 0, last_arg));
    ASSIGN_OR_RETURN(positive.active, cost.Integer("active", 0, last_arg));
    ASSIGN_OR_RETURN(positive.bytes, cost.Integer("bytes", 0, kMaxJsonBytes));
    launch.per_positive = positive;
  }
  return absl::OkStatus();
}

absl::StatusOr<Launch> ReadLaunch(const JsonObject& object) {
  Launch launch;
  ASSIGN_OR_RETURN(launch.kernel, object.String("kernel"));
  ASSIGN_OR_RETURN(launch.stream, object.IntegerOr("stream", 0, kMaxCount, 0));
  if (object.Has("waits")) {
    ASSIGN_OR_RETURN(launch.waits, ReadIntegers(object, "waits"));
  }
  ASSIGN_OR_RETURN(const Json* args, object.Array("args"));
  for (size_t i = 0; i < args->size(); ++i) {
    ASSIGN_OR_RETURN(BufferRef ref, ReadBuffer((*args)[i], absl::StrCat(object.path(), ".args[", i, "]")));
    launch.args.push_back(ref);
  }
  RETURN_IF_ERROR(ReadCode(object, launch));
  RETURN_IF_ERROR(ReadCosts(object, launch));
  return launch;
}

absl::StatusOr<PlanFunction> ReadFunction(const JsonObject& object) {
  PlanFunction function;
  ASSIGN_OR_RETURN(function.sequences, object.IntegerOr("sequences", 1, kMaxSequences, 1));
  ASSIGN_OR_RETURN(const Json* tokens, object.Member("tokens"));
  ASSIGN_OR_RETURN(function.tokens, ReadBuffer(*tokens, absl::StrCat(object.path(), ".tokens")));
  ASSIGN_OR_RETURN(const Json* logits, object.Member("logits"));
  ASSIGN_OR_RETURN(function.logits, ReadBuffer(*logits, absl::StrCat(object.path(), ".logits")));
  if (object.Has("choice")) {
    ASSIGN_OR_RETURN(const Json* choice, object.Member("choice"));
    ASSIGN_OR_RETURN(function.choice, ReadBuffer(*choice, absl::StrCat(object.path(), ".choice")));
  }
  if (object.Has("taps")) {
    ASSIGN_OR_RETURN(const JsonObject taps, object.Object("taps"));
    ASSIGN_OR_RETURN(const Json* values, object.Member("taps"));
    RETURN_IF_ERROR(taps.Check());
    for (const auto& [name, value] : values->items()) {
      ASSIGN_OR_RETURN(function.taps[name], ReadBuffer(value, taps.path() + "." + name));
    }
  }
  ASSIGN_OR_RETURN(const Json* launches, object.Array("launches"));
  for (size_t i = 0; i < launches->size(); ++i) {
    const JsonObject entry((*launches)[i], absl::StrCat(object.path(), ".launches[", i, "]"));
    ASSIGN_OR_RETURN(Launch launch, ReadLaunch(entry));
    function.launches.push_back(std::move(launch));
  }
  if (object.Has("joints")) {
    ASSIGN_OR_RETURN(const Json* joints, object.Array("joints"));
    for (size_t i = 0; i < joints->size(); ++i) {
      const JsonObject entry((*joints)[i], absl::StrCat(object.path(), ".joints[", i, "]"));
      RETURN_IF_ERROR(entry.Check());
      Joint joint;
      ASSIGN_OR_RETURN(joint.launches, ReadIntegers(entry, "launches"));
      ASSIGN_OR_RETURN(joint.symbol, ReadSymbol(entry));
      RETURN_IF_ERROR(ReadGrids(entry, joint.grids));
      function.joints.push_back(std::move(joint));
    }
  }
  return function;
}

absl::Status ReadBuffers(const JsonObject& root, Plan& plan) {
  ASSIGN_OR_RETURN(const Json* weights, root.Array("weights"));
  for (const Json& name : *weights) {
    if (!name.is_string()) {
      return UserError("field 'weights' must hold tensor names");
    }
    plan.weights.push_back(name.get<std::string>());
  }
  ASSIGN_OR_RETURN(const Json* caches, root.Array("caches"));
  for (size_t i = 0; i < caches->size(); ++i) {
    const JsonObject entry((*caches)[i], absl::StrCat("caches[", i, "]"));
    CacheInfo cache;
    ASSIGN_OR_RETURN(cache.name, entry.String("name"));
    ASSIGN_OR_RETURN(cache.bytes, entry.Integer("bytes", 1, kMaxJsonBytes));
    plan.caches.push_back(std::move(cache));
  }
  return absl::OkStatus();
}

Json BufferToJson(const BufferRef& ref) {
  if (ref.kind == BufferRef::Kind::kAbsent) {
    return nullptr;
  }
  const char* key = ref.kind == BufferRef::Kind::kArena    ? "arena"
                    : ref.kind == BufferRef::Kind::kWeight ? "weight"
                                                           : "cache";
  Json json = {{key, ref.value}};
  if (ref.bytes != 0) {
    json["bytes"] = ref.bytes;
  }
  return json;
}

Json GridToJson(const LaunchGrid& grid) {
  Json json = {{"blocks", grid.blocks}, {"threads", grid.threads}};
  const auto put = [&](const char* key, int64_t value) {
    if (value != 0) {
      json[key] = value;
    }
  };
  put("per_sm", grid.per_sm);
  put("shared", grid.shared);
  put("scratch", grid.scratch);
  if (grid.early) {
    json["early"] = true;
  }
  return json;
}

Json LaunchToJson(const Launch& launch) {
  Json json = {{"kernel", launch.kernel}, {"stream", launch.stream}, {"waits", launch.waits},
               {"args", Json::array()},   {"bytes", launch.bytes},   {"flops", launch.flops}};
  for (const BufferRef& ref : launch.args) {
    json["args"].push_back(BufferToJson(ref));
  }
  if (!launch.params.is_null()) {
    json["params"] = launch.params;
  }
  if (launch.gemm.has_value()) {
    const GemmSpec& spec = *launch.gemm;
    json["builtin"] = "gemm";
    json["params"] = {{"n", spec.n},
                      {"k", spec.k},
                      {"dtype", std::string(DTypeName(spec.dtype))},
                      {"relu", spec.relu},
                      {"transposed", spec.transposed},
                      {"bias", spec.bias},
                      {"residual", spec.residual},
                      {"tokens", spec.tokens}};
  } else {
    json["symbol"] = launch.symbol;
  }
  for (const auto& [isa, grid] : launch.grids) {
    json["grids"][isa] = GridToJson(grid);
  }
  if (launch.bytes_per_context_token != 0) {
    json["bytes_per_context_token"] = launch.bytes_per_context_token;
  }
  if (launch.per_active.has_value()) {
    json["per_active"] = {{"arg", launch.per_active->arg}, {"bytes", launch.per_active->bytes}};
    if (launch.per_active->bytes_per_context_token != 0) {
      json["per_active"]["bytes_per_context_token"] = launch.per_active->bytes_per_context_token;
    }
  }
  if (launch.per_positive.has_value()) {
    json["per_positive"] = {
        {"h", launch.per_positive->h}, {"active", launch.per_positive->active}, {"bytes", launch.per_positive->bytes}};
  }
  if (launch.layer >= 0) {
    json["layer"] = launch.layer;
  }
  if (launch.neurons > 0) {
    json["neurons"] = launch.neurons;
  }
  if (launch.heads > 0) {
    json["heads"] = launch.heads;
  }
  if (launch.predictor) {
    json["predictor"] = true;
  }
  return json;
}

}  // namespace

int64_t CountPositives(const float* h, int64_t entries, int64_t sequences) {
  int64_t count = 0;
  for (int64_t i = 0; i < entries; ++i) {
    const float* values = h + i * sequences;
    count += std::any_of(values, values + sequences, [](float value) { return value != 0; }) ? 1 : 0;
  }
  return count;
}

const PlanFunction* Plan::FindFunction(const std::string& name) const {
  const auto found = functions.find(name);
  return found == functions.end() ? nullptr : &found->second;
}

absl::StatusOr<Plan> ParsePlan(std::string_view text, int64_t vocab) {
  ASSIGN_OR_RETURN(const Json json, ParseJsonObject(text));
  const JsonObject root(json, "");
  ASSIGN_OR_RETURN(const int64_t format, root.Integer("format", 0, kMaxJsonBytes));
  if (format != kArtifactFormat) {
    return UserError("has plan format ", format, ", but this program reads format ", kArtifactFormat,
                     "; build the artifact again with this version's dejavu-opt");
  }
  Plan plan;
  ASSIGN_OR_RETURN(plan.target, root.String("target"));
  ASSIGN_OR_RETURN(plan.arena_bytes, root.Integer("arena_bytes", 0, kMaxJsonBytes));
  ASSIGN_OR_RETURN(plan.max_tokens, root.Integer("max_tokens", 1, kMaxCount));
  ASSIGN_OR_RETURN(plan.positions, root.Integer("positions", 1, kMaxCount));
  RETURN_IF_ERROR(ReadBuffers(root, plan));
  ASSIGN_OR_RETURN(const Json* functions, root.Member("functions"));
  RETURN_IF_ERROR(JsonObject(*functions, "functions").Check());
  for (const auto& [name, value] : functions->items()) {
    ASSIGN_OR_RETURN(plan.functions[name], ReadFunction(JsonObject(value, absl::StrCat("functions.", name))));
  }
  RETURN_IF_ERROR(CheckPlan(plan, vocab));
  return plan;
}

Json PlanToJson(const Plan& plan) {
  Json json = {{"format", kArtifactFormat},     {"target", plan.target},       {"arena_bytes", plan.arena_bytes},
               {"max_tokens", plan.max_tokens}, {"positions", plan.positions}, {"weights", plan.weights},
               {"caches", Json::array()},       {"functions", Json::object()}};
  for (const CacheInfo& cache : plan.caches) {
    json["caches"].push_back({{"name", cache.name}, {"bytes", cache.bytes}});
  }
  for (const auto& [name, function] : plan.functions) {
    Json& entry = json["functions"][name];
    entry = {{"tokens", BufferToJson(function.tokens)},
             {"logits", BufferToJson(function.logits)},
             {"launches", Json::array()}};
    if (function.sequences > 1) {
      entry["sequences"] = function.sequences;
    }
    if (function.choice.kind != BufferRef::Kind::kAbsent) {
      entry["choice"] = BufferToJson(function.choice);
    }
    for (const auto& [tap, buffer] : function.taps) {
      entry["taps"][tap] = BufferToJson(buffer);
    }
    for (const Launch& launch : function.launches) {
      entry["launches"].push_back(LaunchToJson(launch));
    }
    for (const Joint& joint : function.joints) {
      Json grids = Json::object();
      for (const auto& [isa, grid] : joint.grids) {
        grids[isa] = GridToJson(grid);
      }
      entry["joints"].push_back({{"launches", joint.launches}, {"symbol", joint.symbol}, {"grids", std::move(grids)}});
    }
  }
  return json;
}

}  // namespace dejavu
