"""What check.sh does in Python."""
import json
import math
import pathlib
import sys
import urllib.error
import urllib.request

import openai

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples" / "clients"))
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
