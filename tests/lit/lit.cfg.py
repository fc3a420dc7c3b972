"""How lit runs the text tests; see tests/README.md. CMakeLists.txt passes the parameters.

bin         folder of the built tools (required)
llvm_tools  folder of FileCheck and not (required)
source      root of the project
out         folder for what tests write
roundtrip   1: every dejavu-opt also checks that its IR prints, parses and prints to the same bytes
"""

import ctypes
import os
import platform

import lit.formats

params = lit_config.params  # noqa: F821, set by lit
here = os.path.dirname(os.path.abspath(__file__))
source = params.get("source", os.path.dirname(os.path.dirname(here)))
tools = params.get("bin", os.path.join(source, "build", "release", "bin"))
llvm_tools = params.get("llvm_tools", "/usr/lib/llvm-19/bin")
roundtrip = params.get("roundtrip", os.environ.get("DEJAVU_VERIFY_ROUNDTRIP", "0")) not in ("0", "")

config.name = "dejavu-roundtrip" if roundtrip else "dejavu"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".dv", ".test"]
config.excludes = ["Inputs"]
config.test_source_root = here
config.test_exec_root = params.get("out", os.path.join(source, "build", "lit"))
config.available_features.add(platform.machine())
if roundtrip:
    config.available_features.add("roundtrip")

def can_load(names):
    """Whether one of these libraries is there."""
    for name in names:
        try:
            ctypes.CDLL(name)
            return True
        except OSError:
            pass
    return False


def has_nvrtc():
    """Whether dejavu-opt finds NVRTC: the places where codegen/cuda/Nvrtc.cc looks."""
    folders = ["", "/usr/local/cuda/lib64/"]
    if os.environ.get("CUDA_HOME"):
        folders.insert(0, os.path.join(os.environ["CUDA_HOME"], "lib64", ""))
    names = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")
    return can_load([folder + name for folder in folders for name in names])


if has_nvrtc():
    config.available_features.add("nvrtc")
if not can_load(["libcuda.so.1"]):
    config.available_features.add("no-gpu")

for name in ("dejavu-opt", "dejavu-profile", "dejavu-run", "dejavu-eval", "dejavu-bench"):
    command = os.path.join(tools, name)
    if roundtrip and name == "dejavu-opt":
        command += " --verify-roundtrip"
    config.substitutions.append((r"(?<![-\w./%=])" + name + r"(?![-\w.])", command))
# `%exits CODE command`: passes when the command exits with exactly this code.
config.substitutions.append(("%exits", "%{python} " + os.path.join(here, "Inputs", "exits.py")))
config.substitutions.append(("%{python}", "python3"))
config.substitutions.append(("%models", os.path.join(source, "tests", "models")))
config.substitutions.append(("%source", source))
config.substitutions.append(("%bin", tools))

config.environment["PATH"] = os.pathsep.join([llvm_tools, os.environ["PATH"]])
config.environment["FILECHECK_OPTS"] = "-enable-var-scope"
for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LLVM_PROFILE_FILE", "DEJAVU_SHARED", "OMP_NUM_THREADS",
             "CUDA_HOME"):
    if name in os.environ:
        config.environment[name] = os.environ[name]
config.recursiveExpansionLimit = 3
