#!/usr/bin/env python3
"""What scoring a case costs, sandbox included: the scorer's time in the records of `fapo score`, tenant by tenant.

    cargo build --release --locked
    python3 benches/scoring.py target/release/fapo [DATA]

DATA is a folder with published files and recorded answers (`livebench_math`, `hotpotqa`, `cti_rcm`); what it lacks is
left out. The tenants' own cases are scored in any case.
"""

import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

FAPO = pathlib.Path(sys.argv[1]).resolve()
DATA = pathlib.Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else None
ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = pathlib.Path(tempfile.mkdtemp())


def rows(path):
    return [json.loads(line) for line in open(path)] if path.exists() else []


def run(*arguments):
    ended = subprocess.run([FAPO, *arguments, "--work", WORK / "work"], cwd=ROOT, capture_output=True, text=True)
    if ended.returncode not in (0, 5):
        sys.exit(ended.stderr)


def told(name, folder, part=lambda row: "all"):
    times = {}
    for row in rows(pathlib.Path(folder) / "results.jsonl"):
        if row["fapo"]["fault"] is None:
            times.setdefault(part(row), []).append(row["fapo"]["used"]["scorer"]["wall"]["guest"] * 1e6)
    for kind, each in sorted(times.items()):
        each.sort()
        p95 = each[int(len(each) * 0.95)]
        print(f"{name:16} {kind:12} {len(each):5} cases  median {statistics.median(each):7.0f} us  p95 {p95:7.0f} us")


def score(tenant, cases, outputs, part=lambda row: "all"):
    given = WORK / "outputs.jsonl"
    given.write_text("".join(json.dumps(row) + "\n" for row in outputs))
    folder = WORK / f"scored-{tenant}"
    files = [argument for file in cases for argument in ("--cases", file)]
    run("score", "--tenant", tenant, *files, "--outputs", given, "--output-dir", folder, "--fresh", "--max-workers", "1")
    told(tenant, folder, part)


def livebench():
    names = ["AMPS_Hard", "math_comp", "olympiad"]
    files = [DATA / "livebench_math" / f"{name}.question.jsonl" for name in names]
    if not all(file.exists() for file in files):
        return
    task = {row["question_id"]: row["task"] for file in files for row in rows(file)}
    answers = [row for name in names for row in rows(DATA / "livebench_math" / f"{name}.answers.jsonl")]
    last = {row["question_id"]: row["answer"] for row in answers}
    outputs = [{"case_id": id, "output_text": text} for id, text in last.items()]
    score("livebench_math", files, outputs, lambda row: task[row["case_id"]])


def hotpotqa():
    predicted = rows(DATA / "hotpotqa" / "predictions_em_f1.jsonl")
    if predicted:
        cases = WORK / "hotpot.jsonl"
        row = lambda n, p: {"case_id": str(n), "question": str(n), "answer": p["gold"]}
        cases.write_text("".join(json.dumps(row(n, p)) + "\n" for n, p in enumerate(predicted)))
        score("hotpotqa", [cases], [{"case_id": str(n), "output_text": p["prediction"]} for n, p in enumerate(predicted)])


def ctibench():
    table, log = DATA / "cti_rcm" / "cti-rcm.tsv", DATA / "cti_rcm" / "log-gpt3-cti-rcm.txt"
    if table.exists() and log.exists():
        said = re.split(r"#####(\d+)#####", log.read_text())
        outputs = [{"case_id": n, "output_text": text} for n, text in zip(said[1::2], said[2::2])]
        known = {str(n) for n in range(1000)}
        score("ctibench_rcm", [table], [row for row in outputs if row["case_id"] in known])


for tenant, index in [("aime", None), ("hover", "hover")]:
    if index:
        run("index", "build", index)
    run("eval", "--config", f"tenants/{tenant}/configs/scripted.json", "--output-dir", f"run-{tenant}", "--fresh")
    told(tenant, WORK / "work" / f"run-{tenant}")
if DATA:
    livebench()
    hotpotqa()
    ctibench()
