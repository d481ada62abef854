"""Compares what vLLM pools of the model WORK/vllm with the scores of WORK/scores.jsonl.

pooled.py WORK: WORK holds traj.jsonl too
"""
import json
import sys

import vllm


def main(work):
    engine = vllm.LLM(model=f"{work}/vllm", runner="pooling", dtype="float32", enforce_eager=True, max_model_len=512)
    rows = [json.loads(line) for line in open(f"{work}/traj.jsonl")]
    texts = [row["problem"] + "\n\n" + "".join(step + "<extra_0>" for step in row["response_steps"]) for row in rows]
    scores = [json.loads(line) for line in open(f"{work}/scores.jsonl")]
    pooled = engine.encode(texts, pooling_task="token_classify", use_tqdm=False)
    worst, spread = 0.0, [s["score"] for want in scores for s in want["steps"]]
    for want, got in zip(scores, pooled, strict=True):
        assert want["id"] == rows[pooled.index(got)]["id"]
        for step, (wrong, right) in zip(want["steps"], got.outputs.data.tolist(), strict=True):
            worst = max(worst, abs(step["score"] - right), abs(wrong + right - 1))
    assert max(spread) - min(spread) > 0.1, "scores that hardly differ show nothing"
    print(f"vllm {vllm.__version__}: {len(rows)} trajectories, {len(spread)} steps, largest difference of a score {worst:.2g}")
    return worst > 1e-5


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
