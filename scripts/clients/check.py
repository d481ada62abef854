"""What check.sh does in Python."""
import json
import http.server
import math
import pathlib
import sys
import threading
import types
import urllib.error
import urllib.request

import openai

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples" / "clients"))
import asyncio

import goprm_client
import slime_reward
import trl_reward
import verl_reward

url = sys.argv[1]


def ask(path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))


problem, response = "What is 2+3?", "Two and three.\n\nIt is \\boxed{5}."
chat = f"<|im_start|>user\n{problem}<|im_end|>\n<|im_start|>assistant\n{response}<|im_end|>\n"
steps = ask("/v1/steps", {"id": "a", "problem": problem, "response": response})
reward = steps["reward"]

client = openai.OpenAI(base_url=url + "/v1", api_key="none")
assert [m.id for m in client.models.list()] == ["prm"]
for encoding in ("float", openai.NOT_GIVEN):  # not given, the package asks for base64
    answer = client.embeddings.create(model="prm", input=[chat, chat], encoding_format=encoding)
    assert [math.isclose(d.embedding[0], reward, rel_tol=1e-6) for d in answer.data] == [True, True], answer
    assert answer.usage.prompt_tokens > 0
for wrong, error in (({"model": "gpt", "input": chat}, openai.NotFoundError), ({"model": "prm", "input": "x"}, openai.UnprocessableEntityError)):
    try:
        client.embeddings.create(**wrong)
        raise SystemExit(f"no error for {wrong}")
    except error as e:
        assert e.body["message"], e
print(f"openai {openai.__version__}: models and embeddings")

blend = 0.25 + 0.75 * reward
got = verl_reward.compute_score("math", response, "5", {"question": problem, "index": 3}, url=url)
assert math.isclose(got["score"], blend) and got["outcome"] == 1 and math.isclose(got["prm"], reward), got
assert math.isclose(verl_reward.compute_score(data_source="math", solution_str=response, ground_truth="6", extra_info={"question": problem}, url=url)["score"], 0.75 * reward)
message = [{"role": "user", "content": problem}]
plain = trl_reward.prm_reward(url)
assert plain(prompts=[message, message], completions=[[{"role": "assistant", "content": response}], [{"role": "assistant", "content": ""}]], completion_ids=[[1], [2]], answer=["5", "5"]) == [reward, None]
assert trl_reward.prm_reward(url, label="answer")(prompts=[problem], completions=[response], answer=["5"], trainer_state=None) == [blend]
print("verl_reward.py and trl_reward.py, called as the trainers call them")


class Chars:
    """A tokenizer whose tokens are characters, the last of é's two bytes apart: ids from 1000 on are bytes of a longer character."""

    def decode(self, ids, **_):
        return b"".join(bytes([i - 1000]) if i >= 1000 else chr(i).encode() for i in ids).decode(errors="replace")


ids = [1000 + b if b > 127 else b for b in "Zwei é.\n\nEs ist 5.".encode()]
text, ends = goprm_client.token_ends(Chars(), ids)
assert text == "Zwei é.\n\nEs ist 5." and ends == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18], (text, ends)


def dense(response, label=None):
    """Each step's share at its last character, by hand: r̂ is the mean of the steps' scores and alpha times the trajectory's."""
    row = ask("/v1/steps", {"problem": problem, "response": response})
    factor, want = 1 if label is None else 0.75, [0.0] * len(response)
    for step in row["steps"]:
        want[step["char_end"] - 1] += factor * step["score"] / len(row["steps"])
    total = row["reward"] if label is None else 0.25 * (label == "5") + 0.75 * row["reward"]
    want[-1] += total - sum(want)
    return want


for label in (None, "5", "6"):
    got = ask("/reward/remote_rm?as=object", {"prompt": problem, "response": response, "label": label, "token_ends": list(range(1, len(response) + 1))})
    assert all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(got["token_rewards"], dense(response, label), strict=True)), (got, dense(response, label))
    assert math.isclose(sum(got["token_rewards"]), got["reward"], abs_tol=1e-9)
sample = types.SimpleNamespace(prompt=problem, tokens=[1, 2, *map(ord, response)], response_length=len(response), response=response, label="5", metadata=None)
slime_reward.tokenizer_of, slime_reward.client = lambda _: Chars(), lambda: goprm_client.Client(url)
assert math.isclose(asyncio.run(slime_reward.reward_func(types.SimpleNamespace(hf_checkpoint=""), sample)), blend)
assert all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(sample.metadata["token_rewards"], dense(response, "5"), strict=True))
print("rewards at the policy's tokens: /reward/remote_rm and slime_reward.py")


def broken(*answers):
    """A server that answers with these statuses and Retry-After headers, one after another, and its address."""
    left = list(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = left.pop(0) if left else (500, b"{}")
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


body = {"prompt": problem, "response": response, "label": "5"}
nobody = "http://127.0.0.1:9"
for urls in (f"{nobody},{url}", [broken((503, b"full")), url + "/"], broken((429, b""), (502, b""), (200, json.dumps({"reward": blend}).encode())), [broken((200, b"no JSON")), url]):
    assert math.isclose(goprm_client.Client(urls, longest_wait=0.01).reward(body)["reward"], blend), urls
assert verl_reward.compute_score("math", response, "5", {"question": problem}, url=nobody, tries=2, unscored=-1.0)["score"] == -1
assert verl_reward.compute_score("math", "", "5", {"question": problem}, url=url, unscored=0.0)["unscored"] == 1
for wrong, says in (
    (lambda: goprm_client.Client([nobody], tries=2, longest_wait=0.01).reward(body), "set url to where it listens, raise tries or timeout, or set unscored"),
    (lambda: verl_reward.compute_score("math", "", "5", {"question": problem}, url=url), "Set unscored"),
    (lambda: verl_reward.compute_score("math", response, "5", {}), "set problem_key"),
    (lambda: trl_reward.prm_reward(url, label="gold")([problem], [response]), "set label"),
    (lambda: goprm_client.Client(broken((401, b"no"))).ask("/x", {}), "Set token"),
    (lambda: goprm_client.Client(url + "/v1").reward(body), "Set url"),
    (lambda: goprm_client.Client(" , "), "set the address"),
):
    try:
        wrong()
        raise SystemExit(f"no error that says {says!r}")
    except (RuntimeError, ValueError) as error:
        assert says in str(error), error
print("the clients' retries, other addresses, and what their errors say to set")
