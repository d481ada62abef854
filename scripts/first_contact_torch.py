#!/usr/bin/env python3
"""What PyTorch does on the same GPU, beside goprm's own benchmarks: scripts/first_contact.sh bench runs it where PyTorch is.

    first_contact_torch.py attention    scaled_dot_product_attention forward and backward, causal, at BenchmarkGPUAttention's shapes
    first_contact_torch.py tokens       a step of transformers and PEFT at BenchmarkGPUTokens' shapes, with its loss and gradient norm

The weights, the text and the loss of a step are those of cuda/gputokens_test.go, so losses and norms can be held side by side. Lines
are in the form of Go's benchmarks. On the CPU (--stand-in) sizes are as small as the emulator's.
"""
import argparse
import math
import time
import warnings

import torch
import torch.nn.functional as F

NUMBERS = 1 << 22
SHAPES = {
    "1.5B": dict(hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12, num_key_value_heads=2, vocab_size=151936),
    "7B": dict(hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28, num_key_value_heads=4, vocab_size=152064),
    "small": dict(hidden_size=128, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1, vocab_size=64),
}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def report(name, repeats, seconds, **metrics):
    values = "".join(f"\t{v:14.6g} {k}" for k, v in metrics.items())
    print(f"BenchmarkTorch/PyTorch/{name}\t{repeats}\t{seconds * 1e9:14.0f} ns/op{values}", flush=True)


def median(device, repeats, runs):
    """The median time in seconds of functions that are called in turn."""
    for run in runs:
        run()
    times = []
    if device == "cpu":
        for i in range(repeats):
            begin = time.perf_counter()
            runs[i % len(runs)]()
            times.append(time.perf_counter() - begin)
    else:
        torch.cuda.synchronize()
        marks = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeats)]
        for i, (begin, end) in enumerate(marks):
            begin.record()
            runs[i % len(runs)]()
            end.record()
        torch.cuda.synchronize()
        times = [begin.elapsed_time(end) / 1e3 for begin, end in marks]
    return sorted(times)[len(times) // 2]


def attention(device, repeats):
    lengths = [512, 2048, 4096, 8192] if device == "cuda" else [32]
    for tokens in lengths:
        for heads, kv_heads, dim in [(12, 2, 128), (28, 4, 128), (14, 2, 64)] if device == "cuda" else [(12, 2, 128)]:
            sets, bytes_each = 1, 2 * tokens * dim * (2 * heads + 2 * kv_heads)
            if device == "cuda":
                cache = torch.cuda.get_device_properties(0).L2_cache_size
                sets = min(max(1, math.ceil(2 * cache / bytes_each)), 16)
            forward, backward = [], []
            for _ in range(sets):
                def random(h):
                    return (torch.rand(1, h, tokens, dim, device=device) * 2 - 1).bfloat16().requires_grad_()
                q, k, v, do = random(heads), random(kv_heads), random(kv_heads), random(heads).detach()

                def run(q=q, k=k, v=v):
                    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
                out = run()
                forward.append(run)
                backward.append(lambda out=out, q=q, k=k, v=v, do=do: torch.autograd.grad(out, (q, k, v), do, retain_graph=True))
            flops, name = 2 * tokens * tokens * heads * dim, f"{tokens}/{heads}x{dim}"
            for op, runs, factor in (("attention", forward, 1), ("attention_backward", backward, 2.5)):
                with torch.set_grad_enabled(op != "attention"):
                    seconds = median(device, repeats, runs)
                report(f"{op}/{name}", repeats, seconds, **{"TFLOP/s": factor * flops / seconds / 1e12})


def fnv(name):
    h = 2166136261
    for byte in name.encode():
        h = (h ^ byte) * 16777619 & 0xFFFFFFFF
    return h


def noise(device):
    """The block of numbers that all weights come from, as newNoise makes it."""
    h = torch.arange(NUMBERS, dtype=torch.int64, device=device) * 2654435761 & 0xFFFFFFFF
    h = (h ^ h >> 15) * 2246822519 & 0xFFFFFFFF
    h = h ^ h >> 13
    return ((h >> 8).float() / (1 << 23) - 1) * torch.tensor(0.034641016, dtype=torch.float32, device=device)


@torch.no_grad()
def fill(module, block, prefix):
    for name, p in module.named_parameters():
        name = prefix + name.removeprefix("base_model.model.").replace(".base_layer", "").replace(".default", "")
        if "norm" in name:
            p.fill_(1)
            continue
        start, n = fnv(name) % NUMBERS, p.numel()
        copies = math.ceil((start + n) / NUMBERS)
        p.copy_(block.repeat(copies)[start:start + n].view_as(p))


class Scored(torch.nn.Module):
    def __init__(self, trunk, width, device):
        super().__init__()
        self.trunk = trunk
        self.score = torch.nn.Linear(width, 1, device=device)

    def forward(self, ids, reads):
        hidden = self.trunk(input_ids=ids, use_cache=False).last_hidden_state[0, reads]
        return torch.sigmoid(F.linear(hidden.float(), self.score.weight, self.score.bias))[:, 0]


def model(shape, train, recompute, device, block):
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen2Config, Qwen2Model
    config = Qwen2Config(rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 1e6}, max_position_embeddings=32768,
                         attn_implementation="sdpa", **SHAPES[shape])
    with torch.device(device):
        trunk = Qwen2Model(config).to(torch.float32 if train == "full" else torch.bfloat16)
    if train == "lora":
        trunk = get_peft_model(trunk, LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS))
    if recompute:
        trunk.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    m = Scored(trunk, config.hidden_size, device)
    fill(m.trunk, block, "model.")
    fill(m.score, block, "score.")
    return m.train()


def tokens(device, repeats):
    block = noise(device)
    warnings.filterwarnings("ignore", category=FutureWarning)
    runs = ["1.5B/lora/kept", "1.5B/full/kept", "7B/lora/kept", "7B/lora/recomputed", "1.5B/full/recomputed", "7B/head"]
    for name in runs:
        shape, train = name.split("/")[:2]
        count, taken = (4096, shape) if device == "cuda" else (64, "small")
        m = model(taken, train, name.endswith("recomputed"), device, block)
        ids = torch.tensor([[i * 7 % 60 for i in range(count)]], device=device)
        reads = torch.arange(15, count, 64, device=device)
        target = 0.5 + 0.4 * torch.sin(reads.double()).float()
        trained = [p for p in m.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, fused=device == "cuda")

        def step():
            if train == "head":
                with torch.no_grad():
                    return m(ids, reads).sum().item(), 0.0
            with torch.autocast(device, torch.bfloat16, enabled=train == "full"):
                loss = (m(ids, reads) - target).square().mean()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return loss.item(), norm.item() if norm is not None else 0.0

        first = [step(), step()]
        times = []
        for _ in range(repeats):
            begin = time.perf_counter()
            step()
            times.append(time.perf_counter() - begin)
        seconds = sorted(times)[len(times) // 2]
        metrics = {"tokens/s": count / seconds}
        if train != "head":
            metrics |= {"loss1": first[0][0], "norm1": first[0][1], "loss2": first[1][0], "norm2": first[1][1]}
        report(name, repeats, seconds, **metrics)
        del m, optimizer, trained
        if device == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["attention", "tokens"])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--stand-in", action="store_true", help="on the CPU, at small sizes")
    args = parser.parse_args()
    where = "cpu" if args.stand_in else "cuda"
    {"attention": attention, "tokens": tokens}[args.part](where, args.repeats)
