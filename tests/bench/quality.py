#!/usr/bin/env python3
"""Shows that a model keeps its perplexity: dense as published, exact as dense, at a bounded MLP density.

quality.py --model=opt-ref-92m --text=eval.txt --expect=21.594 --max-density=0.07
quality.py --model=opt-ref-92m --text=eval.txt --expect=31.730 --max-tokens=20480

Compiles MODEL twice, evaluates both on the shipped decode kernels, prints one aligned line a check, and fails if one
does not hold. A whole text of 190,000 tokens takes some 20 minutes for a model of 92M parameters on two cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", required=True, help="a Hugging Face directory, or an ONNX file with --tokenizer")
    parser.add_argument("--text", required=True)
    parser.add_argument("--tokenizer", help="folder of vocab.json and merges.txt, for an ONNX file")
    parser.add_argument("--expect", type=float, required=True, help="the dense perplexity")
    parser.add_argument("--within", type=float, default=0.01, help="how far the dense perplexity may be from it")
    parser.add_argument("--exact-within", type=float, default=0.001, help="how far the exact one may be from the dense")
    parser.add_argument("--max-density", type=float, default=1.0, help="of the exact mode's MLP neurons, on average")
    parser.add_argument("--max-tokens", type=int, help="score only the windows within this many tokens")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--bin", default="build/release/bin")
    return parser.parse_args()


def compile_model(args, folder, sparsity):
    path = os.path.join(folder, f"{sparsity}.dejavu")
    command = [os.path.join(args.bin, "dejavu-opt"), args.model, f"--sparsity={sparsity}", "-o", path]
    subprocess.run(command + ([f"--tokenizer={args.tokenizer}"] if args.tokenizer else []), check=True)
    return path


def evaluate(args, dense, exact):
    """The exact model's evaluation, whose comparison holds the dense model's perplexity."""
    command = [os.path.join(args.bin, "dejavu-eval"), exact, f"--against={dense}", f"--text={args.text}",
               f"--threads={args.threads}", "--json"]
    command += [f"--max-tokens={args.max_tokens}"] if args.max_tokens else []
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main():
    args = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        dense, exact = (compile_model(args, folder, sparsity) for sparsity in ("none", "exact"))
        result = evaluate(args, dense, exact)
    dense_ppl, density = result["against"]["ppl"], statistics.fmean(result["mlp_density"])
    checks = [
        ("dense perplexity", dense_ppl, f"{args.expect} +- {args.within}", abs(dense_ppl - args.expect) <= args.within),
        ("exact perplexity", result["ppl"], f"dense +- {args.exact_within}",
         abs(result["ppl"] - dense_ppl) <= args.exact_within),
        ("mean MLP density", density, f"at most {args.max_density}", density <= args.max_density),
    ]
    for name, value, bound, holds in checks:
        print(f"{name:18}{value:12.5f}   {bound:20}{'ok' if holds else 'FAILED'}")
    print(f"{'over':18}{result['tokens']:12d}   tokens; top-1 agreement {result['against']['top1_agreement']:.6f}, "
          f"KL mean {result['against']['kl_mean']:.2g}, p99 {result['against']['kl_p99']:.2g}")
    return 0 if all(holds for *_, holds in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
