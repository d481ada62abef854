"""Trains a tiny random model for two steps with TRL's GRPOTrainer, rewarded by the server: trl_run.py URL MODEL.

MODEL is a folder with a tokenizer.json of bytes whose special tokens are Qwen's, as randommodel writes it.
"""
import math
import pathlib
import sys
import tempfile

import torch
import transformers
import trl
from datasets import Dataset

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples" / "clients"))
from goprm_client import Client
from trl_dense import DenseGRPOTrainer, process_advantages
from trl_reward import prm_reward

url, folder = sys.argv[1:]
torch.manual_seed(1)
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json", pad_token="<|endoftext|>", eos_token="<|im_end|>")
tokenizer.chat_template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
config = transformers.Qwen2Config(vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, eos_token_id=tokenizer.eos_token_id)
policy = transformers.Qwen2ForCausalLM(config)

seen, reward = [], prm_reward(url, label="answer")


def watched(prompts, completions, **columns):
    values = reward(prompts, completions, **columns)
    seen.append((prompts, completions, columns["answer"], values))
    return values


def run(trainer_class, out, **options):
    trainer = trainer_class(
        **options, model=policy, processing_class=tokenizer, reward_funcs=[watched],
        train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": f"What is {i}+3?"}], "answer": str(i + 3)} for i in range(4)]),
        args=trl.GRPOConfig(output_dir=out, max_steps=2, per_device_train_batch_size=4, num_generations=4, max_completion_length=24, report_to=[], use_cpu=True, logging_steps=1, disable_tqdm=True))
    trainer.train()
    return trainer


with tempfile.TemporaryDirectory() as out:
    trainer = run(trl.GRPOTrainer, out)
logged = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
assert len(seen) == len(logged) == 2, (len(seen), logged)
for (prompts, completions, answers, values), mean in zip(seen, logged):
    assert reward(prompts, completions, answer=answers) == values, "asked again, the server says something else"
    known = [v for v in values if v is not None]
    assert len(known) > 0 and abs(sum(known) / len(known) - mean) < 1e-4, (values, mean)

# By hand: two completions of steps (1, 0) and (1, 2), whose mean is 1 and deviation sqrt(2/3).
unit = 1 / (math.sqrt(2 / 3) + 1e-4)
got = process_advantages(torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 2]]), torch.tensor([2, 3]), 2)
assert torch.allclose(got, torch.tensor([[-1.0, -1, -1, 0], [1, 1, 1, 1]]).double() * unit), got
group = [process_advantages(torch.rand(4, 5), torch.tensor([4, 4, 4, 4]), 4)]
assert abs(group[0][:, 0].sum()) < 1e-6, "a group's advantages add up to nothing at the first token"

# The trainer with token rewards: they add up to the reward functions' numbers.
seen.clear()
with tempfile.TemporaryDirectory() as out:
    trainer = run(DenseGRPOTrainer, out, client=Client(url, unscored=0.0), label="answer")
want = torch.tensor([v if v is not None else 0.0 for v in seen[-1][3]], dtype=torch.float64)
assert torch.allclose(trainer.last_token_rewards.sum(1), want, atol=1e-6), (trainer.last_token_rewards.sum(1), want)
print(f"trl {trl.__version__}: two steps of GRPOTrainer, mean rewards {', '.join(f'{v:.4f}' for v in logged)}; DenseGRPOTrainer learnt from {int((trainer.last_token_rewards != 0).sum())} token rewards of the same sums")
