"""Rewards of a goprm server for TRL: GRPOTrainer(..., reward_funcs=[prm_reward("http://127.0.0.1:5000", label="answer")]).
For a reward at every step, see trl_dense.py."""
import os
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from goprm_client import Client, NoReward


def text_of(completion):
    return completion if isinstance(completion, str) else "".join(m["content"] for m in completion)


def prm_reward(url="http://127.0.0.1:5000", label=None, token=None, timeout=180, tries=8):
    """A reward function; label names the data set's column of gold answers, which are then blended in. What the server
    cannot score (an empty completion, say) has no reward: None, which TRL leaves out."""
    client = Client(url, token, timeout, tries)

    def one(prompt, completion, answer):
        try:
            return client.ask("/reward/remote_rm", {"prompt": prompt, "response": text_of(completion), "label": answer})
        except NoReward:
            return None

    def goprm(prompts, completions, **columns):
        if label and label not in columns:
            raise ValueError(f"the data set has no column {label!r}: set label to the one of gold answers, or leave it out")
        answers = columns[label] if label else [None] * len(prompts)
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(one, prompts, completions, answers))

    return goprm
