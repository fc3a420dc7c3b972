// Pipeline text: whatever parses prints to text that parses to the same pipeline.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "passes/manager/PipelineParser.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto pipeline = dejavu::ParsePipeline(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!pipeline.ok()) {
    return 0;
  }
  const std::string printed = dejavu::PrintPipeline(*pipeline);
  const auto again = dejavu::ParsePipeline(printed);
  if (!again.ok() || dejavu::PrintPipeline(*again) != printed) {
    std::fprintf(stderr, "does not round-trip: %s\n", printed.c_str());
    std::abort();
  }
  return 0;
}
