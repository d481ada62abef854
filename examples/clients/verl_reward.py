"""Rewards of a goprm server for verl: custom_reward_function.path=verl_reward.py custom_reward_function.name=compute_score
and, under custom_reward_function.reward_kwargs, url and what else compute_score takes.

verl hands no prompt to reward functions, so the problem must travel in the data set's extra_info (here under "question").
"""
import json
import time
import urllib.error
import urllib.request


def ask(url, body, token=None, timeout=180, tries=16):
    """The JSON that a server answers; while it is full or starting, wait and ask again."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    for attempt in range(tries):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=timeout) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503) or attempt == tries - 1:
                raise RuntimeError(f"{url}: {error.code}: {error.read().decode(errors='replace')}") from error
            time.sleep(float(error.headers.get("Retry-After", 1)))


def compute_score(data_source, solution_str, ground_truth, extra_info=None, url="http://127.0.0.1:5000", problem_key="question", token=None, **_):
    """The blend of outcome and process reward as the score; its parts become metrics."""
    body = {"prompt": extra_info[problem_key], "response": solution_str, "label": ground_truth}
    return ask(url + "/reward/remote_rm?as=object", body, token)
