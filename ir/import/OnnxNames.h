// Names in ONNX files are arbitrary bytes; the IR, error messages and JSON files want printable text and identifiers.
#ifndef DEJAVU_IR_IMPORT_ONNXNAMES_H_
#define DEJAVU_IR_IMPORT_ONNXNAMES_H_

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "ir/base/Status.h"

namespace dejavu {

/// `name` in single quotes for a message; control bytes and invalid UTF-8 escaped, at most about 200 characters.
[[nodiscard]] std::string QuotedName(std::string_view name);

/// An error unless `name` is UTF-8 of at most 4096 bytes without control characters; `what` says what it names.
[[nodiscard]] absl::Status CheckName(std::string_view name, std::string_view what);

/// Turns the dimension names of a file ("batch", "past + 1") into distinct identifiers. Equal names stay equal.
class DimSymbols {
 public:
  /// `name` with other characters replaced by `_`; if that is taken or `name` is empty, `fallback`, such as "d0_1" for
  /// dimension 1 of input 0, made unique.
  [[nodiscard]] std::string Get(const std::string& name, const std::string& fallback);

 private:
  std::map<std::string, std::string> symbols_;
  std::set<std::string> taken_;
};

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_ONNXNAMES_H_
