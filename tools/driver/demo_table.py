"""demo_table.py FOLDER: what tools/demo measured as a table, then, as the last line, as one JSON object."""

import json
import os
import statistics
import sys


# A model that reads less than this a token stays in the last-level cache of common CPUs.
CACHE_BYTES = 64e6


def load(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)


def mean(density):
    """Densities are reported for each layer; a dense model may report none."""
    if isinstance(density, list):
        return statistics.fmean(density) if density else 1.0
    return 1.0 if density is None else float(density)


def main():
    folder = sys.argv[1]
    rows = {}
    for mode in ("dense", "exact"):
        evaluation, bench = load(folder, f"{mode}.eval.json"), load(folder, f"{mode}.bench.json")
        rows[mode] = {
            "ms/token": bench["ms_per_token"],
            "bytes/token": evaluation["bytes_per_token"],
            "MLP density": mean(evaluation["mlp_density"]),
            "perplexity": evaluation["ppl"],
        }
    dense, exact = rows["dense"], rows["exact"]
    against = load(folder, "exact.eval.json")["against"]
    formats = {"ms/token": "{:.3f}", "bytes/token": "{:,.0f}", "MLP density": "{:.1%}", "perplexity": "{:.4f}"}

    print()
    print(f"{'':8}" + "".join(f"{column:>14}" for column in formats))
    for mode, row in rows.items():
        print(f"{mode:8}" + "".join(f"{form.format(row[column]):>14}" for column, form in formats.items()))
    print(f"{'ratio':8}" + "".join(f"{exact[column] / dense[column]:>14.3f}" for column in formats))
    print(f"\nThe most likely next token is the same at {against['top1_agreement']:.2%} of the positions.")
    if dense["bytes/token"] < CACHE_BYTES:
        print("A model this small lives in the CPU's cache, so exact mode saves bytes here rather than time.")
        print("On a larger model, whose weights come from memory, it saves both; see it with your own OPT checkpoint:")
        print("  tools/demo --model=DIRECTORY     for example of facebook/opt-1.3b")
    print()
    print(json.dumps({
        "dense_ms_per_token": round(dense["ms/token"], 4),
        "sparse_ms_per_token": round(exact["ms/token"], 4),
        "dense_ppl": round(dense["perplexity"], 4),
        "sparse_ppl": round(exact["perplexity"], 4),
        "mlp_density": round(exact["MLP density"], 4),
        "bytes_ratio": round(exact["bytes/token"] / dense["bytes/token"], 4),
        "top1_agreement": round(against["top1_agreement"], 4),
    }))


if __name__ == "__main__":
    main()
