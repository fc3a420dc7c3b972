// What the tests of this room share: the demo model's tokenizer and the golden file.
#ifndef DEJAVU_TESTS_UNIT_TEXT_TEXTFIXTURES_H_
#define DEJAVU_TESTS_UNIT_TEXT_TEXTFIXTURES_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "runtime/text/Tokenizer.h"

namespace dejavu {

inline std::string DemoFolder() { return DEJAVU_SOURCE_DIR "/tests/models/opt-demo-7m"; }

/// Loaded once; ends the program where the files are damaged.
inline const Tokenizer& DemoTokenizer() {
  static const Tokenizer tokenizer = Tokenizer::Load(DemoFolder()).value();
  return tokenizer;
}

/// What make_golden.py wrote.
inline const nlohmann::json& Golden() {
  static const nlohmann::json golden =
      nlohmann::json::parse(std::ifstream(DEJAVU_SOURCE_DIR "/tests/unit/text/tokenizer_golden.json"));
  return golden;
}

/// The folder of large texts that are not part of the project.
inline std::string SharedFolder() {
  const char* folder = std::getenv("DEJAVU_SHARED");
  return folder != nullptr ? folder : DEJAVU_SOURCE_DIR "/../shared";
}

}  // namespace dejavu

#endif  // DEJAVU_TESTS_UNIT_TEXT_TEXTFIXTURES_H_
