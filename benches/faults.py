#!/usr/bin/env python3
"""A run against a service that fails in six ways, beside a faultless one: are results equal, is every request told?

The kit's stub with 5% each of 429, 500, no answer, malformed, truncated and slow, and an answer rule that has the right
final answer for every other question; the six-node chain of `tenants/hotpotqa` over questions and passages of the data.

  benches/faults.py --fapo target/release/fapo --kit KIT --data DATA
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.request

from peers import ROOT, must, use_component

FAULTS = ["--p-429", 0.05, "--retry-after-s", 1, "--p-500", 0.05, "--p-timeout", 0.05, "--hang-ms", 30_000,
          "--p-malformed", 0.05, "--p-truncated", 0.05, "--p-loris", 0.05]
KEY = "sk-canary-of-the-fault-bench"


def repository(args, folder, rows):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "tenants/hotpotqa", folder / "tenants/hotpotqa")
    use_component(args.fapo, folder, "hotpotqa")
    with open(args.data / "wiki_corpus/wiki_corpus.jsonl") as passages, open(folder / "corpus.jsonl", "w") as out:
        for n, passage in enumerate(map(json.loads, passages)):
            text = passage["text"] if isinstance(passage["text"], str) else " ".join(passage["text"])
            out.write(json.dumps({"id": str(n), "title": passage.get("title", ""), "text": text}) + "\n")
    (folder / "fapo.toml").write_text(
        f'[models.stub]\nprovider = "openai"\norigin = "http://127.0.0.1:{args.port}/v1"\nmodel = "stub"\n'
        'timeout_ms = 3000\nkey_env = "BENCH_KEY"\n[indexes.wiki]\ncorpus = "corpus.jsonl"\n'
        '[tenants.hotpotqa.models]\ntask = ["stub"]\n[tenants.hotpotqa.indexes]\nwiki = "wiki"\n')
    with open(folder / "tenants/hotpotqa/datasets/bench.jsonl", "w") as out:
        for row in rows:
            out.write(json.dumps({"case_id": row["case_id"], "task_type": "multihop_qa", "metadata": {},
                                  "context": {"question": row["question"]}, "expected": {"answer": row["answer"]}}) + "\n")
    with open(folder / "answers.jsonl", "w") as out:
        for row in rows[::2]:
            reply = f"[[ ## reasoning ## ]]\nseen\n\n[[ ## answer ## ]]\n{row['answer']}\n\n[[ ## completed ## ]]"
            out.write(json.dumps({"contains": [row["question"]], "when": ["Answer the question with the help"],
                                  "reply": reply}) + "\n")
    config = json.loads((ROOT / "tenants/hotpotqa/configs/scripted.json").read_text())
    config |= {"provider": "openai", "max_workers": 32, "output_dir": "run",
               "provider_settings": {"model": "stub", "temperature": 0.0, "max_tokens": 1000},
               "dataset": {"path": "tenants/hotpotqa/datasets/bench.jsonl"}}
    (folder / "bench.json").write_text(json.dumps(config))
    must([args.fapo, "index", "build", "wiki"], folder)


def run(args, folder, faults):
    """One run from nothing: its results by case, what it says of itself, and what the stub counted."""
    for made in ("fapo-work/run", "fapo-work/cache/replies"):
        shutil.rmtree(folder / made, ignore_errors=True)
    command = [args.kit, "stub", "--listen", f"127.0.0.1:{args.port}", "--seed", 7, "--answers", folder / "answers.jsonl"]
    stub = subprocess.Popen([str(part) for part in [*command, *faults]], stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        ran = subprocess.run([args.fapo, "eval", "--config", "bench.json", "--json"], cwd=folder, capture_output=True, text=True)
        stats = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{args.port}/stats").read())
    finally:
        stub.terminate()
        stub.wait()
    if ran.returncode != 0:
        sys.exit(f"the run ended with {ran.returncode}: {ran.stdout[-500:]}{ran.stderr[-500:]}")
    lines = {line["kind"]: line for line in map(json.loads, ran.stdout.splitlines())}
    keys = ("output_text", "step_outputs", "composite_score", "score_breakdown")
    rows = [json.loads(line) for line in open(folder / "fapo-work/run/results.jsonl")]
    files = [path for path in (folder / "fapo-work").rglob("*") if path.is_file()]
    seen = [path.name for path in files if KEY.encode() in path.read_bytes()]
    if KEY in ran.stdout + ran.stderr:
        seen.append("output")
    return {row["case_id"]: [row[key] for key in keys] for row in rows}, lines, stats, seen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fapo", required=True, type=lambda path: pathlib.Path(path).resolve(), help="the program, built for release")
    parser.add_argument("--kit", required=True, help="the kit's binary")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="the folder with `hotpotqa` and `wiki_corpus`")
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--work", default="/tmp/fapo-faults", type=pathlib.Path)
    parser.add_argument("--port", type=int, default=18_091)
    args = parser.parse_args()
    os.environ["BENCH_KEY"] = KEY
    rows = [json.loads(line) for line in open(args.data / "hotpotqa/cases_unified.jsonl")][:args.cases]
    repository(args, args.work, rows)
    calm, faulty = run(args, args.work, []), run(args, args.work, FAULTS)
    for name, (_, lines, stats, seen) in (("calm", calm), ("faulty", faulty)):
        print(f"{name}: mean {lines['run']['composite']['mean']:.2f}, {lines['run']['errors']} with a fault, "
              f"{lines['usage']['calls']} calls; requests: {lines['usage']['requests']} told by the run, "
              f"{stats['requests']} by the stub, {stats['ok']} answered; the key in {', '.join(seen) or 'nothing'}")
    equal = sum(calm[0][case] == faulty[0][case] for case in calm[0])
    print(f"{equal} of {len(rows)} cases equal")
    told = all(lines["usage"]["requests"] == stats["requests"] for _, lines, stats, _ in (calm, faulty))
    shutil.rmtree(args.work)
    sys.exit(0 if equal == len(rows) and told and not (calm[3] or faulty[3]) else 1)


if __name__ == "__main__":
    main()
