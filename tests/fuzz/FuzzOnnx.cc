// ONNX bytes, read and lifted to [model]: an error of the user's or a module that verifies and round-trips as text.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <sstream>
#include <string>

#include "ir/import/OnnxReader.h"
#include "ir/import/WeightStore.h"
#include "ir/text/Parser.h"
#include "ir/text/Printer.h"
#include "ir/verify/Verifier.h"
#include "passes/Pipelines.h"
#include "passes/manager/PassManager.h"

namespace {

void Require(const absl::Status& status, const char* what) {
  if (!status.ok()) {
    std::fprintf(stderr, "%s: %s\n", what, status.ToString().c_str());
    std::abort();
  }
}

void Check(const dejavu::Module& module) {
  Require(dejavu::VerifyModule(module), "the module does not verify");
  const std::string printed = dejavu::PrintModule(module);
  const auto again = dejavu::ParseModule(printed, "printed.dv");
  Require(again.status(), "the printed module does not parse");
  if (dejavu::PrintModule(**again) != printed) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dejavu::WeightStore weights;
  const auto module =
      dejavu::ReadOnnxBytes(std::as_bytes(std::span(data, size)), "fuzz.onnx", "/nonexistent", &weights);
  if (!module.ok()) {
    return 0;
  }
  Check(**module);
  const auto text = dejavu::PipelineBetween(**module, "model", "exact");
  Require(text.status(), "no pipeline");
  const auto pipeline = dejavu::ParsePipeline(*text);
  Require(pipeline.status(), "the pipeline does not parse");
  std::ostringstream log;
  const absl::Status status = dejavu::RunPipeline(**module, weights, *pipeline, {}, log);
  if (status.ok()) {
    Check(**module);
  } else if (dejavu::ExitCode(status) != 1) {
    Require(status, "lifting failed, and not through the user's fault");
  }
  return 0;
}
