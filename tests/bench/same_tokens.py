#!/usr/bin/env python3
"""Shows that two devices choose the same tokens, wherever the choice is no matter of rounding.

same_tokens.py opt-none.dejavu opt-exact.dejavu
same_tokens.py --prompts=20 --new-tokens=256 --devices=cpu,cuda --jobs=4 opt.dejavu

Lets the model sample prompts, and continues them greedily on both devices. Where they part, both give the logits of what they agree on:
the difference is rounding if the two choices' logits lie closer together than the devices' logits lie apart. Needs
NumPy. Prints a line an artifact, and fails if a difference is more than rounding.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("artifacts", nargs="+")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--new-tokens", type=int, default=256)
    parser.add_argument("--devices", default="cpu,cuda")
    parser.add_argument("--threads", type=int, default=1, help="of each run on a CPU")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--bin", default="build/release/bin")
    return parser.parse_args()


def run(args, artifact, device, *flags):
    command = [os.path.join(args.bin, "dejavu-run"), artifact, f"--device={device}", f"--threads={args.threads}",
               "--json", *flags]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def sample_prompt(args, artifact, seed):
    """The ids of a text of up to 25 tokens that the model makes up."""
    with open(os.path.join(artifact, "manifest.json"), encoding="utf-8") as file:
        model = json.load(file)["model"]
    start = [model["bos"], random.Random(seed).randrange(model["vocab"])]
    sampled = run(args, artifact, args.devices.split(",")[0], tokens_flag(start), "--max-new-tokens=23",
                  "--temperature=1", f"--seed={seed}")
    return start + sampled["tokens"]


def tokens_flag(tokens):
    return "--tokens=" + ",".join(map(str, tokens))


def last_logits(args, artifact, device, tokens):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "logits.npy")
        run(args, artifact, device, tokens_flag(tokens), "--max-new-tokens=0", f"--logits={path}")
        return np.load(path)[-1].astype(np.float64)


def compare(args, artifact, seed):
    """How many tokens agree, and, where they end early, the choices' distance and the devices'."""
    devices = args.devices.split(",")
    prompt = sample_prompt(args, artifact, seed)
    left, right = (run(args, artifact, device, tokens_flag(prompt), f"--max-new-tokens={args.new_tokens}")["tokens"]
                   for device in devices)
    same = next((i for i, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
    if same == len(left) == len(right):
        return same, None, None
    logits = [last_logits(args, artifact, device, prompt + left[:same]) for device in devices]
    first, second = (values.argmax() for values in logits)
    return same, abs(logits[0][first] - logits[0][second]), 2 * np.abs(logits[0] - logits[1]).max()


def main():
    args = parse_arguments()
    holds = True
    for artifact in args.artifacts:
        with ThreadPoolExecutor(args.jobs) as pool:
            results = list(pool.map(lambda seed: compare(args, artifact, seed), range(args.prompts)))
        parted = [(gap, noise) for _, gap, noise in results if gap is not None]
        wrong = [(gap, noise) for gap, noise in parted if not gap <= noise]
        holds = holds and not wrong
        print(f"{os.path.basename(artifact):28}{sum(same for same, _, _ in results):7} tokens of {args.prompts} prompts "
              f"agree; {len(parted)} part by rounding" + (f", {len(wrong)} BY MORE: {wrong}" if wrong else ""))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
