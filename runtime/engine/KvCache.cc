#include "runtime/engine/KvCache.h"

#include "ir/base/Status.h"

namespace dejavu {

absl::StatusOr<KvCache> KvCache::Create(const Plan& plan) {
  KvCache cache(plan.positions);
  for (const CacheInfo& info : plan.caches) {
    ASSIGN_OR_RETURN(HostBuffer buffer, HostBuffer::Allocate(static_cast<size_t>(info.bytes),
                                                             absl::StrCat("the KV cache '", info.name, "'")));
    cache.layers_.push_back(std::move(buffer));
  }
  return cache;
}

}  // namespace dejavu
