"""The work that every program of `make bench` does: the same tokens, read-outs, targets, head and adapters as `prm bench`
(internal/speed), and the loop that times it. Prints one JSON line."""

import argparse
import json
import time

import numpy as np


def mix(z):
    """The finaliser of splitmix64, on arrays of uint64, as internal/rng has it."""
    with np.errstate(over="ignore"):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(name, shape, bound):
    """The stream of seed 1 and that name, in ±bound: float32 [shape]."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    key = mix(np.uint64(1) ^ mix(np.array([h], np.uint64)))
    with np.errstate(over="ignore"):
        values = mix(key + np.arange(np.prod(shape), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    unit = (values >> np.uint64(11)).astype(np.float64) / 2.0**53
    return (bound * (2 * unit - 1)).astype(np.float32).reshape(shape)


def head_weight(hidden):
    return uniform("score.weight", (1, hidden), hidden**-0.5)


def arguments(**choices):
    ap = argparse.ArgumentParser()
    ap.add_argument("model", help="a folder that internal/tools/randommodel made")
    for name, values in choices.items():
        ap.add_argument("--" + name, choices=values, default=values[0])
    ap.add_argument("--tokens", type=int, default=2048)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--steps", type=int, default=3)
    ap.add_argument("--warmup", type=int, default=1)
    ap.add_argument("--rank", type=int, default=16)
    ap.add_argument("--read-every", type=int, default=64)
    return ap


class Batch:
    """One text: tokens [T], positions of the read-outs [R], their targets and weights [R]."""

    def __init__(self, args, vocabulary):
        every = args.read_every
        self.tokens = np.arange(args.tokens, dtype=np.int64) * 7919 % vocabulary
        self.reads = np.array([i for i in range(args.tokens) if (i + 1) % every == 0 or i == args.tokens - 1])
        self.targets = (self.reads % 10 / 10).astype(np.float32)
        self.weights = np.full(len(self.reads), 1 / (args.tokens // every + 1), np.float32)


def measure(args, step, versions):
    """Times step() after the untimed ones. It returns a dict of what the step computed; that of the first is printed."""
    seconds, first = [], None
    for i in range(args.warmup + args.steps):
        began = time.perf_counter()
        computed = step()
        took = time.perf_counter() - began
        first = first or computed
        if i >= args.warmup:
            seconds.append(round(took, 6))
    print(json.dumps({"seconds": seconds, "first": first, "versions": versions}), flush=True)
