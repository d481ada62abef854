"""Rewards of a goprm server for TRL: GRPOTrainer(..., reward_funcs=[prm_reward("http://127.0.0.1:5000", label="answer")])."""
import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor


def prm_reward(url="http://127.0.0.1:5000", label=None, token=None, timeout=180, tries=16):
    """A reward function; label names the data set's column of gold answers, which are then blended in. What the server
    cannot score (an empty completion, say) has no reward: None, which TRL leaves out."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}

    def one(prompt, completion, answer):
        text = completion if isinstance(completion, str) else "".join(m["content"] for m in completion)
        body = json.dumps({"prompt": prompt, "response": text, "label": answer}).encode()
        for attempt in range(tries):
            try:
                with urllib.request.urlopen(urllib.request.Request(url + "/reward/remote_rm", body, headers), timeout=timeout) as reply:
                    return json.load(reply)
            except urllib.error.HTTPError as error:
                if error.code == 422:
                    return None
                if error.code not in (429, 503) or attempt == tries - 1:
                    raise RuntimeError(f"{url}: {error.code}: {error.read().decode(errors='replace')}") from error
                time.sleep(float(error.headers.get("Retry-After", 1)))

    def goprm(prompts, completions, **columns):
        answers = columns[label] if label else [None] * len(prompts)
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(one, prompts, completions, answers))

    return goprm
