#include "codegen/target/KernelTable.h"

#include <algorithm>

namespace dejavu {

KernelTable::KernelTable(std::string_view target, const std::vector<KernelEmitter>& emitters) : target_(target) {
  for (const KernelDefinition& definition : KernelDefinitions()) {
    const auto emitter = std::find_if(emitters.begin(), emitters.end(),
                                      [&](const KernelEmitter& e) { return e.kernel == definition.name; });
    if (emitter != emitters.end()) {
      entries_.push_back({&definition, *emitter});
    } else if (definition.builtin) {
      entries_.push_back({&definition, {}});
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
  return entry->emitter.grid == nullptr ? std::nullopt : entry->emitter.grid(spec, isa);
}

bool KernelTable::NextFindsEarlierEnded(std::string_view kernel) const {
  const KernelEntry* entry = Find(kernel);
  return entry != nullptr && entry->emitter.grid != nullptr && !entry->emitter.lets_next_start_first;
}

absl::Status KernelTable::Emit(EmitContext& context, const KernelSpec& spec) const {
  RETURN_IF_ERROR(Supports(spec));
  const KernelEntry* entry = Find(spec.kernel);
  if (entry->emitter.emit != nullptr) {
    entry->emitter.emit(context, spec);
  }
  return absl::OkStatus();
}

}  // namespace dejavu
