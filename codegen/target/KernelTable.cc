#include "codegen/target/KernelTable.h"

namespace dejavu {

KernelTable::KernelTable(std::string_view target, const std::vector<KernelEmitter>& emitters) : target_(target) {
  for (const KernelDefinition& definition : KernelDefinitions()) {
    if (definition.builtin) {
      entries_.push_back({&definition, {}});
    }
    for (const KernelEmitter& emitter : emitters) {
      if (emitter.kernel == definition.name) {
        entries_.push_back({&definition, emitter});
      }
    }
  }
}

const KernelEntry* KernelTable::Find(std::string_view kernel) const {
  for (const KernelEntry& entry : entries_) {
    if (entry.name() == kernel) {
      return &entry;
    }
  }
  return nullptr;
}

absl::Status KernelTable::Supports(const KernelSpec& spec) const {
  const KernelEntry* entry = Find(spec.kernel);
  if (entry == nullptr) {
    return absl::UnimplementedError(absl::StrCat("target '", target_, "' has no kernel '", spec.kernel, "'"));
  }
  RETURN_IF_ERROR(entry->definition->supports(spec));
  return entry->emitter.limits == nullptr ? absl::OkStatus() : entry->emitter.limits(spec);
}

absl::StatusOr<std::string> KernelTable::Symbol(const KernelSpec& spec) const {
  RETURN_IF_ERROR(Supports(spec));
  const KernelEntry* entry = Find(spec.kernel);
  return entry->builtin() ? std::string() : entry->definition->symbol(spec);
}

absl::StatusOr<KernelCost> KernelTable::Cost(const KernelSpec& spec) const {
  RETURN_IF_ERROR(Supports(spec));
  return Find(spec.kernel)->definition->cost(spec);
}

absl::StatusOr<std::optional<LaunchGrid>> KernelTable::Grid(const KernelSpec& spec, std::string_view isa) const {
  RETURN_IF_ERROR(Supports(spec));
  const KernelEntry* entry = Find(spec.kernel);
  return entry->emitter.grid == nullptr ? std::nullopt : std::optional(entry->emitter.grid(spec, isa));
}

bool KernelTable::NextFindsEarlierEnded(std::string_view kernel) const {
  const KernelEntry* entry = Find(kernel);
  return entry != nullptr && entry->emitter.grid != nullptr && !entry->emitter.lets_next_start_first;
}

absl::Status KernelTable::Emit(EmitContext& context, const KernelSpec& spec) const {
  RETURN_IF_ERROR(Supports(spec));
  const KernelEntry* entry = Find(spec.kernel);
  if (!entry->builtin()) {
    entry->emitter.emit(context, spec);
  }
  return absl::OkStatus();
}

}  // namespace dejavu
