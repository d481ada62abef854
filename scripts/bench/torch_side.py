#!/usr/bin/env python3
"""PyTorch's side of `make bench`: one case a process, one JSON line.

score  forward pass of one text: Qwen2Model, so no logits over the vocabulary; the value head at the read-outs; sigmoid
head   training step of the value head, and in it the hidden states of the frozen backbone
lora   training step of PEFT's adapters on all projections, and of the head
full   training step of every parameter

Training recomputes activations layer by layer (gradient checkpointing), as prm does. f32: everything. bf16: backbone and
activations; adapters, head and AdamW stay in float32, and full has float32 masters under autocast. int8: linear layers by dynamic
quantization. --engine compile is torch.compile, with weights frozen for scoring; zentorch is its backend of that name.
"""
import warnings

warnings.filterwarnings("ignore")

import torch
import transformers
import work
from transformers import Qwen2Model

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def build(args):
    """(the backbone, the module to call)"""
    dtype = torch.bfloat16 if args.dtype == "bf16" and args.mode != "full" else torch.float32
    model = Qwen2Model.from_pretrained(args.model, dtype=dtype, attn_implementation="sdpa")
    model.config.use_cache = False
    model.requires_grad_(args.mode == "full")
    if args.dtype == "int8":
        model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8, inplace=True)
    module = with_adapters(model, args.rank) if args.mode == "lora" else model
    if args.mode in ("lora", "full"):
        model.gradient_checkpointing_enable({"use_reentrant": False})
    module.train(args.mode in ("lora", "full"))  # Qwen2 has no dropout; train() switches recomputation on
    return model, module


def with_adapters(model, rank):
    from peft import LoraConfig, get_peft_model
    adapted = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS))
    with torch.no_grad():
        for name, p in adapted.named_parameters():
            if ".lora_A." in name:
                ours = "model." + name[name.index("layers."):].replace(".default", "")
                p.copy_(torch.from_numpy(work.uniform(ours, tuple(p.shape), p.shape[1] ** -0.5)))
    model.enable_input_require_grads()
    return adapted


def compiled(args, module):
    if args.engine == "eager":
        return module
    if args.mode == "score":
        from torch._inductor import config
        config.freezing = True
    if args.engine == "zentorch":
        import zentorch  # registers the backend
        return torch.compile(module, backend="zentorch", dynamic=False)
    return torch.compile(module, dynamic=False)


def main():
    args = work.arguments(mode=["score", "head", "lora", "full"], dtype=["f32", "bf16", "int8"],
                          engine=["eager", "compile", "zentorch"]).parse_args()
    torch.set_num_threads(args.threads)
    model, module = build(args)
    head = torch.nn.Linear(model.config.hidden_size, 1)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(work.head_weight(model.config.hidden_size)))
        head.bias.zero_()
    batch = work.Batch(args, model.config.vocab_size)
    tokens, reads = torch.from_numpy(batch.tokens)[None], torch.from_numpy(batch.reads)
    targets, weights = torch.from_numpy(batch.targets), torch.from_numpy(batch.weights)
    call = compiled(args, module)

    def scores():
        hidden = call(input_ids=tokens, use_cache=False).last_hidden_state[0, reads]
        return torch.sigmoid(head(hidden.float()).squeeze(-1))

    def score():
        with torch.no_grad():  # freezing knows it, and not inference mode
            return {"score": float(scores().mean())}

    parameters = list(head.parameters()) + [p for p in model.parameters() if p.requires_grad]
    optimizer = None if args.mode == "score" else torch.optim.AdamW(parameters, lr=1e-5, weight_decay=0.01, fused=True)

    def train():
        if args.mode == "head":
            with torch.no_grad():
                hidden = call(input_ids=tokens, use_cache=False).last_hidden_state[0, reads]
            s = torch.sigmoid(head(hidden.float()).squeeze(-1))
        else:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.mode == "full" and args.dtype == "bf16"):
                s = scores()
        loss = (weights * (s - targets) ** 2).sum()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return {"loss": float(loss.detach()), "grad_norm": float(norm)}

    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    if args.mode == "lora":
        import peft
        versions["peft"] = peft.__version__
    if args.engine == "zentorch":
        import zentorch
        versions["zentorch"] = zentorch.__version__
    work.measure(args, score if args.mode == "score" else train, versions)


if __name__ == "__main__":
    main()
