#include "tools/driver/ExpectedErrors.h"

#include <charconv>
#include <optional>
#include <vector>

#include "absl/strings/str_split.h"

namespace dejavu {
namespace {

struct Expectation {
  int line = 0;  // 0: any
  std::string part;
};

std::optional<Expectation> ReadExpectation(const std::string& line, int number) {
  constexpr std::string_view kMark = "expected-error";
  const size_t mark = line.find(kMark);
  const size_t open = mark == std::string::npos ? mark : line.find("{{", mark);
  const size_t close = open == std::string::npos ? open : line.find("}}", open);
  if (close == std::string::npos) {
    return std::nullopt;
  }
  const std::string place = line.substr(mark + kMark.size(), open - mark - kMark.size());
  Expectation expectation{number, line.substr(open + 2, close - open - 2)};
  if (place.find("@any") != std::string::npos) {
    expectation.line = 0;
  } else if (const size_t at = place.find('@'); at != std::string::npos) {
    int offset = 0;
    const bool below = place[at + 1] == '+';
    std::from_chars(place.data() + at + (below ? 2 : 1), place.data() + place.size(), offset);
    expectation.line += offset;
  }
  return expectation;
}

/// The line in `FILE:LINE:COLUMN: error: ...`, or 0.
int LineOf(const std::string& message) {
  const size_t error = message.find(": error: ");
  if (error == std::string::npos) {
    return 0;
  }
  const std::vector<std::string> parts = absl::StrSplit(message.substr(0, error), ':');
  int line = 0;
  if (parts.size() >= 3) {
    const std::string& text = parts[parts.size() - 2];
    std::from_chars(text.data(), text.data() + text.size(), line);
  }
  return line;
}

}  // namespace

absl::Status CheckExpectedErrors(const std::string& text, const absl::Status& status) {
  std::vector<Expectation> expectations;
  int number = 0;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n'))) {
    if (std::optional<Expectation> expectation = ReadExpectation(line, ++number)) {
      expectations.push_back(*std::move(expectation));
    }
  }
  const std::string message(status.message());
  if (status.ok()) {
    return expectations.empty() ? absl::OkStatus()
                                : UserError("line ", expectations[0].line, ": expected an error with '",
                                            expectations[0].part, "', but there was none");
  }
  if (absl::IsInternal(status)) {
    return status;
  }
  if (expectations.size() != 1) {
    return UserError("one error can be expected of a part, but there are ", expectations.size(),
                     " expectations; the error was: ", message);
  }
  const Expectation& expected = expectations[0];
  if (message.find(expected.part) == std::string::npos || (expected.line != 0 && LineOf(message) != expected.line)) {
    return UserError("line ", expected.line, ": expected an error with '", expected.part, "', but it was: ", message);
  }
  return absl::OkStatus();
}

}  // namespace dejavu
