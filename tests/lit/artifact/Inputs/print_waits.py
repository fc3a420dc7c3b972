"""Prints each launch of @decode in an artifact's plan with its stream and what it waits for."""

import json
import sys

with open(sys.argv[1] + "/plan-cpu.json") as file:
    launches = json.load(file)["functions"]["decode"]["launches"]
for number, launch in enumerate(launches):
    waits = ["{} {}".format(wait, launches[wait]["kernel"]) for wait in launch["waits"]]
    print(number, launch["kernel"], "stream", launch["stream"], "waits", waits)
