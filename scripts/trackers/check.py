"""Compares what TensorBoard and an MLflow server hold of a run with its metrics.jsonl: check.py RUN URL"""
import json
import math
import os
import sys

from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util

run, url = sys.argv[1:]
lines = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
steps = {line["step"]: line for line in lines if "loss" in line}
evals = {line["step"]: line["eval"] for line in lines if "eval" in line}
assert sorted(steps) == [1, 2, 3, 4, 5, 6], sorted(steps)

board = EventAccumulator(f"{run}/events")
board.Reload()
scalars = {tag: {e.step: e.value for e in board.Scalars(tag)} for tag in board.Tags()["scalars"]}
for name in ("loss", "loss_step", "loss_final", "grad_norm", "lr", "tokens_per_s"):
    for step, line in steps.items():
        assert math.isclose(scalars[f"train/{name}"][step], line[name], rel_tol=1e-6, abs_tol=1e-12), (name, step)
for step, line in evals.items():
    assert math.isclose(scalars["eval/step_auroc"][step], line["step_auroc"], rel_tol=1e-6), step
content = plugin_data_pb2.HParamsPluginData.FromString(board.PluginTagToContent("hparams")["_hparams_/session_start_info"])
hparams = content.session_start_info.hparams
assert hparams["batch.trajectories"].number_value == 4 and hparams["train"].string_value == "lora", hparams
texts = board.PluginTagToContent("text")
assert len(texts) == 3, texts
sample = tensor_util.make_ndarray(board.Tensors(sorted(texts)[0])[0].tensor_proto)[0].decode()
assert "⟦" in sample and "One." in sample, sample

os.environ["MLFLOW_TRACKING_URI"] = url
client = MlflowClient(url)
experiment = client.get_experiment_by_name("prms")
tracked = client.search_runs([experiment.experiment_id])
assert len(tracked) == 1, "a resumed run is the same run"
tracked = tracked[0]
assert tracked.info.status == "FINISHED" and tracked.info.run_name == "run", tracked.info
assert tracked.info.run_id == json.load(open(f"{run}/run.json"))["tracked_as"]
assert tracked.data.params["batch.trajectories"] == "4"
for name in ("loss", "lr"):
    history = {m.step: m.value for m in client.get_metric_history(tracked.info.run_id, f"train/{name}")}
    assert history == {step: line[name] for step, line in steps.items()}, (name, history)
print(f"TensorBoard: {len(scalars)} scalars, {len(hparams)} hyperparameters, {len(texts)} texts; "
      f"MLflow: {len(tracked.data.metrics)} metrics, {len(tracked.data.params)} parameters of one run, as metrics.jsonl has them")
