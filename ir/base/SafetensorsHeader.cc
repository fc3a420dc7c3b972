#include "ir/base/SafetensorsHeader.h"

#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "ir/base/Status.h"

namespace dejavu {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxRank = 64;

// Reads the header as a stream of JSON events. A document tree would silently keep one of two equal names, and its
// depth would be the attacker's choice; here anything but the format's three levels is an error at once.
class HeaderHandler : public nlohmann::json_sax<Json> {
 public:
  SafetensorsHeader header() && { return {std::move(entries_), std::move(metadata_)}; }
  const std::string& error() const { return error_; }

  bool start_object(size_t /*elements*/) override {
    switch (state_) {
      case State::kStart:
        state_ = State::kNames;
        return true;
      case State::kTensorOrMetadata:
        state_ = in_metadata_ ? State::kMetadata : State::kFields;
        return true;
      default:
        return Misplaced("an object");
    }
  }

  bool key(string_t& text) override {
    key_ = text;
    switch (state_) {
      case State::kNames:
        return StartEntry();
      case State::kMetadata:
        if (metadata_.contains(key_)) {
          return Fail(absl::StrCat("__metadata__ has the key '", key_, "' twice"));
        }
        state_ = State::kMetadataValue;
        return true;
      default:
        return StartField();
    }
  }

  bool end_object() override {
    switch (state_) {
      case State::kNames:
        state_ = State::kEnd;
        return true;
      case State::kMetadata:
        state_ = State::kNames;
        return true;
      default:
        state_ = State::kNames;
        return FinishEntry();
    }
  }

  bool start_array(size_t /*elements*/) override {
    if (state_ != State::kNumbers) {
      return Misplaced("an array");
    }
    state_ = State::kNumber;
    return true;
  }

  bool end_array() override {
    state_ = State::kFields;
    return true;
  }

  bool string(string_t& text) override {
    if (state_ == State::kDType) {
      entries_.back().dtype = text;
      state_ = State::kFields;
      return true;
    }
    if (state_ == State::kMetadataValue) {
      metadata_[key_] = text;
      state_ = State::kMetadata;
      return true;
    }
    return Misplaced("a string");
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ != State::kNumber) {
      return Misplaced("a number");
    }
    numbers_->push_back(value);
    const size_t limit = numbers_ == &entries_.back().offsets ? 2 : kMaxRank;
    if (numbers_->size() > limit) {
      return Fail(absl::StrCat(Where(), "'", key_, "' has more than ", limit, " numbers"));
    }
    return true;
  }

  bool number_integer(number_integer_t value) override {
    return state_ == State::kNumber ? Fail(absl::StrCat(Where(), "'", key_, "' has the negative number ", value))
                                    : Misplaced("a number");
  }
  bool number_float(number_float_t /*value*/, const string_t& text) override {
    return state_ == State::kNumber
               ? Fail(absl::StrCat(Where(), "'", key_, "' has ", text, ", which is not a 64-bit whole number"))
               : Misplaced("a number");
  }
  bool null() override { return Misplaced("null"); }
  bool boolean(bool /*value*/) override { return Misplaced("a boolean"); }
  bool binary(binary_t& /*value*/) override { return Misplaced("binary data"); }
  bool parse_error(size_t position, const std::string& /*token*/, const nlohmann::detail::exception& /*e*/) override {
    return Fail(absl::StrCat("is not valid JSON at byte ", position));
  }

 private:
  // What may come next.
  enum class State {
    kStart,             // the outer object
    kNames,             // a tensor's name, __metadata__, or the end of the outer object
    kTensorOrMetadata,  // the object that belongs to the name
    kMetadata,          // a key or the end of __metadata__
    kMetadataValue,
    kFields,  // a field's name or the end of the tensor
    kDType,
    kNumbers,  // the array that belongs to shape or data_offsets
    kNumber,   // an entry or the end of that array
    kEnd
  };

  bool StartEntry() {
    in_metadata_ = key_ == "__metadata__";
    if (in_metadata_) {
      if (std::exchange(has_metadata_, true)) {
        return Fail("has __metadata__ twice");
      }
    } else {
      entries_.emplace_back().name = key_;
      has_dtype_ = has_dims_ = has_offsets_ = false;
    }
    state_ = State::kTensorOrMetadata;
    return true;
  }

  bool StartField() {
    SafetensorsEntry& entry = entries_.back();
    bool repeated = false;
    if (key_ == "dtype") {
      repeated = std::exchange(has_dtype_, true);
      state_ = State::kDType;
    } else if (key_ == "shape") {
      repeated = std::exchange(has_dims_, true);
      numbers_ = &entry.dims;
      state_ = State::kNumbers;
    } else if (key_ == "data_offsets") {
      repeated = std::exchange(has_offsets_, true);
      numbers_ = &entry.offsets;
      state_ = State::kNumbers;
    } else {
      return Fail(absl::StrCat(Where(), "unknown field '", key_, "'"));
    }
    return !repeated || Fail(absl::StrCat(Where(), "field '", key_, "' appears twice"));
  }

  bool FinishEntry() {
    if (!has_dtype_ || !has_dims_ || !has_offsets_) {
      const char* missing = !has_dtype_ ? "dtype" : !has_dims_ ? "shape" : "data_offsets";
      return Fail(absl::StrCat(Where(), "field '", missing, "' is missing"));
    }
    return entries_.back().offsets.size() == 2 || Fail(absl::StrCat(Where(), "'data_offsets' must have two numbers"));
  }

  std::string Where() const {
    return entries_.empty() || in_metadata_ ? "" : absl::StrCat("tensor '", entries_.back().name, "': ");
  }
  bool Misplaced(const char* what) {
    return Fail(key_.empty() ? absl::StrCat("must be a JSON object, but has ", what)
                             : absl::StrCat(Where(), "unexpected ", what, " in '", key_, "'"));
  }
  bool Fail(std::string message) {
    error_ = std::move(message);
    return false;
  }

  State state_ = State::kStart;
  bool in_metadata_ = false;
  bool has_metadata_ = false;
  // Fields seen of the current tensor.
  bool has_dtype_ = false;
  bool has_dims_ = false;
  bool has_offsets_ = false;
  std::string key_;
  std::vector<uint64_t>* numbers_ = nullptr;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, std::string> metadata_;
  std::string error_;
};

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view text, const std::string& path) {
  if (text.empty() || text.front() != '{') {
    return UserError(path, ": is not a safetensors file: its header is not a JSON object");
  }
  HeaderHandler handler;
  if (!Json::sax_parse(text.begin(), text.end(), &handler)) {
    return UserError(path, ": safetensors header: ", handler.error());
  }
  return std::move(handler).header();
}

}  // namespace dejavu
