#!/usr/bin/env python3
"""Writes data/tokenizer/testdata: small tokenizers as Llama 2, Mistral and Llama 3 lay theirs out, and the ids that Hugging Face's
tokenizers gives for texts.

    venv/bin/python scripts/tokenizers/make.py data/tokenizer/testdata     (a venv as scripts/goldens/make.py needs)
"""
import json
import random
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

CORPUS = """The problem asks for the number of books on the shelf. Step 1: There are 4 * 9 = 36 books. ки
Step 2: Wait, some are lent out: 36 - 5 = 31. ки
  the   theory of the other the then there they them these é naïve Ünï ▁▁ \t tab 123 4567 + - +- ки ки ки"""
TEXTS = ["", " ", "  ", "a", " a", "the the", "  the  shelf ", "The problem asks\nfor\n\n the books", "é naïve", "日本語のテスト", "🙂 smile 🙂🙂",
         "a\u0301\u0302 b", "e\u0301\u0323 e\u0323\u0301 \u1e69\u0323 \u1100\u1161\u11a8 \u212b\u0301", "▁ marks ▁▁", "\t\ttabs\r\n", "<s>the</s> the", "the <s> the", "<s>", "<s> <s>", "the<unk>the", "[X]the [X] the",
         "Step 1: There are 4 * 9 = 36 books. ки\nStep 2: ... ки", " ки", "ки", "+", "-", "+ -", "1234567 12 1", "I'm you'RE it's",
         "\x00\x01\x7f", "\ufeffBOM", "\u200dzero\u200c", "x" * 100, " " * 50, "the" * 40, "<0x41>", "a<0x0A>b", "\u2581", "ſ'ſ", "½ ² Ⅳ"]
SPLIT_LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def texts():
    rng = random.Random(7)
    alphabet = list(" \n\tabcdehtr.,:0123456789+-*▁éки日🙂") + ["the", " the", "Step ", "<s>", "</s>", "[X]", "  "]
    return TEXTS + ["".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 60))) for _ in range(150)]


def learn(words, count, start):
    """Plain BPE over words given as tuples of symbols; ties go to the pair that sorts first."""
    vocab, merges = list(start), []
    for _ in range(count):
        pairs = {}
        for word in words:
            for pair in zip(word, word[1:]):
                pairs[pair] = pairs.get(pair, 0) + 1
        pairs = {p: n for p, n in pairs.items() if n > 1 and p[0] + p[1] not in vocab}
        if not pairs:
            break
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        vocab.append(best[0] + best[1])
        joined = []
        for word in words:
            out, i = [], 0
            while i < len(word):
                if i + 1 < len(word) and (word[i], word[i + 1]) == best:
                    out.append(word[i] + word[i + 1])
                    i += 2
                else:
                    out.append(word[i])
                    i += 1
            joined.append(tuple(out))
        words = joined
    return vocab, merges


def sentencepiece():
    words = [tuple("▁" + w) for w in CORPUS.replace("\n", " ").split(" ") if w]
    start = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    vocab, merges = learn(words, 120, start + sorted(set("▁" + CORPUS) - set("\n\tÜ🙂é")))
    return Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(vocab)}, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))


def finish(t, marked):
    t.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in ("<unk>", "<s>", "</s>")])
    t.add_tokens([AddedToken("[X]", normalized=True)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    if marked:
        t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return t


def llama2():
    t = sentencepiece()
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return finish(t, True)


def composed(mark, late):
    """With NFC before the marks: of a normalizer, or of a pre-tokenizer."""
    t = metaspace("first", True) if late else sentencepiece()
    t.normalizer = normalizers.NFC() if late else normalizers.Sequence([normalizers.NFC()] + [normalizers.Prepend("▁")] * mark + [normalizers.Replace(" ", "▁")])
    if late:
        return t
    t.add_tokens([AddedToken("e\u0301\u0323 ", normalized=True)])
    return finish(t, True)


def replace_only():
    t = sentencepiece()
    t.normalizer = normalizers.Replace(" ", "▁")
    return finish(t, True)


def metaspace(scheme, split):
    t = sentencepiece()
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=split)
    return finish(t, True)


def llama3():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words = [tuple(w) for w, _ in pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT_LLAMA3), "isolated"), level]).pre_tokenize_str(CORPUS)]
    vocab, merges = learn(words, 60, alphabet)
    vocab += ["Ġlent", "Ġproblem", "123"]  # whole words that no merges reach
    t = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(dict.fromkeys(vocab))}, merges=merges, ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT_LLAMA3), "isolated"), level])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in ("<s>", "</s>")])
    begin = t.token_to_id("<s>")
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False),
                                            processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", begin)])])
    return t


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    for name, t in {"llama2": llama2(), "replace": replace_only(), "first": metaspace("first", False), "always": metaspace("always", True),
                    "never": metaspace("never", True), "llama3": llama3(),
                    "nfc": composed(True, False), "nfc_never": composed(False, False), "nfc_metaspace": composed(True, True)}.items():
        (out / f"{name}.json").write_text(t.to_str())
        rows = []
        for text in texts():
            e = t.encode(text, add_special_tokens=False)
            rows.append({"text": text, "ids": e.ids, "decoded": t.decode(e.ids, skip_special_tokens=False)})
        around = t.encode("a").ids, t.encode("a", add_special_tokens=False).ids
        rows.append({"text": "a", "ids": around[1], "decoded": t.decode(around[1], skip_special_tokens=False), "before": around[0][: -len(around[1])]})
        (out / f"{name}.jsonl").write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
