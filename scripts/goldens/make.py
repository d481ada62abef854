#!/usr/bin/env python3
"""Writes the golden folders under internal/parity/testdata with PyTorch, transformers and PEFT.

    python -m venv venv && venv/bin/pip install -r scripts/goldens/requirements.txt
    venv/bin/python scripts/goldens/make.py internal/parity/testdata [FOLDER...]

Each folder is a tiny random Qwen2 or Qwen3 (every weight exact in bf16), a packed batch, and what PyTorch computes from them in
float32 and in float64: hidden states, head outputs, losses, gradients, and fifty training steps of the whole model, of
the head alone and of LoRA adapters; and how far PyTorch's own bf16 is from float64. CI needs no Python: it compares with the committed files.
"""
import json
import math
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen2 import modeling_qwen2
from transformers.models.qwen3 import modeling_qwen3

FAMILIES = {"qwen2": (Qwen2Config, Qwen2ForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM)}

FOLDERS = {
    "wide": dict(seed=11, hidden=24, layers=2, heads=3, kv=1, intermediate=40, vocab=64, tied=False, theta=1e6, eps=1e-6, published=True),
    "sharded": dict(seed=12, hidden=32, layers=3, heads=4, kv=2, intermediate=48, vocab=48, tied=True, theta=1e4, eps=1e-5, shard="20KB"),
    # the head dimensions of the GPU's kernels, with a trajectory of two of their blocks; at these seeds the gradient of the
    # head's bias, one number, is not what is left of terms that cancel
    "dim64": dict(seed=19, hidden=16, layers=2, heads=2, kv=1, head_dim=64, intermediate=24, vocab=48, tied=True, theta=1e6, eps=1e-6, long=True),
    "dim128": dict(seed=14, hidden=16, layers=2, heads=2, kv=1, head_dim=128, intermediate=24, vocab=48, tied=True, theta=1e6, eps=1e-6, long=True),
    "qwen3": dict(seed=15, family="qwen3", hidden=16, layers=2, heads=4, kv=2, head_dim=64, intermediate=24, vocab=48, tied=False, theta=1e6, eps=1e-5, long=True),
}
# Trajectories of the batch: length, where its steps end, where it is read as a whole. In the last one the last step and
# the trajectory are read at the same token.
TRAJECTORIES = [(11, [3, 7], 10), (19, [2, 6, 13, 17], 18), (1, [0], 0), (14, [5, 9, 13], 13)]
LONG = (71, [20, 63, 64], 70)
LAMBDA = {"step": 1.0, "final": 0.5}
DTYPES = {"f64": torch.float64, "f32": torch.float32}
STEPS, WARMUP, LR = 50, 5, 1e-3
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def truly_float64():
    """transformers computes norms and rotary angles of a float64 model in float32; here float64 means float64."""
    for norm, rotary in ((modeling_qwen2.Qwen2RMSNorm, modeling_qwen2.Qwen2RotaryEmbedding),
                         (modeling_qwen3.Qwen3RMSNorm, modeling_qwen3.Qwen3RotaryEmbedding)):
        make_exact(norm, rotary)


def make_exact(norm_class, rotary_class):
    norm, rotary = norm_class.forward, rotary_class.forward

    def exact_norm(self, x):
        if x.dtype != torch.float64:
            return norm(self, x)
        return self.weight * x / torch.sqrt((x * x).mean(-1, keepdim=True) + self.variance_epsilon)

    def exact_rotary(self, x, position_ids, *args, **kwargs):
        if x.dtype != torch.float64:
            return rotary(self, x, position_ids, *args, **kwargs)
        d = head_dim_of(self.config)
        frequency = self.config.rope_parameters["rope_theta"] ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
        angle = (position_ids.double()[..., None] * frequency).repeat(1, 1, 2)
        return angle.cos(), angle.sin()

    norm_class.forward, rotary_class.forward = exact_norm, exact_rotary


def head_dim_of(config):
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


class Model(torch.nn.Module):
    """A backbone and a linear value head, read at given tokens of separate (unpacked) trajectories."""

    def __init__(self, lm, value_head):
        super().__init__()
        self.lm, self.value_head = lm, value_head

    def forward(self, batch):
        lm = self.lm.get_base_model() if hasattr(self.lm, "get_base_model") else self.lm
        tokens, cu = torch.tensor(batch["tokens"]), batch["cu_seqlens"]
        hidden = torch.cat([lm.model(tokens[None, a:b], use_cache=False).last_hidden_state[0] for a, b in zip(cu, cu[1:])])
        logits = self.value_head(hidden[batch["reads"]])[:, 0]
        if logits.dtype == torch.bfloat16:  # the loss of a bf16 model is computed in float32
            logits = logits.float()
        values = logits.sigmoid()
        terms = torch.tensor(batch["weight"], dtype=logits.dtype) * (values - torch.tensor(batch["target"], dtype=logits.dtype)) ** 2
        is_step = torch.tensor([kind == "step" for kind in batch["kind"]])
        return hidden, logits, values, terms.sum(), terms[is_step].sum(), terms[~is_step].sum()

    def trained(self):
        return {canonical(n): p for n, p in self.named_parameters() if p.requires_grad}


def canonical(name):
    return name.removeprefix("lm.").replace("base_model.model.", "").replace(".base_layer", "").replace(".default", "")


def rounded(x):
    return x.to(torch.bfloat16).float()


def fill(module, generator):
    """Random weights at which outputs are of order one and gradients are not degenerate."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if "norm" in name:
                p.copy_(rounded(1 + noise / 5))
            elif p.ndim == 1:
                p.copy_(rounded(noise / 2))
            elif "embed" in name:
                p.copy_(rounded(noise))
            else:
                p.copy_(rounded(1.2 * noise / math.sqrt(p.shape[1])))


def batch_of(vocab, generator, trajectories):
    b = {"lambda_step": LAMBDA["step"], "lambda_final": LAMBDA["final"], "tokens": [], "positions": [], "cu_seqlens": [0],
         "reads": [], "target": [], "weight": [], "kind": [], "trajectory": []}
    n = len(trajectories)
    for t, (length, ends, final) in enumerate(trajectories):
        first = b["cu_seqlens"][-1]
        b["cu_seqlens"].append(first + length)
        b["tokens"] += torch.randint(vocab, (length,), generator=generator).tolist()
        b["positions"] += range(length)
        for kind, position in [("step", e) for e in ends] + [("final", final)]:
            b["reads"].append(first + position)
            b["target"].append(round(torch.rand(1, generator=generator).item(), 6))
            b["weight"].append(LAMBDA[kind] / n / (len(ends) if kind == "step" else 1))
            b["kind"].append(kind)
            b["trajectory"].append(t)
    return b


def train(model, batch):
    """The run that internal/parity repeats: AdamW, warm-up, cosine, clipping; decay on matrices only."""
    named = model.trained()
    optimizer = torch.optim.AdamW([{"params": [p for p in named.values() if p.ndim >= 2], "weight_decay": 0.01},
                                   {"params": [p for p in named.values() if p.ndim < 2], "weight_decay": 0.0}], lr=LR)
    curve = {key: [] for key in ("loss", "loss_step", "loss_final", "grad_norm", "lr")}
    for s in range(STEPS):
        lr = LR * s / WARMUP if s < WARMUP else LR * (1 + math.cos(math.pi * (s - WARMUP) / (STEPS - WARMUP))) / 2
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        _, _, _, loss, step, final = model(batch)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(named.values()), 1.0)
        for key, value in zip(curve, (loss, step, final, norm, lr)):
            curve[key].append(float(value))
        optimizer.step()
    with torch.no_grad():
        _, _, values, loss, _, _ = model(batch)
    return curve | {"loss_after": loss.item(), "values_after": values.tolist(), "trained": sum(p.numel() for p in named.values()),
                    "l2_norm": {n: p.detach().double().norm().item() for n, p in named.items()}}


def in_bf16(model):
    """Parameters alone: a rotary frequency that is rounded to bf16 is another frequency."""
    for p in model.parameters():
        p.data = p.data.bfloat16()
    return model


def worst(errors):
    """The largest of several sets of errors, each a number by quantity."""
    found = {}
    for e in errors:
        for quantity, value in e.items():
            found[quantity] = max(found.get(quantity, 0.0), float(f"{value:.3g}"))
    return found


def distance(got, exact):
    return ((got.double() - exact).norm() / exact.norm()).item()


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


class Folder:
    def __init__(self, out, name, seed, hidden, layers, heads, kv, intermediate, vocab, tied, theta, eps, shard=None, published=False, head_dim=None, long=False,
                 family="qwen2"):
        self.dir = out / name
        self.generator = torch.Generator().manual_seed(seed)
        config, self.causal_lm = FAMILIES[family]
        self.config = config(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv,
                             intermediate_size=intermediate, vocab_size=vocab, tie_word_embeddings=tied, rms_norm_eps=eps,
                             rope_parameters={"rope_type": "default", "rope_theta": theta}, max_position_embeddings=256,
                             use_cache=False, bos_token_id=None, eos_token_id=None, **({"head_dim": head_dim} if head_dim else {}))
        self.lm, self.head = self.causal_lm(self.config), torch.nn.Linear(hidden, 1)
        fill(self.lm, self.generator)
        fill(self.head, self.generator)
        self.adapter = {}
        self.batch = batch_of(vocab, self.generator, TRAJECTORIES + [LONG] if long else TRAJECTORIES)
        self.shard, self.published = shard, published

    def fresh(self, mode, dtype):
        lm = self.causal_lm(self.config)
        lm.load_state_dict(self.lm.state_dict())
        lm.requires_grad_(mode == "full")
        if mode == "full" and not self.config.tie_word_embeddings:
            lm.lm_head.requires_grad_(False)
        head = torch.nn.Linear(self.config.hidden_size, 1)
        head.load_state_dict(self.head.state_dict())
        if mode == "lora":
            lm = get_peft_model(lm, LoraConfig(r=3, lora_alpha=6, target_modules=MODULES))
            with torch.no_grad():
                for name, p in lm.named_parameters():
                    if "lora_" in name:
                        if name not in self.adapter:
                            scale = 0.5 / math.sqrt(p.shape[1]) if "lora_A" in name else 0.1
                            self.adapter[name] = rounded(scale * torch.randn(p.shape, generator=self.generator))
                        p.copy_(self.adapter[name])
        return Model(lm.to(dtype), head.to(dtype))

    def save_weights(self):
        for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
            copy = self.causal_lm(self.config).to(dtype)
            copy.load_state_dict(self.lm.state_dict())
            target = self.dir / name
            copy.save_pretrained(target, **({"max_shard_size": self.shard} if self.shard else {}))
            (target / "generation_config.json").unlink(missing_ok=True)
            if self.published:  # as Qwen2.5 published it: rope_theta and torch_dtype at the top level
                c = json.loads((target / "config.json").read_text())
                c["rope_theta"] = c.pop("rope_parameters")["rope_theta"]
                c["torch_dtype"] = c.pop("dtype")
                c.pop("layer_types", None)
                write_json(target / "config.json", c)
        save_file({"value_head.weight": self.head.weight.detach(), "value_head.bias": self.head.bias.detach()}, self.dir / "value_head.safetensors")

    def gradients(self, model):
        hidden, logits, values, loss, step, final = model(self.batch)
        loss.backward()
        grads = {n: p.grad.contiguous() for n, p in model.trained().items()}
        norm = math.sqrt(sum(g.double().square().sum().item() for g in grads.values()))
        numbers = {"loss": loss.item(), "loss_step": step.item(), "loss_final": final.item(), "values": values.tolist(), "logits": logits.tolist()}
        return {"hidden": hidden.detach(), "logits": logits.detach(), "values": values.detach()}, numbers, grads, norm

    def bf16_errors(self, mode, attention, exact):
        """How far PyTorch's own bf16 is from float64, by quantity, in internal/parity's measure."""
        model = in_bf16(self.fresh(mode, torch.float32))
        (model.lm.get_base_model() if mode == "lora" else model.lm).set_attn_implementation(attention)
        outputs, _, grads, _ = self.gradients(model)
        prefix = "lora " if mode == "lora" else ""
        found = {prefix + k: distance(v, exact[0][k]) for k, v in outputs.items() if mode == "full" or k != "hidden"}
        return found | {prefix + "gradients": max(distance(g, exact[2][n]) for n, g in grads.items())}

    def make_bf16_error(self):
        exact = {mode: self.gradients(self.fresh(mode, torch.float64)) for mode in ("full", "lora")}
        write_json(self.dir / "bf16_error.json", worst(self.bf16_errors(mode, attention, exact[mode])
                                                      for mode in exact for attention in ("eager", "sdpa")))

    def make(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        self.save_weights()
        write_json(self.dir / "batch.json", self.batch)
        tensors, scalars = {}, {}
        for name, dtype in DTYPES.items():
            outputs, numbers, grads, norm = self.gradients(self.fresh("full", dtype))
            tensors |= {f"{key}_{name}": t.contiguous() for key, t in outputs.items()}
            scalars[name] = numbers | {"grad_norm": norm}
            if name == "f64":
                save_file(grads, self.dir / "grads_f64.safetensors")
        save_file(tensors, self.dir / "forward.safetensors")
        write_json(self.dir / "forward.json", scalars)
        self.fresh("lora", torch.float32).lm.save_pretrained(self.dir / "lora_init")
        (self.dir / "lora_init" / "README.md").unlink(missing_ok=True)
        _, numbers, grads, _ = self.gradients(self.fresh("lora", torch.float64))
        write_json(self.dir / "lora_forward.json", numbers)
        save_file(grads, self.dir / "lora_grads_f64.safetensors")
        write_json(self.dir / "training.json", {mode: {name: train(self.fresh(mode, dtype), self.batch) for name, dtype in DTYPES.items()}
                                                for mode in ("full", "head", "lora")})
        self.make_bf16_error()


if __name__ == "__main__":
    torch.set_num_threads(1)
    truly_float64()
    for name, options in FOLDERS.items():
        if name in sys.argv[2:] or len(sys.argv) == 2:
            Folder(Path(sys.argv[1]), name, **options).make()
