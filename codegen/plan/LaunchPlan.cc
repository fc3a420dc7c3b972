#include "codegen/plan/LaunchPlan.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>

#include "codegen/plan/JointLaunches.h"
#include "codegen/target/KernelShapes.h"
#include "ir/base/Phases.h"
#include "ir/verify/ListVerifier.h"
#include "ir/verify/ScheduleVerifier.h"
#include "ir/verify/StreamOrder.h"
#include "runtime/artifact/PlanGraph.h"

namespace dejavu {
namespace {

constexpr std::string_view kLaunchPrefix = "sched.launch @";
constexpr std::string_view kUpdatedPrefix = "new_";
constexpr std::string_view kTapPrefix = "tap.";  // of what expose-taps returns

/// Whether the launch gains by a list that is there before the launches ahead of it have ended. Those that read one
/// token's h too do if a predictor made the list: most of its entries are positive then, and all rows may be read.
bool ReadsListEarly(const Operation& op) {
  const auto is = [&](std::string_view kernel) { return op.name().substr(kLaunchPrefix.size()) == kernel; };
  return is("sparse_fc1") || is("sparse_qkv") || is("sparse_out") || is("attention") || is("lazy_qkv") ||
         is("lazy_attention") ||
         (is("sparse_fc2") && op.result()->type().shape[0] == Dim(1) && op.operand("active")->producer() != nullptr &&
          op.operand("active")->producer()->Is("sched.launch @select"));
}

/// Attributes that place a launch rather than say what it computes.
bool IsPlacement(std::string_view name) { return name == "at" || name == "stream" || name == "layer"; }

nlohmann::json ToJson(const Attribute& attribute) {
  return std::visit(
      [](const auto& value) -> nlohmann::json {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, TensorLiteral>) {
          return nullptr;
        } else {
          return value;
        }
      },
      attribute);
}

class Planner {
 public:
  Planner(const Module& module, const Target& target) : module_(module), target_(target) {}

  absl::StatusOr<LaunchPlan> Run() {
    if (module_.stage() != "sched") {
      return UserError("the module is at '", module_.stage(), "'; only [sched] can be planned");
    }
    Plan& plan = result_.plan;
    plan.target = target_.name();
    RETURN_IF_ERROR(VerifySchedule(module_));
    plan.max_tokens = module_.IntAttribute("max_tokens");
    plan.positions = module_.IntAttribute("positions");
    RETURN_IF_ERROR(AddCaches());
    for (const auto& function : module_.functions()) {
      if (target_.Runs(function->name())) {
        RETURN_IF_ERROR(AddFunction(*function));
      }
    }
    plan.arena_bytes = arena_;
    return std::move(result_);
  }

 private:
  absl::Status AddCaches() {
    const Function* decode = module_.FindFunction("decode");
    if (decode == nullptr) {
      return UserError("the module has no function @decode");
    }
    for (size_t i = 0; i < decode->num_arguments(); ++i) {
      const Value* argument = decode->argument(i);
      if (argument->type().rank() == 4) {
        cache_numbers_[argument->name()] = static_cast<int64_t>(cache_numbers_.size());
        result_.plan.caches.push_back({argument->name(), TypeBytes(CacheType(argument->type()))});
      }
    }
    return absl::OkStatus();
  }

  absl::Status AddFunction(const Function& function) {
    places_.clear();
    launch_numbers_.clear();
    const int64_t sequences = SequencesOf(function.name());
    max_tokens_ = sequences > 0 ? sequences : result_.plan.max_tokens;
    PlanFunction planned;
    planned.sequences = std::max<int64_t>(sequences, 1);
    for (size_t i = 0; i < function.num_arguments(); ++i) {
      const Value* argument = function.argument(i);
      if (argument->type().rank() == 4) {
        const int64_t number = cache_numbers_.at(argument->name());
        places_[argument] = {BufferRef::Kind::kCache, number, result_.plan.caches[number].bytes * planned.sequences};
      } else if (argument->type().rank() == 1 && argument->type().dtype == DType::kI32) {
        places_[argument] = Arena(0, TypeBytes(argument->type()));  // where PlanBuffers keeps the tokens
        planned.tokens = places_[argument];
      } else if (argument->type().dtype != DType::kI64) {
        return UserError("argument '", argument->name(), "' of @", function.name(),
                         " must be tokens, past or a cache, but is ", argument->type().ToString());
      }
    }
    ASSIGN_OR_RETURN(const StreamOrder order, StreamOrder::Of(function));
    std::vector<KernelSpec> specs;
    for (const auto& op : function.ops()) {
      KernelSpec spec;
      ASSIGN_OR_RETURN(Launch launch, MakeLaunch(*op, &spec));
      const std::vector<size_t>& waits = order.Waits(planned.launches.size());
      launch.waits.assign(waits.begin(), waits.end());
      launch_numbers_[op.get()] = planned.launches.size();
      planned.launches.push_back(std::move(launch));
      specs.push_back(std::move(spec));
    }
    for (const JointLaunches& joint : JoinLaunches(planned.launches, specs, order, target_.kernels())) {
      planned.joints.push_back({{joint.launches.begin(), joint.launches.end()}, "", {}});
    }
    ASSIGN_OR_RETURN(const PlanGraph graph, PlanGraph::Of(planned, ""));
    for (const auto& op : function.ops()) {
      const size_t number = launch_numbers_.at(op.get());
      RETURN_IF_ERROR(FinishLaunch(*op, graph, planned, &specs[number]));
    }
    RETURN_IF_ERROR(FinishJoints(specs, planned));
    std::move(specs.begin(), specs.end(), std::back_inserter(result_.kernels));
    for (size_t i = 0; i < function.returns().size(); ++i) {
      if (function.return_names()[i] == "logits") {
        planned.logits = places_.at(function.returns()[i]);
      }
      if (function.return_names()[i].starts_with(kTapPrefix)) {
        planned.taps[function.return_names()[i].substr(kTapPrefix.size())] = places_.at(function.returns()[i]);
      }
      if (function.return_names()[i] == "choice") {
        planned.choice = places_.at(function.returns()[i]);
      }
    }
    if (planned.choice.kind != BufferRef::Kind::kAbsent && target_.kernels().Find(kAdvanceKernel) != nullptr) {
      result_.kernels.push_back({kAdvanceKernel, {}, {}, {}});
    }
    result_.plan.functions[function.name()] = std::move(planned);
    return absl::OkStatus();
  }

  BufferRef Arena(int64_t offset, int64_t bytes) {
    arena_ = std::max(arena_, (offset + bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment);
    return {BufferRef::Kind::kArena, offset, bytes};
  }

  /// A cache as the runtime allocates it: room for every position.
  Type CacheType(Type type) const {
    if (!type.shape[2].is_static()) {
      type.shape[2] = Dim(result_.plan.positions);
    }
    return type;
  }

  /// The most bytes that a value of this type takes, which is no list.
  int64_t TypeBytes(const Type& type) const {
    auto bytes = static_cast<int64_t>(DTypeSize(type.dtype));
    for (const Dim& dim : type.shape) {
      bytes *= dim.is_static() ? dim.size() : max_tokens_;
    }
    return bytes;
  }

  /// The symbol of the list that the launch makes or reads; empty if there is none.
  static std::string ListSymbol(const Operation& op) {
    for (const Value* operand : op.operands()) {
      if (operand != nullptr && operand->type().dtype == DType::kIndex) {
        return operand->type().shape[0].symbol();
      }
    }
    return op.result()->type().dtype == DType::kIndex ? op.result()->type().shape[0].symbol() : "";
  }

  /// Whether the list that the launch makes or reads is of candidates, of which an MLP reads fewer.
  static bool ListsCandidates(const Operation& op) {
    const auto is_among = [](const Use& use) { return use.Reads("among"); };
    const auto& uses = op.result()->uses();
    return (op.schema().OperandIndex("among") >= 0 && op.operand("among") != nullptr) ||
           (op.result()->type().dtype == DType::kIndex && std::any_of(uses.begin(), uses.end(), is_among));
  }

  /// The launch with its places and attributes; its kernel's spec without what depends on other launches.
  absl::StatusOr<Launch> MakeLaunch(const Operation& op, KernelSpec* spec) {
    const auto at = op.GetAttribute<std::vector<int64_t>>("at");
    if (!at || at->size() != op.num_results()) {
      return UserError(op.Describe(), " has no place for its results; run plan-buffers");
    }
    Launch launch;
    launch.kernel = op.name().substr(kLaunchPrefix.size());
    for (size_t i = 0; i < op.num_operands(); ++i) {
      Value* operand = op.operand(i);
      if (op.schema().operand_specs[i].name == "past") {
        continue;  // every kernel knows it
      }
      spec->operands.push_back(operand == nullptr ? std::nullopt : std::optional<Type>(SpecType(operand->type())));
      launch.args.push_back(operand == nullptr ? BufferRef{} : Place(*operand));
    }
    for (size_t i = 0; i < op.num_results(); ++i) {
      const Value* value = op.result(i);
      spec->results.push_back(SpecType(value->type()));
      if ((*at)[i] >= 0) {
        ASSIGN_OR_RETURN(const int64_t bytes, ResultBytes(op, *value, max_tokens_));
        places_[value] = Arena((*at)[i], bytes);
      } else {
        // What is updated in place has its name, as in new_cache.
        places_[value] = Place(*op.operand(op.schema().result_specs[i].name.substr(kUpdatedPrefix.size())));
      }
      launch.args.push_back(places_[value]);
    }
    FillAttributes(op, &launch, spec);
    RETURN_IF_ERROR(WithContext(target_.kernels().Supports(*spec), op.Describe()));
    return launch;
  }

  Type SpecType(const Type& type) const { return type.rank() == 4 ? CacheType(type) : type; }

  BufferRef Place(const Value& value) {
    if (value.weight() == nullptr) {
      return places_.at(&value);
    }
    const auto [it, is_new] = weight_numbers_.emplace(value.weight(), static_cast<int64_t>(weight_numbers_.size()));
    if (is_new) {
      result_.weights.push_back(value.weight());
      result_.plan.weights.push_back(value.weight()->name);
    }
    return {BufferRef::Kind::kWeight, it->second, TypeBytes(value.type())};
  }

  void FillAttributes(const Operation& op, Launch* launch, KernelSpec* spec) const {
    launch->stream = op.GetAttribute<int64_t>("stream").value_or(0);
    launch->layer = op.GetAttribute<int64_t>("layer").value_or(-1);
    const std::string list = launch->layer >= 0 ? ListSymbol(op) : "";
    launch->neurons = list == "active" && !ListsCandidates(op) ? ListCapacity(op) : 0;
    launch->heads = list == "heads" ? ListCapacity(op) : 0;
    launch->predictor = IsPredictorLaunch(op);
    spec->kernel = launch->kernel;
    for (const auto& [key, value] : op.attributes()) {
      if (!IsPlacement(key)) {
        spec->attributes[key] = value;
      }
    }
    const Value* past = op.schema().OperandIndex("past") < 0 ? nullptr : op.operand("past");
    if (past != nullptr && past->type().rank() == 1) {
      spec->attributes[kBatch] = true;
    }
    if (launch->kernel == "gemm_transposed") {
      // One builtin serves both layouts.
      launch->kernel = "gemm";
      spec->kernel = "gemm";
      spec->attributes["transposed"] = true;
    }
  }

  /// What depends on which launches have ended when the launch starts.
  absl::Status FinishLaunch(const Operation& op, const PlanGraph& graph, PlanFunction& planned,
                            KernelSpec* spec) const {
    Launch& launch = planned.launches[launch_numbers_.at(&op)];
    ASSIGN_OR_RETURN(launch.grids, Grids(*spec));
    if (!launch.grids.empty() && ReadsListEarly(op) && HasEarlyList(op, graph, planned)) {
      spec->attributes[kEarlyList] = true;
      ASSIGN_OR_RETURN(launch.grids, Grids(*spec));
    }
    for (const auto& [key, value] : spec->attributes) {
      launch.params[key] = ToJson(value);
    }
    return Price(*spec, &launch);
  }

  absl::Status FinishJoints(const std::vector<KernelSpec>& specs, PlanFunction& planned) {
    for (Joint& joint : planned.joints) {
      std::vector<const Launch*> launches;
      std::vector<const KernelSpec*> parts;
      for (const int64_t launch : joint.launches) {
        launches.push_back(&planned.launches[static_cast<size_t>(launch)]);
        parts.push_back(&specs[static_cast<size_t>(launch)]);
      }
      KernelSpec spec = JointSpecOf(launches, parts);
      ASSIGN_OR_RETURN(joint.symbol, target_.kernels().Symbol(spec));
      ASSIGN_OR_RETURN(joint.grids, Grids(spec));
      result_.kernels.push_back(std::move(spec));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::map<std::string, LaunchGrid>> Grids(const KernelSpec& spec) const {
    std::map<std::string, LaunchGrid> grids;
    for (const std::string& isa : target_.isas()) {
      ASSIGN_OR_RETURN(const std::optional<LaunchGrid> grid, target_.kernels().Grid(spec, isa));
      if (grid.has_value()) {
        grids[isa] = *grid;
      }
    }
    return grids;
  }

  absl::Status Price(const KernelSpec& spec, Launch* launch) const {
    const KernelTable& table = target_.kernels();
    ASSIGN_OR_RETURN(launch->symbol, table.Symbol(spec));
    ASSIGN_OR_RETURN(const KernelCost cost, table.Cost(spec));
    launch->bytes = cost.bytes;
    launch->flops = cost.flops;
    launch->bytes_per_context_token = cost.bytes_per_context_token;
    if (spec.kernel == "gemm") {
      launch->gemm = Gemm(spec);
      launch->params = nullptr;  // the builtin has its own
    }
    for (size_t i = 0; i < launch->args.size(); ++i) {
      const bool operand = i < spec.operands.size();
      const std::optional<Type> type =
          operand ? spec.operands[i] : std::optional<Type>(spec.results[i - spec.operands.size()]);
      if (type && type->dtype == DType::kIndex) {
        // Of two lists the first: what it costs to choose among candidates depends on how many there are.
        const auto arg = static_cast<int64_t>(i);
        if (launch->per_active) {
          break;
        }
        launch->per_active = PerActive{arg, cost.per_active_bytes, cost.per_active_context_bytes};
        if (cost.per_positive_bytes > 0) {
          launch->per_positive = PerPositive{0, arg, cost.per_positive_bytes};  // h is the first operand
        }
      }
    }
    return absl::OkStatus();
  }

  /// Whether `op` reads a list that is there when it starts, even if it starts before those ahead of it end. The list
  /// stays until `op` has ended: its place in the arena is taken.
  bool HasEarlyList(const Operation& op, const PlanGraph& graph, const PlanFunction& planned) const {
    for (const Value* operand : op.operands()) {
      if (operand != nullptr && operand->type().dtype == DType::kIndex && operand->producer() != nullptr) {
        const size_t writer = graph.NodeOf(launch_numbers_.at(operand->producer()));
        return EndsEarly(writer, graph.NodeOf(launch_numbers_.at(&op)), graph, planned);
      }
    }
    return false;
  }

  /// Whether node `writer` is certain to have ended when `node` starts. Where a node follows several, it starts when
  /// they have ended. A single one has let it start; if it had waited for those ahead of it by then, they have ended.
  bool EndsEarly(size_t writer, size_t node, const PlanGraph& graph, const PlanFunction& planned) const {
    const std::vector<size_t>& before = graph.nodes()[node].before;
    if (before.size() != 1) {
      return graph.Follows(node, writer);
    }
    const PlanGraph::Node& ahead = graph.nodes()[before.front()];
    const bool waited = ahead.joint != nullptr ||
                        target_.kernels().NextFindsEarlierEnded(planned.launches[ahead.launches.front()].kernel);
    return waited ? graph.Follows(before.front(), writer) : EndsEarly(writer, before.front(), graph, planned);
  }

  static GemmSpec Gemm(const KernelSpec& spec) {
    const Type& w = *spec.operands[1];
    const bool transposed = spec.attributes.contains("transposed");
    GemmSpec gemm;
    gemm.n = w.shape[transposed ? 1 : 0].size();
    gemm.k = w.shape[transposed ? 0 : 1].size();
    gemm.dtype = w.dtype;
    gemm.relu = std::get<bool>(spec.attributes.at("relu"));
    gemm.transposed = transposed;
    gemm.bias = spec.operands[2].has_value();
    gemm.residual = spec.operands[3].has_value();
    return gemm;
  }

  const Module& module_;
  const Target& target_;
  LaunchPlan result_;
  std::map<std::string, int64_t> cache_numbers_;
  std::map<const Weight*, int64_t> weight_numbers_;
  std::map<const Value*, BufferRef> places_;           // of the function being planned
  std::map<const Operation*, size_t> launch_numbers_;  // of that function
  int64_t max_tokens_ = 1;                             // of one call of that function
  int64_t arena_ = 0;
};

}  // namespace

absl::StatusOr<LaunchPlan> MakeLaunchPlan(const Module& module, const Target& target) {
  return Planner(module, target).Run();
}

}  // namespace dejavu
