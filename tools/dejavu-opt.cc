// dejavu-opt: transforms model files.
#include "tools/driver/CommandLine.h"
#include "tools/driver/Opt.h"

int main(int argc, char** argv) {
  CLI::App app("Compiles OPT models to sparse artifacts, and shows every step between.", "dejavu-opt");
  dejavu::OptOptions options;
  dejavu::AddOptFlags(app, options);
  dejavu::DescribeTool(app,
                       "Examples:\n"
                       "  dejavu-opt model.onnx --tokenizer=folder -o opt.dejavu     compile with exact sparsity\n"
                       "  dejavu-opt opt-125m/ --sparsity=none -o dense.dejavu       a Hugging Face directory, dense\n"
                       "  dejavu-opt model.onnx --compile-to=sparse                  print the IR after a stratum\n"
                       "  dejavu-opt model.onnx --print-ir-after=lift-attention -o /dev/null\n"
                       "  dejavu-opt model.onnx --target=cpu:x86-64-v2,cpu:aarch64 -o portable.dejavu\n"
                       "  dejavu-opt opt.dejavu                                      the IR inside an artifact\n");
  return dejavu::RunTool(app, argc, argv, [&] {
    const bool has_pipeline = app.count("--pipeline") > 0;
    const absl::Status status = dejavu::FinishOptions(options, has_pipeline);
    return status.ok() ? dejavu::RunOpt(options, has_pipeline) : status;
  });
}
