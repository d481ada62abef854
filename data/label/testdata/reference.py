"""Writes reference.json: alignment, coherence, pairings and fusions by NumPy and by trying every pairing.

python3 reference.py > reference.json
"""
import itertools
import json

import numpy as np

rng = np.random.default_rng(7)


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def vectors(n, d=6, shift=0.0):
    return (rng.normal(size=(n, d)) + shift).astype(np.float32)


def coherence(before, step, negatives, tau, form, positive):
    p = np.exp(cosine(before, step) / tau)
    total = sum(np.exp(cosine(before, n) / tau) for n in negatives) + (p if positive else 0)
    return float(np.log(p / total) if form == "log" else p / total)


def merges(T, M):
    """Every way to give T steps to M in order, each at least one."""
    for cuts in itertools.combinations(range(1, T), M - 1):
        bounds = [0, *cuts, T]
        yield [m for m in range(M) for _ in range(bounds[m + 1] - bounds[m])]


def best(candidates, cos):
    top, found = -np.inf, None
    for c in candidates:
        total = sum(cos[t][m] for t, m in enumerate(c))
        if total > top:
            top, found = total, c
    return found


def pairs():
    for T, M in [(1, 1), (4, 4), (3, 5), (6, 3), (7, 2), (5, 1), (8, 4)]:
        s, a = vectors(T), vectors(M)
        cos = np.array([[cosine(x, y) for y in a] for x in s])
        yield {
            "thinking": s.tolist(),
            "response": a.tolist(),
            "index-merge": list(range(T)) if T <= M else best(merges(T, M), cos),
            "proportional": [int((t + 0.5) * M / T) for t in range(T)],
            "monotone": best((c for c in itertools.product(range(M), repeat=T) if sorted(c) == list(c)), cos),
            "max": [int(np.argmax(row)) for row in cos],
            "cosines": cos.tolist(),
        }


def coherences():
    for n, tau, form, positive in itertools.product([1, 8], [0.1, 1.0], ["log", "probability"], [False, True]):
        v = vectors(n + 2, shift=0.5)
        yield {
            "before": v[0].tolist(), "step": v[1].tolist(), "negatives": v[2:].tolist(),
            "tau": tau, "form": form, "positive": positive,
            "want": coherence(v[0], v[1], v[2:], tau, form, positive),
        }


def fusions():
    for _ in range(6):
        align, quality, coh = rng.uniform(-1, 1), rng.uniform(), rng.uniform()
        log = float(np.log(coh))
        soft = lambda x: np.exp(x) / np.exp(x).sum()
        raw, unit = np.array([align, quality, log]), np.array([(1 + align) / 2, quality, coh])
        yield {
            "align": align, "quality": quality, "coherence": coh, "log_coherence": log,
            "paper": float(soft(raw) @ raw), "paper_weights": soft(raw).tolist(),
            "normalised": float(soft(unit) @ unit), "normalised_weights": soft(unit).tolist(),
            "mean": float(unit.mean()), "min": float(unit.min()), "quality_gated": float(quality * (unit[0] + unit[2]) / 2),
        }


print(json.dumps({"pairs": list(pairs()), "coherences": list(coherences()), "fusions": list(fusions())}))
