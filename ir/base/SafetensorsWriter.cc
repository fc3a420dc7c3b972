#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "ir/base/Safetensors.h"
#include "ir/base/SafetensorsHeader.h"
#include "ir/base/Status.h"

namespace dejavu {
namespace {

constexpr size_t kAlignment = 64;
constexpr std::string_view kPaddingPrefix = "__pad__.";

size_t PaddingAfter(size_t bytes) { return (kAlignment - bytes % kAlignment) % kAlignment; }

absl::StatusOr<size_t> TensorBytes(const TensorSpec& spec) {
  size_t bytes = DTypeSize(spec.dtype);
  for (const int64_t dim : spec.dims) {
    if (dim < 0 || __builtin_mul_overflow(bytes, static_cast<size_t>(dim), &bytes)) {
      return BugError("tensor '", spec.name, "' cannot be written: its shape is negative or too large");
    }
  }
  return bytes;
}

// The JSON text without padding; offsets count from the end of the padded header, so they do not depend on its length.
absl::StatusOr<std::string> HeaderText(const std::vector<TensorSpec>& specs, const std::vector<size_t>& sizes) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::unordered_set<std::string_view> names;
  size_t offset = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    const std::optional<std::string_view> dtype = SafetensorsDTypeName(specs[i].dtype);
    if (!dtype.has_value() || specs[i].name.starts_with("__") || !names.insert(specs[i].name).second) {
      return BugError("tensor '", specs[i].name,
                      "' cannot be written: its name is used twice or reserved, or its "
                      "dtype cannot be stored");
    }
    const size_t padding = PaddingAfter(sizes[i]);
    const size_t end = offset + sizes[i];
    if (end < offset || end + padding < end) {
      return BugError("tensor '", specs[i].name, "' cannot be written: the file would be too large");
    }
    // push_back keeps this linear: operator[] of an ordered object searches all earlier names.
    header.get_ref<nlohmann::ordered_json::object_t&>().push_back(
        {specs[i].name, {{"dtype", std::string(*dtype)}, {"shape", specs[i].dims}, {"data_offsets", {offset, end}}}});
    if (padding != 0) {
      header.get_ref<nlohmann::ordered_json::object_t&>().push_back(
          {std::string(kPaddingPrefix) + std::to_string(i),
           {{"dtype", "U8"},
            {"shape", nlohmann::ordered_json::array({padding})},
            {"data_offsets", {end, end + padding}}}});
    }
    offset = end + padding;
  }
  try {
    return header.dump();
  } catch (const nlohmann::ordered_json::exception&) {
    return BugError("safetensors header cannot be written: a tensor's name is not UTF-8");
  }
}

}  // namespace

bool IsPaddingTensor(std::string_view name) { return name.starts_with(kPaddingPrefix); }

absl::StatusOr<SafetensorsWriter> SafetensorsWriter::Create(const std::string& path, std::vector<TensorSpec> specs) {
  std::vector<size_t> sizes;
  for (const TensorSpec& spec : specs) {
    ASSIGN_OR_RETURN(const size_t bytes, TensorBytes(spec));
    sizes.push_back(bytes);
  }
  ASSIGN_OR_RETURN(std::string header, HeaderText(specs, sizes));
  header.append(PaddingAfter(kSafetensorsLengthBytes + header.size()), ' ');
  if (header.size() > kMaxSafetensorsHeaderBytes) {
    return UserError(path, ": a safetensors header holds at most ", kMaxSafetensorsHeaderBytes,
                     " bytes, these tensors need ", header.size());
  }
  std::array<std::byte, kSafetensorsLengthBytes> length = {};
  for (size_t i = 0; i < kSafetensorsLengthBytes; ++i) {
    length[i] = static_cast<std::byte>(header.size() >> (8 * i));
  }
  ASSIGN_OR_RETURN(OutputFile file, OutputFile::Create(path));
  RETURN_IF_ERROR(file.Write(length));
  RETURN_IF_ERROR(file.Write(std::string_view(header)));
  SafetensorsWriter writer(std::move(file), std::move(specs), std::move(sizes));
  RETURN_IF_ERROR(writer.CompleteTensors());
  return writer;
}

SafetensorsWriter::SafetensorsWriter(OutputFile file, std::vector<TensorSpec> specs, std::vector<size_t> sizes)
    : file_(std::move(file)), specs_(std::move(specs)), sizes_(std::move(sizes)) {}

absl::Status SafetensorsWriter::Append(std::span<const std::byte> bytes) {
  const size_t current = hashes_.size();
  if (bytes.empty()) {
    return absl::OkStatus();
  }
  if (current == specs_.size() || bytes.size() > sizes_[current] - done_) {
    return BugError(file_.path(), ": more bytes than announced for ",
                    current == specs_.size() ? "all tensors" : absl::StrCat("tensor '", specs_[current].name, "'"));
  }
  RETURN_IF_ERROR(file_.Write(bytes));
  hasher_.Update(bytes);
  done_ += bytes.size();
  return CompleteTensors();
}

// Closes the current tensor if all its bytes are there, and those without elements that follow.
absl::Status SafetensorsWriter::CompleteTensors() {
  static constexpr std::array<std::byte, kAlignment> kZeros = {};
  while (hashes_.size() < specs_.size() && done_ == sizes_[hashes_.size()]) {
    RETURN_IF_ERROR(file_.Write(std::span(kZeros).first(PaddingAfter(done_))));
    hashes_.push_back(hasher_.Digest());
    hasher_.Reset();
    done_ = 0;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint64_t>> SafetensorsWriter::Finish() {
  if (hashes_.size() < specs_.size()) {
    return BugError(file_.path(), ": tensor '", specs_[hashes_.size()].name, "' is incomplete");
  }
  RETURN_IF_ERROR(file_.Finish());
  return hashes_;
}

}  // namespace dejavu
