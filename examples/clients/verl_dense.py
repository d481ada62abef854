"""A reward at every step for verl: the reward manager puts each step's share of the reward at the token in which the step ends, and the
rest, which is the outcome's and the trajectory's, at the last token. A response's token rewards add up to its reward.

  reward.reward_manager.source=importlib reward.reward_manager.name=DenseRewardManager reward.reward_manager.module.path=verl_dense.py
  reward.custom_reward_function.path=verl_reward.py, and its reward_kwargs (url, problem_key, token, ...), which are taken from there
"""
import os
import sys

import torch
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from goprm_client import Client, DenseScore, token_ends
from verl_reward import problem_of


class DenseRewardManager(RewardManagerBase):
    def __init__(self, config, tokenizer, compute_score=None, **_):
        super().__init__(config, tokenizer, compute_score)
        options = dict(config.reward.custom_reward_function.get("reward_kwargs") or {})
        self.problem_key = options.pop("problem_key", "question")
        self.client = Client(**options)

    async def run_single(self, data):
        item = data[-1:][0]
        responses = item.batch["responses"]
        ids = responses[: int(item.batch["attention_mask"][-responses.shape[-1]:].sum())].tolist()
        text, ends = token_ends(self.tokenizer, ids)
        body = {"prompt": problem_of(item.non_tensor_batch.get("extra_info"), self.problem_key), "response": text,
                "label": item.non_tensor_batch["reward_model"]["ground_truth"], "token_ends": ends}
        answer = await self.loop.run_in_executor(None, self.client.reward, body)
        tokens = answer.pop("token_rewards")
        return {"reward_score": DenseScore(answer["reward"], tokens), "reward_extra_info": answer}

    @classmethod
    def assemble_rm_scores(cls, data, scores):
        out = torch.zeros_like(data.batch["responses"], dtype=torch.float32)
        for row, score in enumerate(scores):
            if not isinstance(score, DenseScore):
                raise TypeError("a score has lost its token rewards on the way here: this needs verl 0.9; set reward.reward_manager.name to naive without them")
            tokens = torch.tensor(score.token_rewards, dtype=torch.float32)
            out[row, : len(tokens)] = tokens
        return out
