"""A plain reward server, as one writes it with FastAPI and transformers: one forward pass a request.

plain.py MODEL PORT
"""
import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModelForTokenClassification, PreTrainedTokenizerFast

folder, port = sys.argv[1], int(sys.argv[2])
model = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32).eval()
tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json")
app = FastAPI()


class Trajectory(BaseModel):
    id: str
    problem: str
    response_steps: list[str]


@app.post("/v1/steps")
def steps(t: Trajectory):
    ids, reads = tokenizer.encode(t.problem, add_special_tokens=False), []
    for step in t.response_steps:  # TRL's layout: each step and a newline, tokenised apart, read at the newline
        ids += tokenizer.encode(step, add_special_tokens=False) + tokenizer.encode("\n", add_special_tokens=False)
        reads.append(len(ids) - 1)
    with torch.inference_mode():
        scores = model(torch.tensor([ids])).logits[0, reads].softmax(-1)[:, 1].tolist()
    return {"id": t.id, "steps": [{"score": s} for s in scores]}


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
