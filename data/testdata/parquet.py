"""Writes parquet/: small files in the schemas of the published data sets, and one of every type that is read, by pyarrow,
which is what Hugging Face writes with. Beside each lies NAME.jsonl, the same rows as JSON lines.

Made with pyarrow 26.0.1: python3 parquet.py
"""
import datetime
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "parquet")
STRING, STRINGS = pa.string(), pa.list_(pa.string())


def write(name, fields, rows, twin=None, **options):
    table = pa.Table.from_pylist(rows, schema=pa.schema(fields))
    pq.write_table(table, f"{OUT}/{name}.parquet", store_schema=False, **options)
    with open(f"{OUT}/{twin or name}.jsonl", "w") as f:
        for row in rows:
            f.write(json.dumps(row, ensure_ascii=False, default=plain) + "\n")


def plain(v):
    """Times as the reader writes them: no zeros at the end of a fraction, Z for UTC."""
    text, zone, _ = v.isoformat().partition("+00:00")
    if "." in text:
        text = text.rstrip("0")
    return text + ("Z" if zone else "")


def strings(*names):
    return [(n, STRING) for n in names]


def openthoughts(thought, solution):
    return (f"<|begin_of_thought|>\n\n{thought}\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n{solution}\n\n<|end_of_solution|>")


def conversation(user, assistant):
    return [{"from": "user", "value": user}, {"from": "assistant", "value": assistant}]


ask = "Return your final response within \\boxed{}. "
write("openthoughts", [("system", STRING), ("conversations", pa.list_(pa.struct([("from", STRING), ("value", STRING)])))], [
    {"system": "Your role", "conversations": conversation(ask + "1+1?", openthoughts("One and one.\n\nIs two.", "It is \\boxed{2}"))},
    {"system": "Your role", "conversations": conversation(ask + "What is π?", "<|begin_of_thought|>\n\nNever\n\nclosed")},
    {"system": "Your role", "conversations": conversation("Say hi", "hi")},
], compression="snappy", row_group_size=2)

metadata = strings("problem", "deepseek_reasoning", "deepseek_solution", "ground_truth_solution", "domain", "source", "test_cases", "starter_code")
write("openthoughts_metadata", metadata, [
    {"problem": "1+1?", "deepseek_reasoning": "One and one.\n\nIs two.", "deepseek_solution": "It is \\boxed{2}", "ground_truth_solution": "\\boxed{2}",
     "domain": "math", "source": "numina_math", "test_cases": None, "starter_code": None},
    {"problem": "Sum the input", "deepseek_reasoning": "Read, add.", "deepseek_solution": "print(sum(map(int, input().split())))", "ground_truth_solution": None,
     "domain": "code", "source": "taco", "test_cases": '{"inputs": ["1 2"], "outputs": ["3"]}', "starter_code": "def f():"},
], compression="zstd", data_page_version="2.0")

s1 = strings("solution", "question", "cot_type", "source_type", "metadata")
write("s1k", [*s1, ("cot", pa.null()), ("thinking_trajectories", STRINGS), ("attempt", STRING)], [
    {"solution": "128", "question": "2^7?", "cot_type": "math", "source_type": "qfq830/openaime", "metadata": "{'level': 1}", "cot": None,
     "thinking_trajectories": ["Double seven times.\n\n128"], "attempt": "128"},
    {"solution": "6", "question": "3!?", "cot_type": "math", "source_type": "omni_math", "metadata": "{}", "cot": None,
     "thinking_trajectories": ["1*2", "*3"], "attempt": "6"},
], compression="snappy")

grades = [m + g for m in ("gemini", "deepseek") for g in ("_grade", "_grade_reason")]
s11 = [*s1, *strings("gemini_thinking_trajectory", "gemini_attempt", "deepseek_thinking_trajectory", "deepseek_attempt", *grades)]
write("s1k11", s11, [
    {"solution": "128", "question": "2^7?", "cot_type": "math", "source_type": "aime", "metadata": "{}",
     "gemini_thinking_trajectory": "g thinks", "gemini_attempt": "127", "deepseek_thinking_trajectory": "d thinks", "deepseek_attempt": "128",
     "gemini_grade": "No", "gemini_grade_reason": "off by one", "deepseek_grade": "Yes", "deepseek_grade_reason": "right"},
    {"solution": "6", "question": "3!?", "cot_type": "math", "source_type": "aime", "metadata": "{}",
     "gemini_thinking_trajectory": None, "gemini_attempt": None, "deepseek_thinking_trajectory": "d", "deepseek_attempt": "6",
     "gemini_grade": None, "gemini_grade_reason": None, "deepseek_grade": "Yes", "deepseek_grade_reason": ""},
], compression="gzip")

write("math_shepherd", strings("input", "label", "task"), [
    {"input": "5-3? Step 1: 5-3 = 2. ки\nStep 2: 2*2. The answer is: 4 ки", "label": "5-3? Step 1: 5-3 = 2. +\nStep 2: 2*2. The answer is: 4 -", "task": "GSM8K"},
    {"input": "x?\n\nStep 1: 1 ки", "label": "x?\n\nStep 1: 1 -", "task": "MATH"},
], compression="snappy")

completion = pa.struct([("text", STRING), ("rating", pa.int64()), ("flagged", pa.bool_())])
step = pa.struct([("completions", pa.list_(completion)), ("human_completion", completion), ("chosen_completion", pa.int64())])
question = pa.struct([("problem", STRING), ("ground_truth_solution", STRING), ("ground_truth_answer", STRING), ("pre_generated_steps", STRINGS),
                      ("pre_generated_answer", STRING), ("pre_generated_verifier_score", pa.float64())])
label = pa.struct([("steps", pa.list_(step)), ("total_time", pa.int64()), ("finish_reason", STRING)])
asked = {"problem": "2+2*3?", "ground_truth_solution": "2+6=8", "ground_truth_answer": "8", "pre_generated_steps": ["2*3=6", "8"],
         "pre_generated_answer": "8", "pre_generated_verifier_score": 0.25}


def c(text, rating):
    return {"text": text, "rating": rating, "flagged": None}


write("prm800k", [("labeler", STRING), ("timestamp", STRING), ("generation", pa.int64()), ("is_quality_control_question", pa.bool_()),
                  ("is_initial_screening_question", pa.bool_()), ("question", question), ("label", label)], [
    {"labeler": "l", "timestamp": "2022-07-17T16:56:51.323252", "generation": 9, "is_quality_control_question": False, "is_initial_screening_question": False,
     "question": asked, "label": {"total_time": 1000, "finish_reason": "solution", "steps": [
         {"completions": [c("2+2=4", -1), c("2*3=6", 1), c("Let's see", 0)], "human_completion": None, "chosen_completion": 1},
         {"completions": [c("2+6=9", -1)], "human_completion": c("2+6=8", None), "chosen_completion": None},
         {"completions": [c("# Answer\n\n8", 1)], "human_completion": None, "chosen_completion": 0}]}},
    {"labeler": "m", "timestamp": "2022-07-17T16:56:51.323252", "generation": None, "is_quality_control_question": True, "is_initial_screening_question": False,
     "question": asked, "label": {"total_time": 7, "finish_reason": "found_error", "steps": [
         {"completions": [c("2+2=4", -1)], "human_completion": None, "chosen_completion": None}]}},
], compression="snappy")

write("stepwise", [("prompt", STRING), ("completions", STRINGS), ("labels", pa.list_(pa.bool_()))], [
    {"prompt": "p", "completions": ["a", "b"], "labels": [True, False]},
    {"prompt": "q", "completions": ["c"], "labels": [True]},
], compression="zstd", use_dictionary=False)

utc = datetime.timezone.utc
types = [("question", STRING), ("thinking", pa.large_string()), ("response", STRING), ("yes", pa.bool_()), ("i8", pa.int8()), ("u8", pa.uint8()), ("i32", pa.int32()), ("u32", pa.uint32()),
         ("i64", pa.int64()), ("u64", pa.uint64()), ("f32", pa.float32()), ("f64", pa.float64()), ("day", pa.date32()), ("at", pa.timestamp("us", tz="UTC")),
         ("local", pa.timestamp("ms")), ("grid", pa.list_(pa.list_(pa.int32()))), ("big", pa.large_list(STRING)), ("fixed", pa.list_(pa.float64(), 2)),
         ("nest", pa.struct([("a", pa.int32()), ("b", pa.list_(pa.struct([("c", STRING), ("d", pa.list_(pa.bool_()))])))]))]
rows = []
for i in range(24):
    row = dict.fromkeys(n for n, _ in types)
    row |= {"question": f"q{i % 3}", "thinking": "\n\n".join(f"step {i} {j} é\u2028\"\\<" for j in range(i % 4)), "response": f"r{i}", "fixed": [float(i), 0.5]}
    if i % 5:
        row |= {"yes": i % 2 == 0, "i8": -i, "u8": 200 + i, "i32": -2**31 + i, "u32": 2**32 - 1 - i, "i64": -2**63 + i, "u64": 2**64 - 1 - i, "f32": i / 4, "f64": i / 10,
                "day": datetime.date(1969, 12, 31) + datetime.timedelta(i), "at": datetime.datetime(2024, 1, 2, 3, 4, 5, 250000 * (i % 4), tzinfo=utc),
                "local": datetime.datetime(1960, 1, 2, 3, 4, 5), "grid": [[i], [], None, [1, None, 3]][: i % 5], "big": ["x", None, ""][: i % 4],
                "nest": {"a": None if i % 2 else i, "b": [{"c": "x", "d": [True, None]}, None, {"c": None, "d": None}, {"c": "", "d": []}][: i % 5] if i % 7 else None}}
    rows.append(row)
small = {"row_group_size": 13, "data_page_size": 64, "write_batch_size": 5}
write("types_snappy", types, rows, "types", compression="snappy", **small)
write("types_zstd_v2", types, rows, "types", compression="zstd", data_page_version="2.0", write_page_checksum=True, **small)
write("types_gzip_plain", types, rows, "types", compression="gzip", use_dictionary=False, **small)
write("types_delta_v2", types, rows, "types", compression="none", use_dictionary=False, data_page_version="2.0",
      column_encoding={n: "DELTA_LENGTH_BYTE_ARRAY" for n in ("question", "thinking", "response")} | {n: "DELTA_BINARY_PACKED" for n in ("i32", "i64", "u64")}
      | {"f64": "BYTE_STREAM_SPLIT", "yes": "RLE"}, **small)
