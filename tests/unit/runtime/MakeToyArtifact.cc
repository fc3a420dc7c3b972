// Writes the toy model as an artifact for the tests of the C API and the tools: make_toy_artifact PATH.
#include <iostream>

#include "tests/unit/runtime/ToyModel.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: make_toy_artifact PATH\n";
    return 2;
  }
  const absl::Status status = dejavu::toy::WriteArtifact(argv[1], 1, dejavu::toy::TokenizerFiles());
  if (!status.ok()) {
    std::cerr << status.message() << "\n";
    return 1;
  }
  return 0;
}
