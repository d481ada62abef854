"""Scores samples with verl's own reward manager, which loads the shim as its documentation says: verl_run.py URL MODEL.

MODEL is a folder with a tokenizer.json of bytes whose special tokens are Qwen's, as randommodel writes it.
"""
import asyncio
import importlib.metadata
import json
import pathlib
import pickle
import sys
import urllib.request

import numpy as np
import torch
import transformers
from omegaconf import OmegaConf
from verl import DataProto
from verl.trainer.ppo.reward import load_reward_manager

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples" / "clients"))
from trl_reward import prm_reward

url, folder = sys.argv[1:]


def ask(address, body):
    return json.load(urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})))


shim = pathlib.Path(__file__).parents[2] / "examples" / "clients" / "verl_reward.py"
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json", pad_token="<|endoftext|>", eos_token="<|im_end|>")
config = OmegaConf.create({"reward": {
    "custom_reward_function": {"path": str(shim), "name": "compute_score", "reward_kwargs": {"url": url}},
    "reward_manager": {"source": "register", "name": "naive"}}})

samples = [("2+3?", "Two and three.\n\nIt is \\boxed{5}.", "5"), ("2+4?", "It is 7.", "6")]
answers = [tokenizer.encode(answer + "<|im_end|>") for _, answer, _ in samples]
longest = max(map(len, answers))


def padded(ids, fill):
    return torch.tensor([list(row) + [fill] * (longest - len(row)) for row in ids])


prompts = torch.zeros(2, 4, dtype=torch.long)
batch = DataProto.from_dict(
    tensors={"prompts": prompts, "responses": padded(answers, tokenizer.pad_token_id),
             "attention_mask": torch.cat([torch.ones_like(prompts), padded([[1] * len(a) for a in answers], 0)], 1)},
    non_tensors={"data_source": np.array(["math"] * 2, dtype=object),
                 "reward_model": np.array([{"ground_truth": gold} for _, _, gold in samples], dtype=object),
                 "extra_info": np.array([{"question": problem} for problem, _, _ in samples], dtype=object)})


async def scored():
    manager = load_reward_manager(config, tokenizer)
    return [await manager.run_single(batch[i:i + 1]) for i in range(len(samples))], manager


results, manager = asyncio.get_event_loop_policy().new_event_loop().run_until_complete(scored())
want = prm_reward(url, label="gold")(prompts=[p for p, _, _ in samples], completions=[a for _, a, _ in samples], gold=[g for _, _, g in samples])
scores = [r["reward_score"] for r in results]
assert scores == want, (scores, want)
assert [r["reward_extra_info"]["outcome"] for r in results] == [1, 0], results
tensor = type(manager).assemble_rm_scores(batch, scores)
assert [tensor[i, len(a) - 1].item() for i, a in enumerate(answers)] == [torch.tensor(s).item() for s in scores] and tensor.count_nonzero() == 2

# The same samples with a reward at every step, assembled by the manager that the trainer would use.
config.reward.reward_manager = {"source": "importlib", "name": "DenseRewardManager", "module": {"path": str(shim.parent / "verl_dense.py")}}
results, manager = asyncio.get_event_loop_policy().new_event_loop().run_until_complete(scored())
dense = type(manager).assemble_rm_scores(batch, [pickle.loads(pickle.dumps(r["reward_score"])) for r in results])
factor, gold = 0.75, [1, 0]
for row, ((problem, answer, _), ids) in enumerate(zip(samples, answers)):
    steps = ask(url + "/v1/steps", {"problem": problem, "response": answer})
    wanted = torch.zeros(longest, dtype=torch.float64)
    for step in steps["steps"]:  # tokens are bytes, and so are the offsets
        wanted[step["end"] - 1] += factor * step["score"] / len(steps["steps"])
    wanted[len(ids) - 1] += 0.25 * gold[row] + factor * steps["reward"] - wanted.sum()
    assert torch.allclose(dense[row], wanted.float(), atol=1e-6), (dense[row], wanted)
    assert abs(dense[row].sum().item() - scores[row]) < 1e-6
print(f"verl {importlib.metadata.version('verl')}: its naive reward manager gave {', '.join(f'{s:.4f}' for s in scores)}; the dense one {dense.count_nonzero()} token rewards of the same sums")
