#include "tools/driver/RecordRows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "ir/base/FileUtil.h"
#include "ir/base/MappedFile.h"
#include "ir/base/Status.h"
#include "runtime/engine/Session.h"
#include "runtime/text/Sampler.h"
#include "tools/driver/Interrupt.h"
#include "tools/driver/ProgressBar.h"

namespace dejavu {
namespace {

constexpr float kLargestHalf = 65504;

/// One tensor's file.
struct Column {
  std::string tap;
  std::string what;  // for messages
  OutputFile file;
};

absl::Status Append(Column& column, const std::vector<float>& values, int64_t width, int64_t first_token) {
  std::vector<uint16_t> halves(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      return UserError(column.what, " has infinite or NaN numbers at token ",
                       first_token + static_cast<int64_t>(i) / width,
                       " of the text: the model's weights are damaged or its numbers overflow");
    }
    halves[i] = FloatToHalf(std::clamp(values[i], -kLargestHalf, kLargestHalf));
  }
  return column.file.Write(std::as_bytes(std::span(halves)));
}

absl::StatusOr<std::vector<Column>> OpenColumns(const ModelInfo& model, const RecordingFiles& files) {
  std::vector<Column> columns;
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    struct Kind {
      const char* tap;
      const char* what;
      std::string path;
    };
    for (const Kind& kind : {Kind{"mlp_input.", "the input of its MLP", files.MlpInputs(layer)},
                             Kind{"attention_input.", "the input of its attention", files.AttentionInputs(layer)},
                             Kind{"heads.", "what its heads put out", files.HeadOutputs(layer)}}) {
      ASSIGN_OR_RETURN(OutputFile file, OutputFile::Create(kind.path));
      columns.push_back(
          {absl::StrCat(kind.tap, layer), absl::StrCat("layer ", layer, ": ", kind.what), std::move(file)});
    }
  }
  return columns;
}

absl::Status ReadHalves(const std::string& path, size_t count, std::vector<uint16_t>* to) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  if (file.size() != count * sizeof(uint16_t)) {
    return UserError(path, ": has ", file.size(), " bytes, but the recording has ", count * sizeof(uint16_t),
                     "; remove the directory and profile again");
  }
  to->resize(count);
  std::memcpy(to->data(), file.data(), file.size());
  return absl::OkStatus();
}

}  // namespace

absl::Status LayerInterrupted() { return InterruptStatus("the same command goes on from the last finished layer"); }

int64_t RecordingBytes(const ModelInfo& model, int64_t rows) { return model.layers * rows * model.hidden * 6; }

int64_t LayerBytes(const ModelInfo& model, int64_t rows) { return rows * model.hidden * 4; }

absl::Status RecordRows(const std::shared_ptr<const Model>& model, int threads,
                        const std::vector<std::vector<int32_t>>& windows, const RecordingFiles& files) {
  const ModelInfo& info = model->info();
  ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Create(model, {.threads = threads}));
  ASSIGN_OR_RETURN(std::vector<Column> columns, OpenColumns(info, files));
  const int64_t total = std::accumulate(windows.begin(), windows.end(), int64_t{0}, [](int64_t sum, const auto& ids) {
    return sum + static_cast<int64_t>(ids.size());
  });
  ProgressBar bar("recording");
  int64_t done = 0;
  for (const std::vector<int32_t>& window : windows) {
    session->Reset();
    for (size_t begin = 0; begin < window.size();) {
      const size_t count = std::min(window.size() - begin, static_cast<size_t>(model->plan().max_tokens));
      RETURN_IF_ERROR(session->Prefill(std::span(window).subspan(begin, count)).status());
      for (Column& column : columns) {
        ASSIGN_OR_RETURN(const std::vector<float> rows, session->ReadTap(column.tap, static_cast<int64_t>(count)));
        RETURN_IF_ERROR(Append(column, rows, info.hidden, done));
      }
      begin += count;
      done += static_cast<int64_t>(count);
      bar.Update(done, total);
      RETURN_IF_ERROR(LayerInterrupted());
    }
  }
  for (Column& column : columns) {
    RETURN_IF_ERROR(column.file.Finish());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::vector<int32_t>>> SampleWindows(const std::shared_ptr<const Model>& model, int threads,
                                                                int64_t count) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Create(model, {.threads = threads}));
  ASSIGN_OR_RETURN(Sampler sampler, Sampler::Create({.temperature = 1}));
  ProgressBar bar("sampling text");
  std::vector<std::vector<int32_t>> windows;
  for (int64_t done = 0; done < count;) {
    const int64_t length = std::min(count - done, model->info().positions);
    std::vector<int32_t> window = {static_cast<int32_t>(model->info().bos)};
    session->Reset();
    while (static_cast<int64_t>(window.size()) < length) {
      ASSIGN_OR_RETURN(const std::span<const float> logits, session->Decode(window.back()));
      ASSIGN_OR_RETURN(const int32_t token, sampler.Sample(logits));
      window.push_back(token);
      bar.Update(done + static_cast<int64_t>(window.size()), count);
      RETURN_IF_ERROR(LayerInterrupted());
    }
    done += length;
    windows.push_back(std::move(window));
  }
  return windows;
}

absl::StatusOr<LayerRows> ReadRows(const RecordingFiles& files, int64_t layer, int64_t width, int64_t rows) {
  LayerRows result;
  result.width = width;
  const auto count = static_cast<size_t>(width * rows);
  RETURN_IF_ERROR(ReadHalves(files.MlpInputs(layer), count, &result.mlp_inputs));
  RETURN_IF_ERROR(ReadHalves(files.PredictorInputs(layer), count, &result.predictor_inputs));
  return result;
}

absl::StatusOr<HeadRows> ReadHeadRows(const RecordingFiles& files, int64_t layer, int64_t width, int64_t rows) {
  HeadRows result;
  result.width = width;
  const auto count = static_cast<size_t>(width * rows);
  RETURN_IF_ERROR(ReadHalves(files.AttentionInputs(HeadsFrom(layer, files.lookahead).value()), count, &result.inputs));
  RETURN_IF_ERROR(ReadHalves(files.HeadOutputs(layer), count, &result.outputs));
  return result;
}

}  // namespace dejavu
