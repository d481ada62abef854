#!/usr/bin/env python3
"""The metrics of prm eval once more, slowly and by their definitions, in plain Python.

  eval_check.py metrics BENCH DATA SCORES [THRESHOLD]     print the metrics as JSON: {group: {name: value}}
  eval_check.py compare BENCH DATA SCORES OUT [THRESHOLD] compare them with what prm eval printed into OUT; exit 1 if they differ
  eval_check.py scores  BENCH DATA                        print scores that are random but always the same
  eval_check.py pairs TRACES.gz                           print pairs of real traces of one question: the larger model's as the better
  eval_check.py synthetic DIR                             write small data of every kind with scores and expected.json
"""
import collections, glob, gzip, hashlib, json, math, os, random, re, sys

CUT = 0.5


def rows(path):
    for name in sorted(glob.glob(path + "/*.jsonl")) if os.path.isdir(path) else [path]:
        for line, text in enumerate(open(name, encoding="utf-8"), 1):
            yield os.path.basename(name)[: -len(".jsonl")] + ":" + str(line), json.loads(text)


def key(problem):
    return " ".join(problem.split())


def cases(bench, path):
    """Every trajectory as (id, group, problem, number of steps, targets, row)."""
    seen = set()
    for place, r in rows(path):
        if bench == "processbench":
            n, label = len(r["steps"]), r["label"]
            targets = [1 if label < 0 or i < label else 0 if i == label else None for i in range(n)]
            yield r["id"], r["id"].rpartition("-")[0], key(r["problem"]), n, targets, r
        elif bench == "prmbench":
            r["idx"] = r["idx"].removeprefix(r["classification"] + "_")
            if r["classification"] == "redundency" and "correct_" + r["idx"] not in seen:
                seen.add("correct_" + r["idx"])
                n = len(r["original_process"])
                yield "correct_" + r["idx"], "correct", key(r["original_question"]), n, [1] * n, r
            id = r["classification"] + "_" + r["idx"]
            if id not in seen:
                seen.add(id)
                n = len(r["modified_process"])
                yield id, r["classification"], key(r["modified_question"]), n, [0 if i + 1 in r["error_steps"] else 1 for i in range(n)], r
        elif bench == "deltabench":
            text, sections = r["sections_content"], []
            for line in text.split("\n"):
                head = re.match(r"section(\d+):", line)
                if head and int(head.group(1)) == len(sections) + 1:
                    sections.append(line[head.end():])
                elif sections:
                    sections[-1] += "\n" + line
            wrong = set(r["reason_error_section_numbers"]) | set(r["reason_unuseful_section_numbers"])
            if wrong:
                targets = [None if i + 1 > max(wrong) else int(i + 1 not in wrong) for i in range(len(sections))]
                yield str(r["id"]), r["task_l1"], key(r["question"]), len(sections), targets, r
        elif bench == "steps":
            steps = r.get("steps", []) + r.get("response_steps", [])
            targets = r["labels"].get("steps", [])
            yield r.get("id") or place, "", key(r["problem"]), len(steps), targets + [None] * (len(steps) - len(targets)), r
        elif bench == "pairs":
            for side in ("better", "worse"):
                t = r[side]
                yield r["id"] + "/" + side, side, key(r["problem"]), len(t.get("steps", []) + t.get("response_steps", [])), [], t


def div(a, b):
    return a / b if b else None


def won(good, bad):
    return sum((g > b) + (g == b) / 2 for g in good for b in bad)


def auroc(good, bad):
    return div(won(good, bad), len(good) * len(bad))


def grouped_auroc(items):
    """items: (group, score, good); the pairs lie within one group."""
    good, bad = collections.defaultdict(list), collections.defaultdict(list)
    for g, score, is_good in items:
        (good if is_good else bad)[g].append(score)
    return div(sum(won(good[g], bad[g]) for g in good), sum(len(good[g]) * len(bad[g]) for g in good))


def average_precision(items):
    """items: (how early it is taken, whether it is sought)"""
    sought, area, recall = sum(s for _, s in items), 0.0, 0.0
    if not sought:
        return None
    for cutoff in sorted({k for k, _ in items}, reverse=True):
        taken = [s for k, s in items if k >= cutoff]
        r = sum(taken) / sought
        area, recall = area + (r - recall) * sum(taken) / len(taken), r
    return area


def ranking(list_, scores, calibrated):
    items = [(c[0], c[2], scores[c[0]][i], t) for c in list_ for i, t in enumerate(c[4]) if t is not None]
    good, bad = [s for _, _, s, t in items if t >= CUT], [s for _, _, s, t in items if t < CUT]
    out = {"step_auroc": auroc(good, bad),
           "within_auroc": grouped_auroc([(id, s, t >= CUT) for id, _, s, t in items]),
           "within_problem_auroc": grouped_auroc([(p, s, t >= CUT) for _, p, s, t in items]),
           "auprc": average_precision([(s, t >= CUT) for _, _, s, t in items]),
           "auprc_error": average_precision([(-s, t < CUT) for _, _, s, t in items])}
    if calibrated:
        out["brier"] = sum((s - t) ** 2 for _, _, s, t in items) / len(items)
        bins = collections.defaultdict(list)
        for _, _, s, t in items:
            bins[min(14, max(0, math.floor(s * 15)))].append(s - t)
        out["ece"] = sum(abs(sum(b)) for b in bins.values()) / len(items)
    return out


def first_errors(list_, scores, threshold):
    hits = {True: [], False: []}
    for id, _, _, _, targets, _ in list_:
        labelled = [(i, t) for i, t in enumerate(targets) if t is not None]
        if labelled:
            truth = next((i for i, t in labelled if t < CUT), -1)
            said = next((i for i, _ in labelled if scores[id][i] < threshold), -1)
            hits[truth >= 0].append(said == truth)
    err, corr = div(sum(hits[True]), len(hits[True])), div(sum(hits[False]), len(hits[False]))
    f1 = None if None in (err, corr) else 2 * err * corr / (err + corr) if err + corr else 0
    return err, corr, f1


def harmonic_counts(hit, alarm, miss):
    return div(2 * hit, 2 * hit + alarm + miss)


def prmbench(list_, scores, threshold):
    groups = collections.defaultdict(collections.Counter)
    said = {c[0]: [s > threshold for s in scores[c[0]]] for c in list_}
    for id, group, _, n, targets, row in list_:
        of = [groups[group]] + ([groups["total"]] if group != "correct" else [])
        for g in of:
            for t, s in zip(targets, said[id]):
                g[("T" if bool(t) == s else "F") + ("P" if s else "N")] += 1
            if 0 in targets:
                g["first"] += 1
                g["hit"] += not said[id][targets.index(0)]
            original = said.get("correct_" + row["idx"])
            if group != "correct" and original and sum(original):
                g["pairs"] += 1
                g["apart"] += abs(sum(said[id]) / n - sum(original) / len(original))
    out = {}
    for group, g in groups.items():
        tp, fp, tn, fn = g["TP"], g["FP"], g["TN"], g["FN"]
        good, bad = harmonic_counts(tp, fp, fn), harmonic_counts(tn, fn, fp)
        score = good if group == "multi_solutions" else None if group == "correct" or None in (good, bad) else (good + bad) / 2
        out[group] = {"PRMScore": score, "f1": good, "negative_f1": bad, "precision": div(tp, tp + fp), "recall": div(tp, tp + fn),
                      "negative_precision": div(tn, tn + fn), "negative_recall": div(tn, tn + fp), "total_step_acc": div(tp + tn, tp + tn + fp + fn),
                      "correct_step_acc": div(tp, tp + fn), "wrong_step_acc": div(tn, tn + fp), "first_error_acc": div(g["hit"], g["first"]), "similarity": div(g["apart"], g["pairs"])}
    return out


def deltabench(list_, scores, below):
    groups = collections.defaultdict(list)
    for id, group, _, n, targets, _ in list_:
        said = {i for i in range(n) if targets[i] is not None and scores[id][i] < below(scores[id])}
        wrong = {i for i in range(n) if targets[i] == 0}
        hit, alarm, miss = len(said & wrong), len(said - wrong), len(wrong - said)
        p, r = div(hit, hit + alarm) or 0, div(hit, hit + miss) or 0
        for g in ("overall", group):
            groups[g].append((p, r, 2 * p * r / (p + r) if p + r else 0, hit, alarm, miss))
    out = {}
    for g, list_ in groups.items():
        p, r, f, hit, alarm, miss = (sum(x) for x in zip(*list_))
        out[g] = {"precision_macro": p / len(list_), "recall_macro": r / len(list_), "f1_score_macro": f / len(list_), "precision_micro": div(hit, hit + alarm) or 0,
                  "recall_micro": div(hit, hit + miss) or 0, "f1_micro": harmonic_counts(hit, alarm, miss) or 0}
    return out


def pairs(list_, lines):
    rewards, length = {}, {}
    for id, _, _, _, _, t in list_:
        s = lines[id]
        rewards[id] = sum(s["scores"]) / len(s["scores"]) + (s.get("trajectory") or 0)
        length[id] = sum(len(x) for x in t.get("steps", []) + t.get("response_steps", []))
    all_ = [(b[0], w[0]) for b, w in zip(list_[::2], list_[1::2])]
    matched = [(b, w) for b, w in all_ if max(length[b], length[w]) <= 1.25 * min(length[b], length[w])]
    acc = lambda some: div(sum(won([rewards[b]], [rewards[w]]) for b, w in some), len(some))
    roc = lambda some: auroc([rewards[b] for b, _ in some], [rewards[w] for _, w in some])
    low, high = min(rewards.values()), max(rewards.values())
    bin_ = lambda v: min(19, int((v - low) / (high - low) * 20)) if high > low else 0
    count = [collections.Counter(bin_(rewards[p[k]]) for p in all_) for k in (0, 1)]
    return {"all": {"auroc": roc(all_), "accuracy": acc(all_), "overlap": sum(min(count[0][b], count[1][b]) for b in range(20)) / len(all_)},
            "length_matched": {"auroc": roc(matched), "accuracy": acc(matched), "pairs": len(matched)}}


def metrics(bench, data, scores_path, threshold):
    list_ = list(cases(bench, data))
    lines = {r["id"]: r if "scores" in r else r | {"scores": [step["score"] for step in r["steps"]]} for _, r in rows(scores_path)}
    if bench == "pairs":
        return pairs(list_, lines)
    scores = {id: r["scores"] for id, r in lines.items()}
    if bench == "processbench":
        out = {}
        for g in {c[1] for c in list_}:
            out[g] = dict(zip(("acc_err", "acc_corr", "f1"), first_errors([c for c in list_ if c[1] == g], scores, threshold)))
        out["average"] = {"f1": sum(m["f1"] for m in out.values()) / len(out)}
    elif bench == "prmbench":
        out = prmbench(list_, scores, threshold)
    elif bench == "deltabench":
        out = deltabench(list_, scores, lambda _: threshold)
        deviation = lambda s: math.sqrt(sum((v - sum(s) / len(s)) ** 2 for v in s) / len(s))
        out["outlier"] = deltabench(list_, scores, lambda s: sum(s) / len(s) - deviation(s))["overall"]
    out.setdefault("all", {}) if bench != "steps" else None
    if bench == "steps":
        said = [(t >= CUT, scores[c[0]][i] >= threshold) for c in list_ for i, t in enumerate(c[4]) if t is not None]
        f1 = [harmonic_counts(said.count((k, k)), said.count((not k, k)), said.count((k, not k))) for k in (True, False)]
        out = {"all": dict(zip(("first_error_acc_err", "first_error_acc_corr", "first_error_f1"), first_errors(list_, scores, threshold)))}
        out["all"]["step_macro_f1"] = None if None in f1 else sum(f1) / 2
    out["all"].update(ranking(list_, scores, bench == "steps"))
    return out


def fixed_scores(bench, data):
    for id, _, _, n, _, _ in cases(bench, data):
        draw = lambda i: int(hashlib.sha256(f"{id}/{i}".encode()).hexdigest()[:8], 16) / 2**32
        row = {"id": id, "scores": [round(draw(i), 3) for i in range(n)]}
        if bench == "pairs":
            row["trajectory"] = round(draw("whole"), 3)
        yield row


def real_pairs(path):
    sides = {"deepseek-r1-distill-qwen-32b": "better", "deepseek-r1-distill-qwen-1.5b": "worse"}
    found = collections.defaultdict(dict)
    for text in gzip.open(path, "rt", encoding="utf-8"):
        r = json.loads(text)
        if r["model"] in sides:
            cut = lambda part: [s for s in (part or "").split("\n\n") if s.strip()]
            row = found[r["id"]] | {"id": r["id"], "problem": r["question"]}
            found[r["id"]] = row | {sides[r["model"]]: {"steps": cut(r["thinking"]), "response_steps": cut(r["response"])}}
    return [row for row in found.values() if all(row.get(side, {}).get("steps") for side in sides.values())]


def synthetic(folder):
    r = random.Random(7)
    words = lambda n: " ".join(r.choice(["so", "then", "we", "add", "two", "and", "get", "é", "x = 3"]) for _ in range(r.randint(1, n)))
    data = collections.defaultdict(list)
    for i in range(40):
        n = r.randint(1, 6)
        data["processbench"].append({"id": ("easy-", "hard-")[i % 2] + str(i), "generator": "none", "problem": f"Problem  {i // 3}?", "steps": [words(8) for _ in range(n)],
                                     "final_answer_correct": True, "label": r.choice([-1] + list(range(n)))})
    classes = ["redundency", "circular", "confidence", "multi_solutions"]
    for i in range(32):
        n, class_ = r.randint(2, 7), classes[i % 4]
        wrong = [] if class_ == "multi_solutions" else sorted(r.sample(range(1, n + 2), r.randint(1, 2)))
        data["prmbench"].append({"original_question": f"Question {i // 4}?", "modified_question": f"Question {i // 4}, changed?", "original_process": [words(6) for _ in range(r.randint(2, 5))],
                                 "modified_process": [words(6) for _ in range(n)], "modified_steps": wrong, "error_steps": wrong, "reason": "", "idx": f"p{i // 4}", "question": "", "classification": class_})
    for i in range(24):
        n = r.randint(2, 8)
        wrong = r.sample(range(1, n + 1), r.randint(1, 2))
        text = "".join(f"section{k}:\n{words(9)} as section1: said\n\n" for k in range(1, n + 1))
        data["deltabench"].append({"id": i, "task_l1": ("math", "code")[i % 2], "question": f"Task {i // 2}?", "sections_content": text, "reason_error_section_numbers": wrong[:1], "reason_unuseful_section_numbers": wrong[1:]})
    for i in range(30):
        steps, response = [words(5) for _ in range(r.randint(1, 5))], [words(5)]
        data["steps"].append({"id": f"t{i}", "problem": f"P{i // 4}", "steps": steps, "response_steps": response,
                              "labels": {"steps": [r.choice([0, 0.3, 0.5, 1, None]) for _ in range(len(steps) + r.randint(0, 1))]}})
        data["pairs"].append({"id": f"q{i}", "problem": f"P{i // 2}", "better": {"steps": steps}, "worse": {"steps": [words(5) for _ in range(r.randint(1, 5))], "response_steps": response}})
    expected = {}
    for bench, list_ in data.items():
        for name, lines in ((bench, list_), (bench + ".scores", None)):
            with open(f"{folder}/{name}.jsonl", "w", encoding="utf-8") as f:
                for row in lines or fixed_scores(bench, f"{folder}/{bench}.jsonl"):
                    f.write(json.dumps(row, ensure_ascii=False) + "\n")
        expected[bench] = metrics(bench, f"{folder}/{bench}.jsonl", f"{folder}/{bench}.scores.jsonl", 0.5)
    json.dump(expected, open(folder + "/expected.json", "w"), indent=1, sort_keys=True)


def compare(want, got):
    bad = n = 0
    for group, values in want.items():
        for name, value in values.items():
            other, n = got.get(group, {}).get(name, "missing"), n + 1
            if other == "missing" or (value is None) != (other is None) or value is not None and abs(value - other) > 1e-9:
                bad += 1
                print(f"{group} {name}: {value} here, {other} there")
    extra = sum(len(v) for v in got.values()) - n
    print(f"{n - bad} of {n} metrics agree" + (f", {extra} more there" if extra else ""))
    return bad + extra


def main(verb, *args):
    if verb == "synthetic":
        synthetic(*args)
    elif verb == "pairs":
        for row in real_pairs(*args):
            print(json.dumps(row))
    elif verb == "scores":
        for row in fixed_scores(*args):
            print(json.dumps(row))
    elif verb == "metrics":
        print(json.dumps(metrics(*args[:3], float(args[3]) if len(args) > 3 else 0.5), indent=1, sort_keys=True))
    elif verb == "compare":
        want = metrics(*args[:3], float(args[4]) if len(args) > 4 else 0.5)
        sys.exit(compare(want, json.load(open(args[3]))["metrics"]) > 0)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("metrics", "compare", "scores", "pairs", "synthetic"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
