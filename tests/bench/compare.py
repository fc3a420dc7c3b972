#!/usr/bin/env python3
"""Decode latency of DejaVu beside other engines, same model, same machine, batch 1. Writes a Markdown table.

Run by hand; needs torch, transformers, onnx, onnxruntime and ctranslate2 from PyPI, and the project's tools:

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install torch transformers onnx onnxscript onnxruntime ctranslate2
    /tmp/peers/bin/python tests/bench/compare.py --model=DIR --work=/tmp/peers-work --out=tests/bench/RESULTS.md

Every engine runs in a process of its own, one at a time; rounds go over all engines, so that a slow minute of the
machine hits them all. The table shows the median of the rounds' medians and the range of the rounds.
"""

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys

import peers

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAMES = {"torch_eager": "PyTorch", "onnxruntime": "onnxruntime", "ctranslate2": "CTranslate2"}
MARK = "<!-- compare.py writes from here to the end -->\n"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="Hugging Face directory of an OPT")
    parser.add_argument("--work", required=True, help="folder for converted models, kept between runs")
    parser.add_argument("--bin", default=os.path.join(SOURCE, "build/release/bin"), help="folder of the tools")
    parser.add_argument("--prompt", default=os.path.join(SOURCE, "README.md"), help="text whose start is the prompt")
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3, help="generations in each round")
    parser.add_argument("--only", help="comma-separated engines, for example dejavu,ctranslate2")
    parser.add_argument("--out", help="Markdown file; the part below its marker is replaced")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def make_job(args):
    return peers.Job(args.model, args.work, prompt_ids(args), args.new_tokens, args.repeats, args.threads)


def prompt_ids(args):
    import tokenizers

    tokenizer = tokenizers.ByteLevelBPETokenizer(
        os.path.join(args.model, "vocab.json"), os.path.join(args.model, "merges.txt"))
    with open(args.prompt, encoding="utf-8") as file:
        ids = [2] + tokenizer.encode(file.read()).ids
    if len(ids) < args.prompt_tokens:
        sys.exit(f"compare.py: error: {args.prompt} has {len(ids)} tokens, fewer than {args.prompt_tokens}")
    return ids[: args.prompt_tokens]


def peer_round(args, engine, dtype):
    command = [sys.executable, os.path.abspath(__file__), *sys.argv[1:], f"--child={engine}:{dtype}"]
    environment = dict(os.environ, OMP_NUM_THREADS=str(args.threads), TOKENIZERS_PARALLELISM="false")
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        sys.exit(f"compare.py: error: {engine} {dtype} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def dejavu_artifact(args, sparsity):
    path = os.path.join(args.work, f"{os.path.basename(args.model.rstrip('/'))}-{sparsity}.dejavu")
    os.makedirs(args.work, exist_ok=True)
    subprocess.run([os.path.join(args.bin, "dejavu-opt"), args.model, "-o", path, f"--sparsity={sparsity}"],
                   check=True)
    return path


def dejavu_round(args, artifact):
    command = [os.path.join(args.bin, "dejavu-bench"), artifact, "--json",
               f"--text={args.prompt}", f"--prompt-tokens={args.prompt_tokens}", f"--new-tokens={args.new_tokens}",
               f"--repeats={args.repeats}", f"--threads={args.threads}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def load_config(args):
    with open(os.path.join(args.model, "config.json"), encoding="utf-8") as file:
        return json.load(file)


def plan(args):
    """(name, stored dtype, function of one round), ours first: it stores matrices as the checkpoint does."""
    config = load_config(args)
    stored = config.get("dtype") or config.get("torch_dtype", "float32")
    dense, exact = (dejavu_artifact(args, sparsity) for sparsity in ("none", "exact"))
    rows = [("DejaVu, dense", stored, lambda: dejavu_round(args, dense)),
            ("DejaVu, exact", stored, lambda: dejavu_round(args, exact))]
    engines = [("torch_eager", t) for t in ("float16", "bfloat16", "float32")]
    engines += [("onnxruntime", t) for t in ("float16", "float32", "int8")]
    engines += [("ctranslate2", t) for t in peers.ctranslate2_types()]
    for engine, dtype in engines:
        rows.append((NAMES[engine], dtype, lambda e=engine, d=dtype: peer_round(args, e, d)))
    wanted = args.only.lower().split(",") if args.only else None
    return [row for row in rows if not wanted or row[0].lower().split(",")[0] in wanted]


def measure(args):
    rows = plan(args)
    results = [[] for _ in rows]
    for number in range(args.rounds):
        for (name, dtype, run), result in zip(rows, results):
            result.append(run())
            print(f"round {number + 1}/{args.rounds}: {name} {dtype}: {result[-1]['ms_per_token']:.2f} ms/token",
                  file=sys.stderr, flush=True)
    return rows, results


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions():
    from importlib import metadata

    return ", ".join(f"{p} {metadata.version(p)}" for p in ("torch", "transformers", "onnxruntime", "ctranslate2"))


def table(args, rows, results):
    config = load_config(args)
    lines = [
        f"Model `{os.path.basename(args.model.rstrip('/'))}` ({config['num_hidden_layers']} layers, hidden "
        f"{config['hidden_size']}), batch 1, {args.threads} threads, {args.prompt_tokens} prompt tokens, "
        f"{args.new_tokens} new tokens; median of {args.rounds} rounds of {args.repeats} generations.",
        f"CPU: {cpu_name()}. {versions()}.", "",
        "| engine | weights stored as | ms/token | range over rounds | prefill ms | read, GB/s | MLP density |",
        "|---|---|--:|--:|--:|--:|--:|"]
    for (name, dtype, _), result in zip(rows, results):
        times = [r["ms_per_token"] for r in result]
        prefill = statistics.median(r["prefill_ms"] for r in result)
        rate = result[0].get("gb_per_s")
        density = result[0].get("mlp_density")
        if isinstance(density, list):
            density = statistics.mean(density)
        rate = "" if rate is None else f"{statistics.median(r['gb_per_s'] for r in result):.1f}"
        density = "" if density is None else f"{density:.3f}"
        lines.append(f"| {name} | {dtype} | {statistics.median(times):.2f} | {min(times):.2f} to {max(times):.2f} | "
                     f"{prefill:.0f} | {rate} | {density} |")
    reads = [r["read_gb_per_s"] for result in results for r in result if "read_gb_per_s" in r]
    if reads:
        lines += ["", f"Reading a buffer as large as one token's reads, measured beside ours: "
                      f"{statistics.median(reads):.1f} GB/s ({min(reads):.1f} to {max(reads):.1f})."]
    streams = {tuple(r["tokens"]) for result in results for r in result if "tokens" in r}
    if len(streams) == 1:
        lines += ["", "All other engines generated the same first tokens."]
    elif streams:
        lines += ["", f"The other engines generated {len(streams)} different beginnings (int8 rounds differently)."]
    return "\n".join(lines) + "\n"


def main():
    args = parse_arguments()
    if args.child:
        engine, dtype = args.child.split(":")
        print(json.dumps(dataclasses.asdict(getattr(peers, engine)(make_job(args), dtype))))
        return
    text = table(args, *measure(args))
    print(text)
    if args.out:
        head = ""
        if os.path.exists(args.out):
            with open(args.out, encoding="utf-8") as file:
                head = file.read().split(MARK)[0]
        with open(args.out, "w", encoding="utf-8") as file:
            file.write(head + MARK + "\n" + text)


if __name__ == "__main__":
    main()
