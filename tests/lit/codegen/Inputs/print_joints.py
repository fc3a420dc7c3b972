"""Prints the kernels that each joint of a plan's @decode stands for, and the architectures that have it."""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    decode = json.load(file)["functions"]["decode"]
for joint in decode["joints"]:
    parts = " + ".join(decode["launches"][number]["kernel"] for number in joint["launches"])
    print(f"{parts}: {' '.join(sorted(joint['grids']))}")
