"""Makes checkpoints at random, asks transformers and prm about each, and says where the two differ.

peer.py PRM SEED COUNT FOLDER [NUMBER...]: COUNT checkpoints under FOLDER, or those NUMBERs alone, which are kept
"""
import json
import logging
import math
import re
import shutil
import subprocess
import sys
import traceback
from collections import Counter
from pathlib import Path

import torch
import transformers

import reference
import tokens
from case import Case

TOLERANCE = 1e-5

# Where transformers' answer is right and prm refuses by name, because its graph has no such thing: the words of the refusal, and the reason.
UNSUPPORTED = {
    r"hidden_act \"(gelu|relu)\" is not supported": "SwiGLU alone",
    r"kind \"(longrope|su)\" is not supported": "long factors depend on what comes after a token",
    r"partial_rotary_factor .* is not supported": "whole heads are rotated",
    r"head_dim \d+ is odd": "pairs are rotated",
    r"the answer \"\+\" to it is not the one token": "the answer is not the token that the format reads",
    r"split_special_tokens is true": "special tokens would be plain text",
    r"rms_norm_eps": "numbers nobody means",
    r"normalizer: neither it nor pre_tokenizer marks|\"NFKC\" in this place": "kinds of tokenizers that no model here has",
    r"num_labels is \d, but id2label names|rope_theta is .* beside it|differs from rope_parameters|added token .* in tokenizer.json|torch_dtype is .* but dtype is":
        "two places differ, of which transformers takes one without a word",
    r"(attention_bias|mlp_bias) \w+ is not supported for model_type|qk_norm true|quantization_config|but no sliding_window is in use|factor [\d.]+ is not supported": "a key of other classes, which this one passes over",
    r"architecture .* is not supported|no head that a public format has; its head is [^;]*; architectures": "a class that reads another head",
}


def ask(prm, args, **more):
    return subprocess.run([prm, *map(str, args)], capture_output=True, text=True, **more)


def scored(prm, case):
    """prm's scores, or its refusal."""
    row = case.folder / "row.jsonl"
    row.write_text(json.dumps(reference.TRACE) + "\n")
    args = ["score", "--quiet", "--dtype", "f32", "--threads", "1", "--model", case.folder, "--format", case.format, "--in", row]
    if case.format == "eurus":
        args += ["--reference", case.reference]
    r = ask(prm, args)
    if r.returncode:
        return r
    line = json.loads(r.stdout)
    return [line["trajectory"]] if case.format == "sequence_classification" else [s["score"] for s in line["steps"]]


def tokenised(prm, case):
    """Token ids of random texts: None where both are alike or prm refuses by name, else what differs."""
    list = tokens.texts(case.rng)
    file = case.folder / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": t}) + "\n" for t in list))
    r = ask(prm, ["tokenize", "--quiet", "--tokenizer", case.folder, "--in", file])
    tok = reference.tokenizer(case.folder)
    if r.returncode:
        return r.stderr.strip().splitlines()[-1]
    for text, line in zip(list, r.stdout.splitlines(), strict=True):
        ids, want = json.loads(line)["ids"], tok(text, add_special_tokens=False)["input_ids"]
        if ids != want:
            raise AssertionError(f"ids of {text!r}: {ids}, {want} by transformers: {pieces(tok, ids)} {pieces(tok, want)}")
    return None


def pieces(tok, ids):
    return tok.convert_ids_to_tokens(ids)


def unsupported(message):
    return next((reason for pattern, reason in UNSUPPORTED.items() if re.search(pattern, message)), None)


def judge(prm, case):
    """(verdict, what to say): alike, refused by both, refused (transformers is silently wrong, or prm has no such thing), or DIFFERENT."""
    try:
        want, strange = reference.scores(case)
        said = ""
    except Exception as error:
        want, strange, said = None, [], f"{type(error).__name__}: {' '.join(str(error).split())[-200:]}"
    got = scored(prm, case)
    refused = not isinstance(got, list)
    message = got.stderr.strip().splitlines()[-1].replace(str(case.folder) + "/", "").replace(str(case.folder), "") if refused else ""
    if refused and (got.returncode != 1 or "panic" in got.stderr or "internal error" in got.stderr):
        return "DIFFERENT", f"prm breaks: {got.stderr[:300]}"
    if want is None:
        return ("refused by both", message) if refused else ("DIFFERENT", f"transformers refuses: {said}; prm scores {got}")
    nonsense = case.wrong or (f"transformers passes over or makes up {strange}" if strange else "") or ("transformers scores NaN" if not all(map(math.isfinite, want)) else "")
    if not refused:
        off = max((abs(a - b) for a, b in zip(want, got)), default=0.0)
        if nonsense:
            return "DIFFERENT", f"{nonsense}; prm scores {got} without a word, transformers {want}"
        if TOLERANCE < off < 1e-3:  # float32 may be what is off: float64 decides
            want = reference.scores(case, torch.float64)[0]
            off = max(abs(a - b) for a, b in zip(want, got))
        return ("alike", "") if len(want) == len(got) and off <= TOLERANCE else ("DIFFERENT", f"prm {got}, transformers {want}")
    if nonsense:
        if any(w.lower() in message.lower() for w in case.words) or not case.words:
            return "refused, transformers silently wrong", f"{nonsense} | {message}"
        return "DIFFERENT", f"{nonsense}; prm's refusal names none of {sorted(case.words)}: {message}"
    if reason := unsupported(message):
        return f"refused, {reason}", message
    return "DIFFERENT", f"prm alone refuses: {message}"


def main(prm, seed, count, root, *numbers):
    transformers.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    tally, differ = Counter(), 0
    for number in map(int, numbers) if numbers else range(int(count)):
        folder = Path(root) / f"case-{number}"
        try:
            case = Case(int(seed), number, folder)
            verdict, what = judge(prm, case)
            if refusal := tokenised(prm, case):
                known = unsupported(refusal) or any(w in refusal for w in case.words) and case.wrong
                assert known, f"prm alone refuses the tokenizer: {refusal}"
                tally[f"tokenizers refused, {known}"] += 1
            else:
                tally["tokenizers alike"] += 1
        except Exception as error:
            verdict, what = "DIFFERENT", f"{type(error).__name__}: {error}"
            if not isinstance(error, AssertionError):
                traceback.print_exc()
        tally[verdict] += 1
        if verdict == "DIFFERENT":
            differ += 1
            print(f"{number} {case.family} {case.format} {case.dtype} {case.notes}: {verdict}: {what}", flush=True)
        elif numbers:
            print(f"{number} {case.format} {case.notes}: {verdict}: {what}"[:400], flush=True)
        if verdict != "DIFFERENT" and not numbers:
            shutil.rmtree(folder)
    for name, n in sorted(tally.items()):
        print(f"{n:5} {name}")
    print(f"seed {seed}: {differ} of {count} differ; transformers {transformers.__version__}, torch {torch.__version__}")
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
