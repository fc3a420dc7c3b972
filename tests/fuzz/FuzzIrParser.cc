// IR text: whatever parses prints to text that parses and prints to the same bytes; the verifier never crashes on it.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "ir/text/Parser.h"
#include "ir/text/Printer.h"
#include "ir/verify/Verifier.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto module = dejavu::ParseModule(text, "fuzz.dv");
  if (!module.ok()) {
    return 0;
  }
  const std::string printed = dejavu::PrintModule(**module);
  const auto again = dejavu::ParseModule(printed, "printed.dv");
  if (!again.ok() || dejavu::PrintModule(**again) != printed) {
    std::fprintf(stderr, "printed text does not round-trip: %s\n%s\n", again.status().ToString().c_str(),
                 printed.c_str());
    std::abort();
  }
  (void)dejavu::VerifyModule(**module, "fuzz.dv");
  return 0;
}
