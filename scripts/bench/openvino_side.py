#!/usr/bin/env python3
"""OpenVINO's side of `make bench`: one scoring case a process, one JSON line. With --convert OUT.xml it writes the model instead, as
openvino.convert_model makes it of transformers' Qwen2Model with the value head: constants in f16, as save_model does unless told
otherwise, or with --dtype int8 compressed by NNCF; products of int8 then quantize activations as they come.
"""
import work


def convert(args, out):
    import openvino as ov
    import torch
    from transformers import Qwen2Model

    class Scorer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = Qwen2Model.from_pretrained(args.model, dtype=torch.float32, attn_implementation="sdpa")
            self.backbone.config.use_cache = False
            hidden = self.backbone.config.hidden_size
            self.head = torch.nn.Linear(hidden, 1)
            self.head.weight.data = torch.from_numpy(work.head_weight(hidden))
            self.head.bias.data.zero_()

        def forward(self, tokens, reads):
            # A mask of the caller's own: transformers' check for packed texts has an operation that OpenVINO lacks. None is causal.
            mask = {"full_attention": None}
            hidden = self.backbone(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state[0]
            return torch.sigmoid(self.head(hidden.index_select(0, reads)).squeeze(-1))

    batch = work.Batch(args, 8)
    example = (torch.from_numpy(batch.tokens)[None], torch.from_numpy(batch.reads))
    with torch.no_grad():
        model = ov.convert_model(Scorer().eval(), example_input=example)
    if args.dtype == "int8":
        import nncf
        model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    ov.save_model(model, out)


def main():
    ap = work.arguments(dtype=["f32", "bf16", "int8"])
    ap.add_argument("--convert")
    args = ap.parse_args()
    if args.convert:
        return convert(args, args.convert)
    import json
    import pathlib

    import openvino as ov
    vocabulary = json.loads(pathlib.Path(args.model).with_name("config.json").read_text())["vocab_size"]
    batch = work.Batch(args, vocabulary)
    core = ov.Core()
    model = core.read_model(args.model)
    model.reshape({model.inputs[0]: [1, args.tokens], model.inputs[1]: [len(batch.reads)]})
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": args.threads, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if args.dtype == "bf16" else "f32"})
    request = compiled.create_infer_request()

    def step():
        result = request.infer([batch.tokens[None], batch.reads])
        return {"score": float(next(iter(result.values())).mean())}

    work.measure(args, step, {"openvino": ov.__version__})


if __name__ == "__main__":
    main()
