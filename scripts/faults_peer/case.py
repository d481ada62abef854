"""One checkpoint, drawn: its configuration, its weights and the files they lie in."""
import json
import math
import random
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoModelForTokenClassification

import store
import tokens

# What each format's folder calls its class, and how transformers opens it.
HEADS = {
    "token_classification": ("ForTokenClassification", AutoModelForTokenClassification),
    "math_shepherd": ("ForCausalLM", AutoModelForCausalLM),
    "qwen_math_prm": ("ForProcessRewardModel", AutoModel),
    "sequence_classification": ("ForSequenceClassification", AutoModelForSequenceClassification),
    "skywork": ("ForCausalLM", AutoModel),
    "rlhflow": ("ForCausalLM", AutoModelForCausalLM),
    "reasonflux_1_5b": ("ForCausalLM", AutoModel),
    "pure": ("ForTokenClassification", AutoModelForTokenClassification),
    "eurus": ("ForCausalLM", AutoModelForCausalLM),
}
ABSENT = type("Absent", (), {"__repr__": lambda self: "absent"})()
FAMILIES = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}
AXES = ["tokenizer", "added tokens", "rope", "rope", "positions", "window", "head_dim", "key/value heads", "theta", "eps", "tie", "act", "bias", "labels",
        "dtype", "files", "prefix", "weights", "architectures", "key", "extra key", "vocabulary", "head beside", "padding", "tokenizer keys", "template"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


# What a refusal may name where an axis is out of the ordinary.
WORDS = {"head_dim": {"head_dim"}, "key/value heads": {"num_key_value_heads"}, "theta": {"rope_theta"}, "eps": {"rms_norm_eps"}, "act": {"hidden_act"}, "tie": {"tie_word_embeddings"},
         "dtype": {"dtype"}, "positions": {"max_position_embeddings"}, "vocabulary": {"vocab_size"}, "architectures": {"architecture"}, "labels": {"id2label", "num_labels"},
         "tokenizer": {"normalizer"}, "template": {"chat_template"}, "padding": {"pad_token_id"}, "files": {"index.json", "shard"}}


class Case:
    """folder: where it lies. notes: what was drawn that is out of the ordinary. words: what a refusal may name. wrong: why what
    transformers answers means nothing."""

    def __init__(self, seed, number, folder):
        self.number, self.rng, self.folder = number, random.Random(seed * 1_000_003 + number), Path(folder)
        self.folder.mkdir(parents=True)
        self.notes, self.words, self.wrong, self.good = {}, set(), "", 1
        # Little is out of the ordinary at once, or nearly every folder would be refused.
        self.axes = set(self.rng.sample(AXES, self.rng.choice([0, 1, 1, 2, 2, 3, 4])))
        self.format = list(HEADS)[number % len(HEADS)]
        self.family = self.rng.choice(list(FAMILIES) if self.format != "qwen_math_prm" else ["qwen2"])
        self.dtype = self.rng.choice(list(DTYPES))
        self.draw()

    def choose(self, axis, options):
        """The first option, unless the axis is one of those that vary here."""
        value = self.rng.choice(options) if axis in self.axes else options[0]
        if value is not options[0]:
            self.notes[axis] = value
            self.words |= WORDS.get(axis, set())
        return value

    def draw(self):
        self.tokens = tokens.make(self.rng, self)
        config = self.configuration()
        self.write(config)
        try:
            read = AutoConfig.from_pretrained(self.folder)
            read.num_hidden_layers
            self.model(read)  # without weights: its shapes must fit
        except Exception as error:  # transformers refuses it: the weights are those that were meant
            self.wrong = f"transformers refuses config.json: {type(error).__name__}: {str(error).splitlines()[-1][:150]}"
            self.write(self.plain)
            read = AutoConfig.from_pretrained(self.folder)
            self.write(config)
        torch.manual_seed(self.rng.randrange(1 << 30))
        store.write(self, self.weights(read))
        if self.format == "eurus":
            self.reference = self.folder / "reference"
            self.reference.mkdir()
            (self.reference / "config.json").write_text((self.folder / "config.json").read_text())
            model = self.model(read)
            fill(model)
            save_file({k: v.contiguous().clone() for k, v in model.state_dict().items() if k != "lm_head.weight" or not read.tie_word_embeddings}, self.reference / "model.safetensors")

    def model(self, config):
        return HEADS[self.format][1].from_config(config)

    def write(self, config):
        (self.folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")

    def configuration(self):
        rng, family = self.rng, self.family
        heads, layers = rng.choice([2, 4, 4]), rng.choice([1, 2, 2, 3])
        c = {"architectures": [FAMILIES[family] + HEADS[self.format][0]], "model_type": family, "hidden_size": rng.choice([32, 48]) if heads == 4 else 32,
             "intermediate_size": rng.choice([40, 64]), "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": rng.choice([1, 2, heads]),
             "vocab_size": self.tokens + rng.randrange(3), "max_position_embeddings": rng.choice([1024, 2048]), "rms_norm_eps": 1e-6, "hidden_act": "silu",
             "tie_word_embeddings": False, rng.choice(["torch_dtype", "dtype"]): self.dtype}
        if family == "qwen3":
            c["head_dim"] = rng.choice([8, 16])
        if family == "mistral":
            c["sliding_window"] = None
        if self.format in ("token_classification", "pure", "sequence_classification"):
            n = 1 if self.format == "sequence_classification" else 2
            c["id2label"], c["label2id"] = {str(i): f"LABEL_{i}" for i in range(n)}, {f"LABEL_{i}": i for i in range(n)}
        c["rope_theta"] = 10000.0
        self.plain = dict(c)
        for change in (self.heads, self.rotation, self.window, self.numbers, self.labels, self.others):
            change(c)
        return {k: v for k, v in c.items() if v is not ABSENT}

    def heads(self, c):
        c["head_dim"] = self.choose("head_dim", [c.get("head_dim", ABSENT), ABSENT, None, c["hidden_size"] // c["num_attention_heads"], 6, 16, 24, 7])
        c["num_key_value_heads"] = self.choose("key/value heads", [c["num_key_value_heads"], ABSENT, None, c["num_attention_heads"], 3])
        if self.family == "mistral" and c["num_key_value_heads"] is ABSENT and self.rng.random() < 0.7:
            c["num_attention_heads"], c["hidden_size"] = 8, 64

    def rotation(self, c):
        rng = self.rng
        original = rng.choice([32, 64, 128])
        yarn = {"factor": rng.choice([2.0, 4, 8.0])}
        for key, value in (("attention_factor", 1.3), ("beta_fast", 16), ("beta_slow", 2), ("truncate", False), ("mscale", 0.8), ("mscale_all_dim", 0.5)):
            if rng.random() < 0.25:
                yarn[key] = value
        kinds = {"none": None, "default": {}, "linear": {"factor": rng.choice([2, 2.5])}, "dynamic": {"factor": 2.0}, "yarn": {**yarn, "original_max_position_embeddings": original},
                 "yarn without original": yarn, "yarn without factor": {k: v for k, v in yarn.items() if k != "factor"} | {"original_max_position_embeddings": original},
                 "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": original},
                 "llama3 without original": {"factor": 8, "low_freq_factor": 1, "high_freq_factor": 4},
                 "longrope": {"factor": 2.0, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "original_max_position_embeddings": original},
                 "su": {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}, "linear without factor": {}, "linear with a null": {"factor": None}, "default with a factor": {"factor": 2.0}, "yarn, partial": {**yarn, "partial_rotary_factor": 0.5},
                 "nested": {"full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0}}, "yarn with nulls": {**yarn, "attention_factor": None, "beta_fast": None, "truncate": None,
                 "original_max_position_embeddings": original}, "ntk": {"factor": 2.0}}
        kind = self.choose("rope", list(kinds) + ["yarn", "yarn", "linear", "llama3", "dynamic"])
        theta = self.choose("theta", [10000.0, ABSENT, None, 500, 1e6, "inside", "in both", "unlike", 0, -1.0])
        c["rope_theta"] = {"inside": ABSENT, "in both": 5000.0, "unlike": 5000.0}.get(theta, theta)
        if kind == "none" and theta not in ("inside", "in both", "unlike"):
            return
        said = dict(kinds[kind] or {})
        dialect = rng.choice(["rope_scaling", "rope_parameters"])
        name = kind.split(" ")[0]
        said.update({"type": name} if rng.random() < 0.5 else {"rope_type": name})
        if name == "none":
            said = {k: "default" for k in said}
        if rng.random() < 0.1:
            said.update({"type": said.get("type") or said.get("rope_type"), "rope_type": said.get("type") or said.get("rope_type")})
        if theta in ("inside", "in both", "unlike") or dialect == "rope_parameters" and rng.random() < 0.7:
            said["rope_theta"] = {"unlike": 777.0, "in both": 5000.0, "inside": 300.0}.get(theta, 2000.0)
            if theta not in ("in both", "unlike"):
                c["rope_theta"] = ABSENT
        where = rng.random()
        if "original_max_position_embeddings" in said and where < 0.15:
            c["original_max_position_embeddings"] = said.pop("original_max_position_embeddings")
        elif "original_max_position_embeddings" in said and where < 0.25:
            c["original_max_position_embeddings"] = 2 * said["original_max_position_embeddings"]
        if kind.startswith("yarn") and rng.random() < 0.5:
            c["max_position_embeddings"] = 512
        self.notes["rope"] = {dialect: said}
        self.words |= {"rope", dialect, "original_max_position_embeddings", "RoPE"}
        c[dialect] = said
        if rng.random() < 0.1:
            c["rope_scaling" if dialect == "rope_parameters" else "rope_parameters"] = rng.choice([None, dict(said)])

    def window(self, c):
        n = c["num_hidden_layers"]
        if "window" not in self.axes:
            return
        use = self.rng.choice([True, True, True, False, ABSENT, None])
        said = {"sliding_window": self.rng.choice([20, 20, 33, None, ABSENT, 5000]), "use_sliding_window": use,
                "max_window_layers": self.rng.choice([0, 0, 1, n, ABSENT, None]),
                "layer_types": self.rng.choice([ABSENT, ABSENT, ABSENT, None, ["full_attention"] * n, ["sliding_attention"] * n,
                                                ["sliding_attention" if i % 2 else "full_attention" for i in range(n)], ["full_attention"] * (n + 1), ["chunked_attention"] * n])}
        self.notes["window"] = {k: v for k, v in said.items() if v is not ABSENT}
        self.words |= set(said)
        c.update(said)

    def numbers(self, c):
        c["max_position_embeddings"] = self.choose("positions", [c["max_position_embeddings"], ABSENT, 700, None])
        c["rms_norm_eps"] = self.choose("eps", [1e-6, ABSENT, None, 1e-5, 0.1, 1])
        c["hidden_act"] = self.choose("act", ["silu", ABSENT, "swish", "gelu", "relu", None])
        bias = self.choose("bias", [None, ("attention_bias", True), ("attention_bias", False), ("attention_bias", None), ("mlp_bias", True), ("mlp_bias", False), ("attention_bias", True)])
        if bias:
            c[bias[0]] = bias[1]
            self.words.add(bias[0])
        c["tie_word_embeddings"] = self.choose("tie", [False, ABSENT, None, True, True])
        name = "torch_dtype" if "torch_dtype" in c else "dtype"
        c[name] = self.choose("dtype", [c[name], ABSENT, None, "float32", "bfloat16"])
        c["vocab_size"] = self.choose("vocabulary", [c["vocab_size"], c["vocab_size"] + 57, ABSENT])
        c["pad_token_id"] = self.choose("padding", [ABSENT, None, 10, 3, c["vocab_size"] - 1 if c["vocab_size"] is not ABSENT else 3])

    def labels(self, c):
        if "id2label" not in c:
            return
        n = len(c["id2label"])
        pairs = [("incorrect", "correct", 1), ("correct", "incorrect", 0), ("-", "+", 1), ("good", "bad", 0)]
        way = self.choose("labels", ["named", "absent", "num_labels", "both", "unlike", "more", *pairs]) if n == 2 else self.choose("labels", ["named", "num_labels", "both", "unlike", "absent"])
        if way in ("absent", "num_labels"):
            del c["id2label"], c["label2id"]
        if way in ("num_labels", "both"):
            c["num_labels"] = n
        elif way == "unlike":
            c["num_labels"] = n + 1
        elif way == "more":
            c["id2label"] = {str(i): f"LABEL_{i}" for i in range(3)}
            c["label2id"] = {f"LABEL_{i}": i for i in range(3)}
        elif isinstance(way, tuple):
            first, second, self.good = way
            c["id2label"], c["label2id"] = {"0": first, "1": second}, {first: 0, second: 1}

    def others(self, c):
        kind = FAMILIES[self.family]
        a = self.choose("architectures", [c["architectures"], ABSENT, None, [], [kind + "Model"], [kind + "ForCausalLM"], [kind + "ForQuestionAnswering"]])
        c["architectures"] = a
        key = self.rng.choice(["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "model_type", "vocab_size", "hidden_act", "max_window_layers"])
        change = self.choose("key", [None, ABSENT, "null"])
        if change is not None and not (change is ABSENT and key == "hidden_size"):  # 4096 is no tiny model
            c[key] = ABSENT if change is ABSENT else None
            self.notes["key"] = f"{key} {'absent' if change is ABSENT else 'null'}"
            self.words.add(key)
        more = self.choose("extra key", [None, {"partial_rotary_factor": 0.5}, {"partial_rotary_factor": 1.0}, {"attention_dropout": 0.1}, {"use_cache": False, "pretraining_tp": 2},
                                         {"use_mrope": False}, {"qk_norm": True}, {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
                                         {"problem_type": "regression"}, {"auto_map": {"AutoModel": "modeling.Model"}}, {"_name_or_path": "x", "transformers_version": "4.1"}])
        if more:
            c.update(more)
            self.words |= set(more)

    def weights(self, config):
        model = self.model(config)
        fill(model)
        base = getattr(model, "base_model_prefix", "model")
        state = {k: v.detach().clone() for k, v in model.state_dict().items()}
        h = config.hidden_size
        if HEADS[self.format][1] is AutoModel:
            state = {f"model.{k}": v for k, v in state.items()}
            if self.rng.random() < 0.5 and self.format != "reasonflux_1_5b" or self.format == "reasonflux_1_5b" and not config.tie_word_embeddings:
                state["lm_head.weight"] = torch.randn(config.vocab_size, h)
        random = lambda *shape: torch.randn(*shape) * (1.5 / math.sqrt(shape[-1]))
        self.head = {}
        if self.format == "qwen_math_prm":
            self.head = {"score.0.weight": random(h, h), "score.0.bias": random(h), "score.2.weight": random(2, h), "score.2.bias": random(2)}
        elif self.format in ("skywork", "reasonflux_1_5b"):
            self.head = {"v_head.summary.weight": random(1, h), "v_head.summary.bias": random(1)}
        assert base == "model"
        self.tie(state, config)
        return state

    def tie(self, state, config):
        """What is stored of a language-model head beside what the configuration says."""
        if "lm_head.weight" not in state or HEADS[self.format][1] is not AutoModelForCausalLM:
            return
        if config.tie_word_embeddings:
            way = self.rng.choice(["left out", "left out", "copy", "another"]) if "tie" in self.axes else "left out"
            if way == "left out":
                del state["lm_head.weight"]
            elif way == "another":
                state["lm_head.weight"] = torch.randn_like(state["lm_head.weight"]) / 5
                self.words |= {"lm_head", "tie_word_embeddings"}
        elif "tie" in self.axes and self.rng.random() < 0.3:
            way = "missing"
            del state["lm_head.weight"]
            self.wrong = self.wrong or "lm_head.weight is missing"
            self.words |= {"lm_head"}
        else:
            way = "its own"
        if "tie" in self.axes:
            self.notes["lm_head"] = way

    def stored_dtype(self, name):
        """In which dtype the tensor lies."""
        return self.dtypes[name]


def fill(model):
    """Weights of order one at every place that matters."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn(p.shape) * (0.3 if p.ndim == 1 else 1.5 / math.sqrt(p.shape[-1])) + (1.0 if "norm" in name else 0.0))
