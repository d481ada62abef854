#!/usr/bin/env python3
"""Writes the golden folders under nn/bert/testdata with sentence-transformers.

    python -m venv venv && venv/bin/pip install -r scripts/goldens/bert-requirements.txt
    venv/bin/python scripts/goldens/bert.py nn/bert/testdata

Each folder is a tiny random BERT in sentence-transformers layout, texts, and their embeddings in float32 and float64.
CI needs no Python: it compares with the committed files.
"""
import json
import math
import os
import shutil
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, BertModel

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "the of and to is it we so that proof step answer sum product two prime let be query : ##ing ##ed ##er".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
VOCAB = SPECIAL + WORDS + list(LETTERS) + [f"##{c}" for c in LETTERS] + list(".,=+-()中")
TEXTS = [
    "", "the", "the proof of the sum", "Let x be prime, so that x = 2 + 3.", "we step and step and step", "The answer is 42.",
    "unknown \u00dcn\u00ef 中 \u20ac text", "so " * 15, "so " * 80, "a longer text that is cut where the model's length ends: " + "two primes and the product (of two) " * 6,
    "the proof of the sum", "[MASK] of the [SEP]", "x", "it is 1 - 2 = -1 so we let it be 7, 8, 9",
]
LEGACY = "sentence_transformers.models."
MODERN = {"Transformer": "sentence_transformers.base.modules.transformer.Transformer", "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
          "Dense": "sentence_transformers.base.modules.dense.Dense", "Normalize": "sentence_transformers.base.modules.normalize.Normalize"}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


def fill(module, generator):
    """Random weights at which embeddings are of order one and no text is like another."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if "LayerNorm" in name and name.endswith("weight"):
                p.copy_(1 + noise / 5)
            elif p.ndim == 1:
                p.copy_(noise / 4)
            elif "embeddings" in name:
                p.copy_(noise)
            else:
                p.copy_(1.3 * noise / math.sqrt(p.shape[1]))


def tokenizer_json(path):
    ids = {t: i for i, t in enumerate(VOCAB)}
    t = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    t.add_special_tokens(SPECIAL)
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[(s, ids[s]) for s in ("[CLS]", "[SEP]")])
    t.enable_truncation(7)  # not what the embeddings are cut to
    t.save(str(path), pretty=False)


def folder(out, name, seed, pooling, hidden, heads, activation="gelu", headed=False, vocab_txt=False, max_length=None, lower=False, normalize=True,
           dense=(), modern=False, prompts=None, default_prompt=None, dtype=torch.float32, own_prompt=None):
    d, generator = out / name, torch.Generator().manual_seed(seed)
    shutil.rmtree(d, ignore_errors=True)
    d.mkdir(parents=True)
    config = BertConfig(vocab_size=len(VOCAB), hidden_size=hidden, num_hidden_layers=2, num_attention_heads=heads, intermediate_size=40, hidden_act=activation,
                        max_position_embeddings=64, layer_norm_eps=1e-5 if modern else 1e-12)
    model = BertForMaskedLM(config) if headed else BertModel(config)
    fill(model, generator)
    model.to(dtype).save_pretrained(d)
    (d / "generation_config.json").unlink(missing_ok=True)
    c = json.loads((d / "config.json").read_text()) | {"position_embedding_type": "absolute"}
    write(d / "config.json", c)
    if vocab_txt:
        (d / "vocab.txt").write_text("".join(t + "\n" for t in VOCAB))
    else:
        tokenizer_json(d / "tokenizer.json")
    write(d / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": not lower, "model_max_length": 32} if vocab_txt else
          {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True, "model_max_length": 512})
    write(d / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": lower})
    write(d / "config_sentence_transformers.json", {"__version__": {"sentence_transformers": "2.0.0"}, "prompts": prompts or {}, "default_prompt_name": default_prompt})
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")] + [("Dense", f"{i + 2}_Dense") for i in range(len(dense))]
    if normalize:
        modules.append(("Normalize", f"{len(modules)}_Normalize"))
    write(d / "modules.json", [{"idx": i, "name": str(i), "path": path, "type": MODERN[kind] if modern else LEGACY + kind} for i, (kind, path) in enumerate(modules)])
    if modern:
        write(d / "1_Pooling/config.json", {"embedding_dimension": hidden, "pooling_mode": pooling, "include_prompt": True})
    else:
        key = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}
        write(d / "1_Pooling/config.json", {"word_embedding_dimension": hidden} | {f"pooling_mode_{key[p]}": p == pooling for p in key} | {"pooling_mode_mean_sqrt_len_tokens": False})
    for i, (size, bias, activation_function) in enumerate(dense):
        layer = torch.nn.Linear(hidden, size, bias=bias)
        fill(layer, generator)
        layer.half().float()  # sentence-transformers gives the layer the trunk's dtype
        write(d / f"{i + 2}_Dense/config.json", {"in_features": hidden, "out_features": size, "bias": bias, "activation_function": activation_function})
        save_file({f"linear.{n}": p.detach() for n, p in layer.named_parameters()}, d / f"{i + 2}_Dense/model.safetensors")
        hidden = size

    tensors = {}
    for label, precision in (("f32", torch.float32), ("f64", torch.float64)):
        encoder = SentenceTransformer(str(d), device="cpu").to(precision)
        tensors[label] = encoder.encode(TEXTS, convert_to_tensor=True, batch_size=3, prompt=own_prompt).contiguous()
        assert tensors[label].dtype == precision
    save_file(tensors, d / "embeddings.safetensors")
    prompt = own_prompt or (prompts or {}).get(default_prompt, "")
    truncated = sum(len(ids) > encoder.max_seq_length for ids in encoder.tokenizer([prompt + t for t in TEXTS], truncation=False)["input_ids"])
    write(d / "texts.json", {"prompt": own_prompt or "", "texts": TEXTS, "truncated": truncated})
    assert load_file(d / "embeddings.safetensors")["f64"].isfinite().all()
    print(name, tuple(tensors["f64"].shape), (tensors["f32"] - tensors["f64"]).abs().max().item())


if __name__ == "__main__":
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    # As all-MiniLM-L6-v2: legacy names, mean, length cut by sentence_bert_config.json.
    folder(out, "mean", 21, "mean", 24, 3, max_length=24)
    # As BGE and E5 with a default prompt: cls, a trunk under "bert.", vocab.txt, length cut by the tokenizer, gelu_new.
    folder(out, "cls", 22, "cls", 20, 2, activation="gelu_new", headed=True, vocab_txt=True, prompts={"query": "query: ", "passage": ""}, default_prompt="query")
    # Dense layers as in LaBSE, max pooling, no normalisation, present names of modules, weights in half precision, lowercased twice.
    folder(out, "dense", 23, "max", 16, 2, max_length=40, lower=True, vocab_txt=True, normalize=False, modern=True, dtype=torch.float16, own_prompt="the ",
           dense=[(12, True, "torch.nn.modules.activation.Tanh"), (9, False, "torch.nn.modules.linear.Identity")])
