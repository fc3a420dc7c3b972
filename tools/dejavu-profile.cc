// dejavu-profile: trains the predictors of a model on a text.
#include <iostream>

#include "passes/sparsity/Lookahead.h"
#include "tools/driver/Profile.h"

namespace dejavu {
namespace {

constexpr char kExamples[] = R"(Examples:
  dejavu-profile opt-1.3b -o opt-1.3b.profile --text=some.txt
  dejavu-opt opt-1.3b -o opt.dejavu --sparsity=predicted --profile=opt-1.3b.profile
  dejavu-profile model.onnx -o profile --tokenizer=opt-1.3b --self=20000

The dense model runs over the text by the kernels that an artifact ships, and what its layers read, and what their heads
put out, is recorded on disk: 6 bytes a token, layer and unit of its width. Heads are weighed by gradients on some 4000 of
the tokens. Then predictors of neurons and heads are trained for each layer, of which one at a time is in memory. A
stopped run goes on from the last finished layer when the same command is given again.
The last eighth of the tokens, at most 8192, is held out, and thresholds are found on it.)";

void AddFlags(CLI::App& app, ProfileOptions& options, bool& json) {
  app.add_option("MODEL", options.model, "A .onnx file or a Hugging Face directory")->required();
  app.add_option("-o", options.output, "The directory to write")->type_name("DIR")->required();
  auto* text = app.add_option("--text", options.text,
                              "The text to learn from: documents, separated by lines that hold only U+001E")
                   ->type_name("FILE");
  app.add_option("--self", options.self, "Instead: N tokens of text that the model samples itself")
      ->type_name("N")
      ->check(AtLeast(1))
      ->excludes(text);
  app.add_option("--max-tokens", options.max_tokens, "Use at most so many tokens, spread over the text in windows")
      ->type_name("N")
      ->check(AtLeast(1))
      ->capture_default_str();
  app.add_option("--lookahead", options.lookahead,
                 "1: predict neurons from the input of their layer's attention, beside which predictors run, and heads "
                 "from that of the layer before; N: both from N - 1 layers further ahead, but not before the first; 0: "
                 "from the MLP's and the attention's own input")
      ->type_name("N")
      ->check(CLI::Range(int64_t{0}, kMaxLookahead))
      ->capture_default_str();
  app.add_option("--rank", options.rank, "Rank of the predictors; 0 chooses one for each layer, for the fewest bytes")
      ->type_name("N")
      ->check(AtLeast(0))
      ->capture_default_str();
  app.add_option("--matrix-bits", options.matrix_bits,
                 "Bits of the predictors' elements, 4, 8 or 16: ranks and thresholds are chosen for what is deployed")
      ->type_name("N")
      ->check(CLI::IsMember({4, 8, 16}))
      ->capture_default_str();
  app.add_option("--tokenizer", options.tokenizer, "Folder of vocab.json and merges.txt, for a .onnx file")
      ->type_name("DIR");
  AddDeviceFlags(app, options.device);
  app.add_flag("--json", json, "Print one JSON object: the profile without its tensors");
}

absl::Status Run(const ProfileOptions& options, bool json) {
  if (options.text.empty() && options.self == 0) {
    return UsageError("--text=FILE or --self=N is missing: what shall the model read?");
  }
  ASSIGN_OR_RETURN(const Profile profile, MakeProfile(options));
  std::cout << (json ? PrintProfileLine(profile) : ProfileSummary(profile));
  return absl::OkStatus();
}

}  // namespace
}  // namespace dejavu

int main(int argc, char** argv) {
  CLI::App app("Trains predictors of the neurons and heads that a model's tokens need.", "dejavu-profile");
  dejavu::ProfileOptions options;
  bool json = false;
  dejavu::AddFlags(app, options, json);
  dejavu::DescribeTool(app, dejavu::kExamples);
  return dejavu::RunTool(app, argc, argv, [&] { return dejavu::Run(options, json); });
}
