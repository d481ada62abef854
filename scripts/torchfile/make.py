#!/usr/bin/env python3
"""Writes internal/torchfile/testdata with PyTorch: state dicts, files that are none, and what the good ones hold.

    venv/bin/python scripts/torchfile/make.py internal/torchfile/testdata     (a venv as scripts/goldens/make.py needs)
"""
import collections
import io
import json
import os
import sys
import zipfile
from pathlib import Path

import torch

DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(2)
    base = torch.arange(24).reshape(4, 6)
    tied = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    good = {
        "dtypes": {d: (base % 2 if d == "bool" else base - 7 * (d != "uint8")).to(getattr(torch, d)) for d in DTYPES},
        "shared": {"a": tied, "b": tied, "rows": tied[1:], "one": tied[2, 4], "column": tied[:1].T, "parameter": torch.nn.Parameter(tied),
                   "empty": torch.zeros(0, 3)},
        "module": torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1)).bfloat16().state_dict(),
    }
    negative, conjugate = torch._neg_view(base.float()), torch.complex(base.float(), base.float() + 1).conj()
    assert negative.is_neg() and conjugate.imag.is_neg() and conjugate.is_conj()
    good["resolved"] = {"w": negative.resolve_neg(), "imag": conjugate.imag.resolve_neg().contiguous()}
    expected = {}
    for name, state in good.items():
        torch.save(state, out / f"{name}.pt")
        expected[name] = {k: {"dtype": str(v.dtype).removeprefix("torch."), "shape": list(v.shape), "values": v.detach().double().flatten().tolist()}
                          for k, v in state.items()}
    (out / "expected.json").write_text(json.dumps(expected) + "\n")
    w = {"w": torch.ones(2)}
    bad = {
        "evil": {"w": torch.ones(2), "x": Evil()},
        "evil_key": collections.OrderedDict([(Evil(), torch.ones(2))]),
        "nested": {"state_dict": w, "epoch": 3},
        "number": {"w": torch.ones(2), "epoch": 3},
        "tensor": torch.ones(2),
        "model": torch.nn.Linear(2, 1),
        "transposed": {"w": torch.ones(3, 2).T},
        "expanded": {"w": torch.ones(1).expand(1 << 40)},
        "complex": {"w": torch.ones(2, dtype=torch.complex64)},
        "sparse": {"w": torch.eye(2).to_sparse()},
        "negative": {"v": torch.ones(2), "w": negative},
        "conjugate": {"w": conjugate},
        "imaginary": {"w": conjugate.imag},
        "quantized": {"w": torch.ones(2, dtype=torch.float8_e4m3fn)},
    }
    for name, state in bad.items():
        torch.save(state, out / f"bad_{name}.pt")
    torch.save(w, out / "bad_legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(w, out / "bad_protocol.pt", pickle_protocol=4)
    torch.jit.script(torch.nn.Linear(2, 1)).save(str(out / "bad_script.pt"))
    plain = io.BytesIO()
    torch.save(w, plain)
    with zipfile.ZipFile(plain) as z, zipfile.ZipFile(out / "bad_compressed.pt", "w", zipfile.ZIP_DEFLATED) as again:
        for n in z.namelist():
            again.writestr(n, z.read(n))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
