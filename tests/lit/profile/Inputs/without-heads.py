"""Makes profile.json what it was before heads were trained."""
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    profile = json.load(file)
for layer in profile["layers"]:
    layer["heads"] = None
with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump(profile, file)
