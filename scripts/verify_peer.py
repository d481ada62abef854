#!/usr/bin/env python3
"""Grades every open pair with Math-Verify and with prm: different answers called equal, equal ones missed, null, and time.

verify_peer.py PRM FILE...   each FILE holds JSON lines of {"gold", "pred", "expected"}; rows without a verdict are skipped.

Math-Verify says no instead of null, so that null counts the pairs of which it reads one side as nothing.
"""
import json
import logging
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from math_verify import parse, verify


def pairs(files):
    for file in files:
        for line in open(file, encoding="utf-8"):
            row = json.loads(line)
            if row.get("expected") is not None and isinstance(row.get("gold"), str) and isinstance(row.get("pred"), str):
                yield Path(file).stem, row["gold"], row["pred"], bool(row["expected"])


def peer(gold, pred):
    # Math-Verify wants LaTeX between delimiters, which a bare answer has not: it is given what it reads.
    want = parse(f"${gold}$") or parse(gold)
    got = parse(pred) or parse(f"${pred}$")
    if not want or not got:
        return None
    return verify(want, got)


def ours(prm, rows):
    with tempfile.TemporaryDirectory() as folder:
        given, graded = Path(folder, "in.jsonl"), Path(folder, "out.jsonl")
        given.write_text("".join(json.dumps({"gold": gold, "pred": pred}) + "\n" for _, gold, pred, _ in rows), encoding="utf-8")
        start = time.perf_counter()
        subprocess.run([prm, "grade", "--quiet", "--in", given, "--out", graded], check=True)
        took = time.perf_counter() - start
        return [json.loads(line)["equal"] for line in graded.open(encoding="utf-8")], took


def report(name, rows, verdicts, took):
    print(f"{name}: {took / len(rows) * 1e3:.3f} ms a pair")
    for part in [*dict.fromkeys(r[0] for r in rows), None]:
        of = [(r[3], v) for r, v in zip(rows, verdicts, strict=True) if part in (None, r[0])]
        false = sum(v is True and not e for e, v in of)
        missed = sum(v is not True and e for e, v in of)
        null = sum(v is None for _, v in of)
        different, equal = sum(not e for e, _ in of), sum(e for e, _ in of)
        print(f"  {part or 'all':24} false equals {false:4} of {different:4}   missed {missed:4} of {equal:4}   null {null:4}")


def main():
    logging.disable(logging.ERROR)  # it prints every expression that takes it too long
    prm, *files = sys.argv[1:]
    rows = list(pairs(files))
    verdicts, took = ours(prm, rows)
    report("prm", rows, verdicts, took)
    start = time.perf_counter()
    verdicts = []
    for _, gold, pred, _ in rows:
        try:
            verdicts.append(peer(gold, pred))
        except Exception:  # what it cannot grade, it says nothing of
            verdicts.append(None)
    report(f"Math-Verify {version('math-verify')}", rows, verdicts, time.perf_counter() - start)


main()
