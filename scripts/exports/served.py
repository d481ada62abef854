"""Sends the same requests to vLLM's own server and to prm serve, both with the model WORK/vllm, and compares statuses and bodies.

served.py VLLM PRM WORK: addresses without a path; WORK holds traj.jsonl. Numbers may differ by 1e-5 (float32, summed in another order).
"""
import base64
import json
import math
import struct
import sys
import urllib.error
import urllib.request

SIZES = {"float32": 4, "float16": 2, "bfloat16": 2, "fp8_e4m3": 1, "fp8_e5m2": 1}


def ask(url, path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return reply.status, dict(reply.headers), reply.read()
    except urllib.error.HTTPError as error:
        return error.code, {}, error.read()


def numbers(raw, dtype, order):
    """What bytes are, widened; FP8 as its codes, which are apart by one where a value lies between two."""
    order = "<" if order in ("native", "little") else ">"
    if dtype == "bfloat16":
        halves = struct.unpack(f"{order}{len(raw) // 2}H", raw)
        return [struct.unpack(">f", struct.pack(">I", h << 16))[0] for h in halves]
    return struct.unpack(f"{order}{len(raw) // SIZES[dtype]}{dict(float32='f', float16='e', fp8_e4m3='B', fp8_e5m2='B')[dtype]}", raw)


def same(a, b, at=""):
    """Raises where two JSON values differ. A field that is null may be missing: versions of vLLM differ in them. What
    was cached (prompt_tokens_details) is each server's own matter."""
    if isinstance(a, dict):
        a, b = ({k: v for k, v in x.items() if v is not None and k != "prompt_tokens_details"} for x in (a, b))
        assert set(a) == set(b), f"{at}: {sorted(a)} and {sorted(b)}"
        for key in a:
            if key not in ("id", "created", "max_model_len"):  # the last one: as vLLM was started
                same(a[key], b[key], f"{at}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), f"{at}: {len(a)} and {len(b)}"
        for i, (x, y) in enumerate(zip(a, b)):
            same(x, y, f"{at}[{i}]")
    elif isinstance(a, float) and isinstance(b, (int, float)):
        assert math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-5), f"{at}: {a} and {b}"
    else:
        assert a == b, f"{at}: {a!r} and {b!r}"


def main(theirs, ours, work):
    rows = [json.loads(line) for line in open(f"{work}/traj.jsonl")]
    texts = [row["problem"] + "\n\n" + "".join(step + "<extra_0>" for step in row["response_steps"]) for row in rows]
    cases = [{"input": texts[0]}, {"input": texts[1:4]}, {"input": texts[2], "task": "token_classify"}, {"input": texts[2], "use_activation": False},
             {"input": texts[2], "use_activation": True}, {"input": texts[2], "truncate_prompt_tokens": -1}, {"input": texts[2], "priority": 0},
             {"input": texts[2], "padding": "do_not_pad"}, {"input": texts[2], "user": "u", "cache_salt": "s", "request_id": "mine"},
             {"input": texts[2], "add_special_tokens": False}, {"input": texts[2], "add_special_tokens": True}]
    cases += [{"input": texts[2], field: value} for field, value in (
        ("task", "embed"), ("task", "encode"), ("task", "score"), ("task", "nothing"), ("task", "classify"), ("task", "token_embed"), ("normalize", True), ("normalize", None),
        ("dimensions", 1), ("priority", 1), ("priority", "high"), ("encoding_format", "hex"), ("embed_dtype", "int8"), ("endianness", "middle"), ("truncate_prompt_tokens", -2),
        ("padding", "left"), ("truncation_side", "middle"), ("cache_salt", ""), ("model", "another"), ("input", []))]
    others = [("/tokenize", b) for b in ({"prompt": texts[0]}, {"prompt": texts[1], "add_special_tokens": False}, {"prompt": texts[2], "return_token_strs": True}, {"prompt": ""},
                                         {"prompt": [1, 2]}, {"messages": [{"role": "user", "content": "a"}]}, {}, {"prompt": "a", "model": "another"})]
    others += [("/detokenize", b) for b in ({"tokens": [97, 151651, 98]}, {"tokens": []}, {"tokens": [-1]}, {"tokens": "a"}, {})]
    ids = json.loads(ask(theirs, "/tokenize", {"model": "prm", "prompt": texts[3]})[2])["tokens"]
    others += [("/pooling", {"input": i}) for i in (ids, [ids], [ids, ids[:9] + ids])]
    encodings = [{"encoding_format": f, "embed_dtype": d, "endianness": e} for f in ("base64", "bytes", "bytes_only") for d in SIZES for e in ("native", "big", "little")]
    served, refused, differ = 0, 0, []
    for path, body in [("/pooling", c) for c in cases] + others + [("/pooling", {"input": texts[1:3], **e}) for e in encodings]:
        try:
            if compare(theirs, ours, path, {"model": "prm", **body}):
                served += 1
            else:
                refused += 1
        except AssertionError as error:
            differ.append(str(error))
    print(f"vLLM's server and prm serve: {served} requests answered alike, {refused} refused by both, {len(differ)} answered otherwise", *differ, sep="\n")
    return bool(differ)


def compare(theirs, ours, path, body):
    """Whether both servers answer, and alike; False where both refuse."""
    (code, head, text), (mine, my_head, my_text) = ask(theirs, path, body), ask(ours, path, body)
    head, my_head = ({k.lower(): v for k, v in h.items()} for h in (head, my_head))
    say = f"{path} { {k: v for k, v in body.items() if k not in ('input', 'model') or v == 'another'} }"
    assert code < 500 and mine < 500 and (code == 200) == (mine == 200), f"{say}: {code} {text[:200]} and {mine} {my_text[:200]}"
    if code != 200:
        return False
    form, dtype, order = (body.get(k) for k in ("encoding_format", "embed_dtype", "endianness"))
    lists = []
    if form in ("bytes", "bytes_only"):
        lists = [(text, my_text)]
        assert head["content-type"] == my_head["content-type"], say
        assert ("metadata" in head) == ("metadata" in my_head) == (form == "bytes"), say
        same(*(json.loads(h.get("metadata", "0")) for h in (head, my_head)), say)
    else:
        a, b = json.loads(text), json.loads(my_text)
        if form == "base64":
            lists = [(base64.b64decode(x.pop("data")), base64.b64decode(y.pop("data"))) for x, y in zip(a["data"], b["data"], strict=True)]
        same(a, b, say)
    for x, y in lists:
        assert len(x) == len(y), f"{say}: {len(x)} and {len(y)} bytes"
        off = max(abs(p - q) for p, q in zip(numbers(x, dtype, order), numbers(y, dtype, order)))
        assert off <= {"float32": 1e-5, "float16": 1e-3, "bfloat16": 8e-3}.get(dtype, 1), f"{say}: {off} apart"
    return True


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
