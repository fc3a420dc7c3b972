#include "passes/manager/PipelineParser.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "passes/Pipelines.h"
#include "passes/manager/PassRegistry.h"

namespace dejavu {
namespace {

class PipelineReader {
 public:
  explicit PipelineReader(std::string_view text) : text_(text) {}

  absl::StatusOr<Pipeline> Read() {
    Pipeline pipeline;
    while (true) {
      RETURN_IF_ERROR(ReadStep(&pipeline));
      if (pos_ == text_.size()) {
        return pipeline;
      }
      if (text_[pos_] != ',') {
        return Error(pos_, "expected ',' between passes");
      }
      ++pos_;
    }
  }

 private:
  absl::Status Error(size_t at, std::string_view message) const {
    const std::string where = at < text_.size() ? absl::StrCat("at character ", at + 1) : "at the end";
    return UsageError("--pipeline: ", where, " of '", std::string(text_), "': ", std::string(message));
  }

  std::string_view Word(std::string_view stop) {
    const size_t start = pos_;
    while (pos_ < text_.size() && stop.find(text_[pos_]) == std::string_view::npos) {
      ++pos_;
    }
    return text_.substr(start, pos_ - start);
  }

  absl::Status ReadStep(Pipeline* pipeline) {
    const size_t start = pos_;
    const std::string_view name = Word(",{}=");
    if (name.empty()) {
      return Error(start, "expected a pass or pipeline");
    }
    if (const NamedPipeline* named = FindPipeline(name)) {
      if (pos_ < text_.size() && text_[pos_] == '{') {
        return Error(pos_, absl::StrCat("pipeline '", std::string(name), "' takes no options; its passes do"));
      }
      for (const auto& [step, why] : named->steps) {
        ASSIGN_OR_RETURN(Pipeline inner, PipelineReader(step).Read());
        pipeline->insert(pipeline->end(), inner.begin(), inner.end());
      }
      return absl::OkStatus();
    }
    const PassInfo* pass = FindPass(name);
    if (pass == nullptr) {
      return Error(start, absl::StrCat("there is no pass '", std::string(name), "'; --list-passes shows them all"));
    }
    PipelineStep step{pass, {}};
    for (const PassOption& option : pass->options) {
      step.options[std::string(option.name)] = option.default_value;
    }
    if (pos_ < text_.size() && text_[pos_] == '{') {
      RETURN_IF_ERROR(ReadOptions(&step));
    }
    pipeline->push_back(std::move(step));
    return absl::OkStatus();
  }

  absl::Status ReadOptions(PipelineStep* step) {
    ++pos_;
    while (pos_ < text_.size() && text_[pos_] != '}') {
      const size_t start = pos_;
      const std::string_view key = Word(" ,{}=");
      auto it = step->options.find(key);
      if (it == step->options.end()) {
        return Error(start, absl::StrCat("pass '", std::string(step->pass->name), "' has no option '", std::string(key),
                                         "'", OptionList(*step->pass)));
      }
      if (pos_ == text_.size() || text_[pos_] != '=') {
        return Error(pos_, "expected '=' after the option's name");
      }
      ++pos_;
      it->second = Word(" ,{}");
      while (pos_ < text_.size() && (text_[pos_] == ' ' || text_[pos_] == ',')) {
        ++pos_;
      }
    }
    if (pos_ == text_.size()) {
      return Error(pos_, "expected '}'");
    }
    ++pos_;
    return absl::OkStatus();
  }

  static std::string OptionList(const PassInfo& pass) {
    if (pass.options.empty()) {
      return "; it has none";
    }
    return absl::StrCat("; it has ", absl::StrJoin(pass.options, ", ", [](std::string* out, const PassOption& option) {
                          out->append(option.name);
                        }));
  }

  std::string_view text_;
  size_t pos_ = 0;
};

}  // namespace

absl::StatusOr<Pipeline> ParsePipeline(std::string_view text) {
  if (text.empty()) {
    return Pipeline{};
  }
  return PipelineReader(text).Read();
}

std::string PrintPipeline(const Pipeline& pipeline) {
  return absl::StrJoin(pipeline, ",", [](std::string* out, const PipelineStep& step) {
    std::string options;
    for (const PassOption& option : step.pass->options) {
      const std::string& value = step.options.find(option.name)->second;
      if (value != option.default_value) {
        absl::StrAppend(&options, options.empty() ? "" : " ", std::string(option.name), "=", value);
      }
    }
    absl::StrAppend(out, std::string(step.pass->name), options.empty() ? "" : absl::StrCat("{", options, "}"));
  });
}

}  // namespace dejavu
