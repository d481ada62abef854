#!/usr/bin/env bash
# What dtype int8 changes on a real backbone: a ridge head on PRM800K rows is trained in f32, then its steps' AUROC, and ProcessBench's
# F1, are computed from scores in each dtype. Prints a table. Needs Python, ../shared or $GOPRM_SHARED, and a backbone in Qwen2 layout:
# MODEL, by default the one that `make learn-real` converts. PROBLEMS (40) train; ROWS (100) rows of ProcessBench are scored.
set -euo pipefail
cd "$(dirname "$0")/.."
shared=$(realpath "${GOPRM_SHARED:-../shared}")
model=$(realpath "${MODEL:-runs/learn-real/smollm2-f32}")
work=${WORK:-runs/int8}
mkdir -p "$work"
python3 - "$shared" "$work" "${PROBLEMS:-40}" "${ROWS:-100}" <<'PY'
import gzip, json, sys
shared, work, problems, rows = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
target = json.load(open(shared + "/bench/prm800k_target.json"))
lines = gzip.open(shared + "/data/steps/prm800k/phase1_train_plus_steps.jsonl.gz", "rt").read().splitlines()
for name, groups in ("train", target["train"][:problems]), ("val", target["val"]):
    with open(f"{work}/{name}.jsonl", "w") as f:
        f.writelines(lines[i] + "\n" for group in groups for i in group)
bench = open(shared + "/data/steps/processbench/gsm8k.jsonl").readlines()
for i, name in enumerate(("processbench", "tune")): # the rows with errors come first there
    with open(f"{work}/{name}.jsonl", "w") as f:
        f.writelines(bench[i :: len(bench) // rows][:rows])
PY
cat >"$work/run.yaml" <<END
model: $model
train: head
data: {train: [$work/train.jsonl], eval: [$work/val.jsonl]}
text: {template: "<|im_start|>user\n{problem}<|im_end|>\n<|im_start|>assistant\n", think_tags: [], tokenize: pieces}
head: {init: ridge, activation: identity, ridge: 3}
optim: {head_lr: 0, lr: 0, steps: 1, weight_decay: 0}
batch: {trajectories: 64}
cache: $work/cache
dtype: f32
out: $work/run
END
go build -o bin/prm ./cmd/prm
[ -f "$work/run/model/goprm.json" ] || bin/prm train "$work/run.yaml" --quiet
for dtype in ${DTYPES:-f32 int8}; do
  [ -f "$work/val-$dtype.jsonl" ] || bin/prm --quiet score "$work/run/model" "$work/val.jsonl" --dtype "$dtype" --out "$work/val-$dtype.jsonl"
  [ -f "$work/bench-$dtype.json" ] ||
    bin/prm --quiet eval --bench processbench --data "$work/processbench.jsonl" --tune "$work/tune.jsonl" --model "$work/run/model" --dtype "$dtype" --json --out "$work/bench-$dtype.json"
done
python3 - "$work" ${DTYPES:-f32 int8} <<'PY'
import json, sys
work, dtypes = sys.argv[1], sys.argv[2:]
rating = [json.loads(line)["rating"] for line in open(work + "/val.jsonl")]
def scores(dtype): # in the order of the rows
    return [[s["score"] for s in json.loads(line)["steps"]] for line in open(f"{work}/val-{dtype}.jsonl")]
def auroc(pairs):
    good = [s for s, y in pairs if y == 1]; bad = [s for s, y in pairs if y == -1]
    return sum((g > b) + (g == b) / 2 for g in good for b in bad) / (len(good) * len(bad))
base = scores(dtypes[0])
print("| dtype | AUROC of the judged steps | largest, mean difference of a score | correlation | ProcessBench: F1, step AUROC |\n|---|---|---|---|---|")
for dtype in dtypes:
    got = scores(dtype)
    last = [(steps[-1], y) for steps, y in zip(got, rating)]
    x, y = sum(base, []), sum(got, [])
    d = [abs(a - b) for a, b in zip(x, y)]
    mx, my = sum(x) / len(x), sum(y) / len(y)
    r = sum((a - mx) * (b - my) for a, b in zip(x, y)) / (sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y)) ** .5
    m = json.load(open(f"{work}/bench-{dtype}.json"))["metrics"]
    print(f"| {dtype} | {auroc(last):.4f} | {max(d):.4f}, {sum(d)/len(d):.4f} | {r:.5f} | {m['gsm8k']['f1']:.4f}, {m['all']['step_auroc']:.4f} |")
PY
