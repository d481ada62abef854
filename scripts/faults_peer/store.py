"""How a checkpoint's tensors lie in files: whole or in shards, PyTorch's or safetensors, a head beside them, and what is wrong with some."""
import json

import torch
from safetensors.torch import save_file

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FAULTS = [None, "NaN", "Inf", "a tensor is missing", "a tensor more", "a layer more", "a bias more", "wrong shape", "integers", "rotary buffers", "one tensor float32", "one tensor float64",
          "two heads", "a head's bias is missing", "an unknown file", "transposed"]


def write(case, state):
    rng, folder = case.rng, case.folder
    beside = case.head if case.format == "reasonflux_1_5b" else {}
    if case.format == "skywork":
        way = case.choose("head beside", ["inside", "value_head.safetensors", "value_head.bin", "both"])
        if way == "inside":
            state.update(case.head)
        for name in ("value_head.safetensors", "value_head.bin"):
            if way in (name, "both"):
                save(folder / name, case.head)
        if way == "both":
            case.words, case.wrong = case.words | {"value_head"}, "two value heads"
    elif case.format == "reasonflux_1_5b":
        way = case.choose("head beside", ["reward_head.safetensors", "reward_head.pt"])
        save(folder / way, {k.removeprefix("v_head.summary."): v for k, v in beside.items()})
    else:
        state.update(case.head)
    prefix = case.choose("prefix", ["model.", "", "module.model.", "base_model.model.model.", "_orig_mod.model."])
    if prefix != "model.":
        strange = prefix != ""
        state = {(k.replace("model.", prefix, 1) if k.startswith("model.") else k) if not strange else prefix.removesuffix("model.") + k: v for k, v in state.items()}
        case.words |= {"embed_tokens", "model."}
        if strange:
            case.wrong = case.wrong or "no tensor has the name that transformers looks for"
    state = {k: v.to(DTYPES[case.dtype]) for k, v in state.items()}
    state = fault(case, state)
    case.dtypes = {k: v.dtype for k, v in state.items()}
    way = case.choose("files", ["whole", "shards", "bin", "bin shards", "both kinds", "shard missing", "index lacks a tensor", "index has a tensor more", "index says another shard", "shard not listed"])
    names = sorted(state)
    rng.shuffle(names)
    if way == "whole" or way == "bin" or way == "both kinds":
        if way != "bin":
            save(folder / "model.safetensors", state)
        if way != "whole":
            other = {k: v + 1 if way == "both kinds" and v.is_floating_point() else v for k, v in state.items()}
            save(folder / "pytorch_model.bin", other)
        return
    form, index = ("pytorch_model-{:05d}-of-{:05d}.bin", "pytorch_model.bin.index.json") if way == "bin shards" else ("model-{:05d}-of-{:05d}.safetensors", "model.safetensors.index.json")
    n = rng.choice([2, 3])
    place = {k: form.format(i % n + 1, n) for i, k in enumerate(names)}
    for name in sorted(set(place.values())):
        save(folder / name, {k: state[k] for k in names if place[k] == name})
    victim, last = rng.choice(names), max(place.values())
    if way == "shard missing":
        (folder / last).unlink()
        case.words.add(last)
    elif way == "index lacks a tensor":
        del place[victim]
        case.words.add(victim)
    elif way == "index has a tensor more":
        place["model.more.weight"] = last
        case.words, case.wrong = case.words | {"model.more.weight"}, "the index names a tensor that no file holds"
    elif way == "index says another shard":
        place[victim] = next(v for v in place.values() if v != place[victim])
        case.words, case.wrong = case.words | {victim}, "the index names another file"
    elif way == "shard not listed":
        save(folder / "model-00009-of-00009.safetensors", {"model.nine.weight": torch.ones(2)})
        case.words.add("model-00009")
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": place}))


def fault(case, state):
    """One tensor is otherwise than it should be."""
    rng = case.rng
    way = case.choose("weights", FAULTS)
    if not way:
        return state
    layered = [k for k in state if "layers." in k]
    victim = rng.choice(layered + [k for k in state if "layers." not in k and "lm_head" not in k])
    case.words.add(victim.split("model.")[-1])
    v = state[victim]
    if way in ("NaN", "Inf"):
        v.view(-1)[rng.randrange(v.numel())] = float(way.lower())  # which is no matter in the row of a token that no text has
    elif way == "a tensor is missing":
        del state[victim]
        case.wrong = f"{victim} is missing and drawn at random"
    elif way == "a tensor more":
        name = rng.choice(["classifier.weight", "model.adapter.weight", "score.1.weight", "model.layers.0.self_attn.sinks", "v_head.weight"])
        state[name] = torch.ones(2, dtype=v.dtype)
        case.words, case.wrong = case.words | {name}, f"{name} is passed over"
    elif way == "a layer more":
        for k in layered:
            if "layers.0." in k:
                state[k.replace("layers.0.", "layers.7.")] = state[k].clone()
        case.words, case.wrong = case.words | {"layers.7"}, "a whole layer is passed over"
    elif way == "a bias more":
        name = rng.choice([k for k in layered if k.endswith("proj.weight")]).replace(".weight", ".bias")
        if name in state:
            return state
        state[name] = torch.ones(state[name.replace(".bias", ".weight")].shape[0], dtype=v.dtype)
        case.words, case.wrong = case.words | {name.split("model.")[-1]}, f"{name} is passed over"
    elif way == "wrong shape":
        state[victim] = torch.cat([v, v[:1]])
    elif way == "transposed":
        name = rng.choice([k for k in layered if k.endswith(("up_proj.weight", "down_proj.weight"))])
        state[name] = state[name].T.contiguous()
        case.words.add(name.split("model.")[-1])
    elif way == "integers":
        state[victim] = v.to(torch.int8)
        case.wrong = f"{victim} is of whole numbers, which somebody has quantised"
    elif way == "rotary buffers":
        for k in layered:
            if k.endswith("q_proj.weight"):
                state[k.replace("q_proj.weight", "rotary_emb.inv_freq")] = torch.ones(4)
    elif way.startswith("one tensor"):
        state[victim] = v.to(torch.float32 if way.endswith("32") else torch.float64)
    elif way == "two heads":
        width = next(v.shape[0] for k, v in state.items() if k.endswith("norm.weight") and "layers" not in k)
        more = {"v_head.summary.weight": torch.ones(1, width), "v_head.summary.bias": torch.ones(1)} if case.format != "skywork" else {"score.weight": torch.ones(1, width)}
        state.update(more)
        case.words, case.wrong = case.words | {"v_head", "score"}, "another head is passed over"
    elif way == "a head's bias is missing":
        for name in ("score.bias", "score.2.bias", "v_head.summary.bias"):
            if state.pop(name, None) is not None:
                case.words, case.wrong = case.words | {name, "score", "v_head"}, f"{name} is missing"
    elif way == "an unknown file":
        name = rng.choice(["head.pt", "adapter_model.safetensors", "classifier.bin", "reward.safetensors"])
        save(case.folder / name, {"weight": torch.ones(2)})
        case.words, case.wrong = case.words | {name}, f"{name} is passed over"
    return state


def save(path, state):
    if path.suffix == ".safetensors":
        save_file({k: v.contiguous().clone() for k, v in state.items()}, path, metadata={"format": "pt"})
    else:
        torch.save(state, path)
