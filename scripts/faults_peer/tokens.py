"""Tokenizers of a few hundred entries, in the files that published ones have, and texts to try them on."""
import json
import random
import string

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WORDS = "Step 123: the shelf still holds books. Wait, some are lent out: 36 - 5 = 31. So + and - there in ten. ки"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SPLIT = {name: rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
         for name, digits in (("qwen", ""), ("llama", "{1,3}"))}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>"]
CHATML = "{%- for m in messages %}{{- '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{%- endfor %}"


def learnt(words):
    """Merges as training would find them on a few words: pairs from the left."""
    return list(dict.fromkeys((word[:i], word[i]) for word in words for i in range(1, len(word))))


def byte_level(rng, kind, qwen=False):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    spell = lambda word: pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(word)[0][0]
    words = rng.sample([" the", " there", "ing", " st", "er", "\n\n", " lent", "123", " =", "don"], 6) + [" ки"]
    pairs = learnt(map(spell, words))
    vocab = {t: i for i, t in enumerate(dict.fromkeys(alphabet + [a + b for a, b in pairs]))}
    t = Tokenizer(models.BPE(vocab=vocab, merges=pairs, ignore_merges=kind == "llama" and not qwen))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "gpt2" and not qwen)
    if qwen or kind in SPLIT:
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT["qwen" if qwen else kind]), "isolated"), level])
    elif kind == "digits":
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=rng.random() < 0.5), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    else:
        t.pre_tokenizer = level
    t.normalizer = normalizers.NFC() if qwen else rng.choice([None, normalizers.NFC(), normalizers.Sequence([normalizers.NFC()]), normalizers.Sequence([])])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    return t, "<|im_start|>" if rng.random() < 0.5 else None


def sentencepiece(rng, kind):
    letters = sorted(set("▁" + WORDS + string.ascii_letters + "0123456789é") - {" "})
    words = rng.sample([" the", " there", "ing", " st", "er", " lent", " ки", " +", " -", " Step"], 6) + [" ки", " +", " -"]
    pairs = learnt(word.replace(" ", "▁") for word in words)
    vocab = list(dict.fromkeys(["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + letters + [a + b for a, b in pairs]))
    t = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(vocab)}, merges=pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    mark = normalizers.Replace(" ", "▁")
    if kind == "metaspace":
        t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=rng.choice(["first", "always", "never"]), split=rng.random() < 0.5)
        t.normalizer = rng.choice([None, None, normalizers.NFC()])
    else:
        parts = {"prepend": [normalizers.Prepend("▁"), mark], "replace": [mark], "nfc": [normalizers.NFC(), normalizers.Prepend("▁"), mark],
                 "nfkc": [normalizers.NFKC(), mark], "nfc alone": [normalizers.NFC()]}[kind]
        t.normalizer = normalizers.Sequence(parts) if len(parts) > 1 or rng.random() < 0.5 else parts[0]
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_special_tokens([AddedToken(s, special=True, normalized=rng.random() < 0.2 and s != "<extra_0>") for s in ["<unk>", "<s>", "</s>"] + SPECIAL])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    return t, "<s>"


KINDS = ["qwen", "qwen", "llama", "gpt2", "digits", "prepend", "prepend", "metaspace", "metaspace", "replace", "nfc", "nfkc", "nfc alone"]


def make(rng, case):
    """Writes the tokenizer's files; case.tokenizer is then what the notes call it."""
    kind = case.choose("tokenizer", KINDS)
    t, bos = byte_level(rng, kind, kind == "qwen") if kind in ("qwen", "llama", "gpt2", "digits") else sentencepiece(rng, kind)
    whole = json.loads(t.to_str())
    config = {"bos_token": bos, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHATML}
    config = {k: v for k, v in config.items() if v}
    template(rng, case, config)
    more = case.choose("tokenizer keys", [None, {"add_bos_token": False}, {"add_bos_token": True, "add_eos_token": True}, {"add_prefix_space": True}, {"legacy": False},
                                          {"clean_up_tokenization_spaces": True}, {"model_max_length": 10, "truncation_side": "left"}, {"split_special_tokens": True},
                                          {"unk_token": "<|endoftext|>"}, {"tokenizer_class": None}, {"bos_token": {"__type": "AddedToken", "content": "<|im_start|>", "special": True}}])
    if more:
        config.update(more)
        case.words |= set(more)
    elsewhere(rng, case, whole, config)
    (case.folder / "tokenizer.json").write_text(json.dumps(whole, ensure_ascii=rng.random() < 0.5))
    (case.folder / "tokenizer_config.json").write_text(json.dumps(config) + "\n")
    return max(t.get_vocab().values()) + 2  # one more than it has: elsewhere may add one


def template(rng, case, config):
    """Where the chat template stands, and another one that does not count."""
    way = case.choose("template", ["config", "jinja", "both", "list", "list, twice", "list without default"])
    other = CHATML.replace("'\\n' }}", "' ' }}")
    named = lambda *list: [{"name": n, "template": t} for n, t in list]
    if way in ("jinja", "both"):
        (case.folder / "chat_template.jinja").write_text(config.pop("chat_template"))
    config.update({"both": {"chat_template": other}, "list": {"chat_template": named(("default", CHATML), ("tool_use", other))},
                   "list, twice": {"chat_template": named(("default", other), ("default", CHATML))}, "list without default": {"chat_template": named(("rag", CHATML))}}.get(way, {}))


def elsewhere(rng, case, whole, config):
    """Moves an added token out of tokenizer.json, or says of one elsewhere what tokenizer.json says of it, or otherwise."""
    way = case.choose("added tokens", [None, None, None, "added_tokens.json", "additional_special_tokens", "extra_special_tokens", "added_tokens_decoder", "special_tokens_map",
                                       "decoder, all", "decoder, other id", "decoder, other flag", "one more", "one more in added_tokens.json"])
    tokens = whole["added_tokens"]
    last = max(tokens, key=lambda a: a["id"])
    flags = lambda a: {k: v for k, v in a.items() if k != "id"}
    if way in ("added_tokens.json", "additional_special_tokens", "extra_special_tokens", "added_tokens_decoder", "special_tokens_map"):
        tokens.remove(last)
    if way == "added_tokens.json":
        (case.folder / way).write_text(json.dumps({last["content"]: last["id"]}))
    elif way in ("additional_special_tokens", "extra_special_tokens"):
        config[way] = [last["content"]]
    elif way == "added_tokens_decoder":
        config[way] = {str(last["id"]): flags(last)}
    elif way == "special_tokens_map":
        (case.folder / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": [last["content"]]}))
    elif way == "decoder, all":
        config["added_tokens_decoder"] = {str(a["id"]): flags(a) for a in tokens}
    elif way == "decoder, other id":
        config["added_tokens_decoder"] = {str(a["id"] + (a is last)): flags(a) for a in tokens}
        case.words, case.wrong = case.words | {last["content"], "added_tokens_decoder"}, f"two ids of {last['content']}"
    elif way == "decoder, other flag":
        flag = rng.choice(["lstrip", "rstrip", "single_word", "normalized"])
        config["added_tokens_decoder"] = {str(a["id"]): {**flags(a), **({flag: not a[flag]} if a is last else {})} for a in tokens}
        case.words, case.wrong = case.words | {flag, "added_tokens_decoder"}, f"{flag} of {last['content']} is said twice, and not alike"
    elif way == "one more":
        config["additional_special_tokens"] = ["<one_more>"]
    elif way == "one more in added_tokens.json":
        (case.folder / "added_tokens.json").write_text(json.dumps({"<one_more>": last["id"] + 1}))


CHARACTERS = string.printable + "éüñßçÅøΩжкиبמ中文字日本語한국어ｆｉﬁ½²Ⅷ…—“”€😀👩‍👩‍👧‍👦\u0301\u0323\u0308\u00a0\u200b\u200d\u2028\ufeff\u1e9b\u0307e\u0301가\u1100\u1161\u11a8\u0344\u2126\u212b\u0958▁Ġ"


def texts(rng, n=40):
    """Random texts: words, letters of many alphabets, marks in any order, added tokens among them."""
    parts = SPECIAL + ["<one_more>", "<s>", "</s>", " <extra_0> ", "<extra_0", "\r\n", "\n\n", "   ", "▁▁", "<0x0A>"] + WORDS.split(" ")
    out = []
    for _ in range(n):
        out.append("".join(rng.choice(parts) + rng.choice(["", " "]) if rng.random() < 0.4 else rng.choice(CHARACTERS) for _ in range(rng.randrange(1, 40))))
    return out
