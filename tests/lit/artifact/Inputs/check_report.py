"""Checks what dejavu-eval said about an exact artifact beside the dense one: check_report.py REPORT.html JSON LAYERS"""

import json
import sys
import xml.dom.minidom

page = xml.dom.minidom.parse(sys.argv[1])
with open(sys.argv[2]) as file:
    result = json.load(file)
layers = int(sys.argv[3])

drawings = page.getElementsByTagName("svg")
titles = [drawing.getAttribute("aria-label") for drawing in drawings]
assert titles[:5] == ["Neurons: active and computed", "Heads computed", "Recall of active neurons",
                      "Bytes read and written", "Time of the launches, one after the other"], titles
for drawing, series in zip(drawings, (2, 2, 2, 3, 3)):
    bars = [bar for bar in drawing.getElementsByTagName("rect") if bar.getAttribute("class").startswith("s")]
    assert len(bars) == layers * series, len(bars)
assert len(page.getElementsByTagName("script")) == 0 and "http" not in page.toxml()
assert "&lt;b&gt;" in page.toxml(), "names are escaped"

against = result["against"]
assert against["mlp_recall"] == [1] * layers and against["mlp_recall_mass"] == [1] * layers, against["mlp_recall"]
assert against["head_recall"] == [1] * layers, against["head_recall"]
for own, other, listed in zip(result["mlp_activity"], against["mlp_activity"], result["mlp_density"]):
    assert 0 < other <= listed < 1 and abs(own - other) < 1e-4, (own, other, listed)
for kind in ("mlp_bytes", "attention_bytes"):
    assert len(result[kind]) == len(against[kind]) == layers
assert sum(result["mlp_bytes"]) < sum(against["mlp_bytes"]) and result["attention_bytes"] == against["attention_bytes"]
for side in (result, against):
    rest = side["bytes_per_token"] - sum(side["mlp_bytes"]) - sum(side["attention_bytes"])
    assert 0 < rest < side["bytes_per_token"], rest
assert abs(against["ppl_ratio"] - 1) < 1e-5 and against["ppl_ratio_interval"] is None, "one window has no interval"

assert [task["task"] for task in result["icl"]["tasks"]] == ["repeat", "copy", "recall", "reverse"]
for task in result["icl"]["tasks"]:
    for score in [task] + task.get("by_shots", []):
        assert score["against"]["accuracy_drop"] == 0 and score["against"]["choice_drop"] == 0, score
        assert score["accuracy_interval"][0] <= score["accuracy"] <= score["choice"] <= score["choice_interval"][1]
    if task["task"] != "repeat":
        assert [score["shots"] for score in task["by_shots"]] == [0, 1, 2, 4, 8, 16]
