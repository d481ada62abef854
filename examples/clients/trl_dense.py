"""A reward at every step for TRL, whose reward functions give one number a completion: DenseGRPOTrainer(..., client=Client(url), label="answer",
reward_funcs=[prm_reward(url, label="answer")]). The reward functions go on to be logged; what is learnt from are the server's token rewards.

Advantages are those of GRPO with process supervision (DeepSeekMath, arXiv 2402.03300, section 4.1.3): the step rewards of a group, and the
rest of the reward at each last token, are normalised together, and a token's advantage is the sum of those from it on.
"""
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import torch
import trl

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from goprm_client import token_ends


def process_advantages(rewards, last, group, gather=lambda x: x, offset=0):
    """Advantages [B, T] of token rewards [B, T] whose last tokens are at last [B], −1 where there are none; groups are neighbours. A token
    without a reward is no step.

    gather: brings every process' rows together; offset: the first of this process' rows among them.
    """
    steps = rewards != 0
    some = last >= 0
    steps[some, last[some]] = True
    sums = torch.stack([steps.sum(1), (rewards * steps).sum(1), (rewards**2 * steps).sum(1)], 1).double()
    n, total, squares = gather(sums).view(-1, group, 3).sum(1).repeat_interleave(group, 0)[offset : offset + len(rewards)].unbind(1)
    mean = total / n.clamp(min=1)
    deviation = ((squares - n * mean**2) / (n - 1).clamp(min=1)).clamp(min=0).sqrt()
    normal = (rewards - mean[:, None]) / (deviation[:, None] + 1e-4) * steps
    return normal.flip(1).cumsum(1).flip(1)


class DenseGRPOTrainer(trl.GRPOTrainer):
    def __init__(self, *args, client, label=None, **options):
        super().__init__(*args, **options)
        self.client, self.label = client, label

    def _token_rewards(self, example, ids):
        if not ids:  # mask_truncated_completions
            return []
        text, ends = token_ends(self.processing_class, ids)
        body = {"prompt": example["prompt"], "response": text, "label": example[self.label] if self.label else None, "token_ends": ends}
        return self.client.reward(body)["token_rewards"]

    def _generate_and_score_completions(self, inputs):
        out = super()._generate_and_score_completions(inputs)
        mask = out["completion_mask"]
        rows = [ids[m.bool()].tolist() for ids, m in zip(out["completion_ids"], mask)]
        with ThreadPoolExecutor(16) as pool:
            tokens = list(pool.map(self._token_rewards, inputs, rows))
        rewards = torch.zeros(mask.shape, dtype=torch.float64, device=mask.device)
        for row, values in enumerate(tokens):
            rewards[row, : len(values)] = torch.tensor(values, dtype=torch.float64, device=mask.device)
        group = self.num_generations if self.model.training else self.num_generations_eval
        last = torch.tensor([len(values) - 1 for values in tokens], device=mask.device)
        offset = self.accelerator.process_index * len(rows)
        out["advantages"] = (process_advantages(rewards, last, group, self.accelerator.gather, offset) * mask).float()
        self.last_token_rewards = rewards
        return out
