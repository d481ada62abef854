"""Rewards of a goprm server for verl: custom_reward_function.path=verl_reward.py custom_reward_function.name=compute_score
and, under custom_reward_function.reward_kwargs, url and what else compute_score takes. For a reward at every step, see verl_dense.py.

verl hands no prompt to reward functions, so the problem must travel in the data set's extra_info (here under "question").
"""
import functools
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from goprm_client import Client

client = functools.lru_cache(Client)


def problem_of(extra_info, key):
    if not extra_info or key not in extra_info:
        raise ValueError(f"extra_info has no {key!r}: put the problem there in the data set, or set problem_key to the field that holds it")
    return extra_info[key]


def compute_score(data_source, solution_str, ground_truth, extra_info=None, url="http://127.0.0.1:5000", problem_key="question", token=None,
                  timeout=180, tries=8, unscored=None, **_):
    """The blend of outcome and process reward as the score; its parts become metrics."""
    body = {"prompt": problem_of(extra_info, problem_key), "response": solution_str, "label": ground_truth}
    url = url if isinstance(url, str) else ",".join(url)
    return client(url, token, timeout, tries, unscored).reward(body)
