"""Rewards of goprm servers for slime and miles, with a reward at every step: --custom-rm-path slime_reward.reward_func. GOPRM_URL holds the
addresses (with commas between them), GOPRM_TOKEN the servers' token, GOPRM_UNSCORED the reward of what cannot be scored.

The sample's reward is a number, or with --reward-key reward an object. Its metadata gets token_rewards, one for each token of the response,
for a --custom-reward-post-process-path or an advantage of one's own. Without step rewards, --rm-type remote_rm needs no file.
"""
import asyncio
import functools
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from goprm_client import Client, token_ends


@functools.lru_cache
def client():
    unscored = os.environ.get("GOPRM_UNSCORED")
    return Client(os.environ.get("GOPRM_URL", "http://127.0.0.1:5000"), os.environ.get("GOPRM_TOKEN"), unscored=float(unscored) if unscored else None)


@functools.lru_cache
def tokenizer_of(checkpoint):
    import transformers

    return transformers.AutoTokenizer.from_pretrained(checkpoint)


async def reward_func(args, sample, **_):
    if not sample.response_length:
        text, ends = "", None
    else:
        text, ends = token_ends(tokenizer_of(args.hf_checkpoint), sample.tokens[-sample.response_length:])
    body = {"prompt": sample.prompt, "response": text, "label": sample.label, "token_ends": ends}
    answer = await asyncio.get_running_loop().run_in_executor(None, client().reward, body)
    sample.metadata = {**(sample.metadata or {}), "token_rewards": answer.pop("token_rewards", [])}
    return answer if getattr(args, "reward_key", None) else answer["reward"]
