#!/usr/bin/env python3
"""Searches beside bm25s: the same passages found, and processor time a query.

For each number of documents of the kit's corpus: bm25s with numba and `fapo index search`, alternately. With `--parity`,
also the questions of a file on passages of a file (as the kit's `convert` writes both), held against bm25s. Needs the
kit, its Python scripts, and a Python that has bm25s and numba.

  benches/retrieval.py --fapo target/release/fapo --kit KIT --scripts SCRIPTS --python VENV/bin/python --sizes 10000 100000
"""
import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import sys

K = 7


def index(fapo, folder, corpus, docs):
    """An index of the first documents, their place as id."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(corpus) as lines, open(folder / "corpus.jsonl", "w") as out:
        for n, line in zip(range(docs), lines):
            out.write(json.dumps({"id": f"{n:08}", "text": json.loads(line)["text"]}) + "\n")
    (folder / "fapo.toml").write_text('[indexes.bench]\ncorpus = "corpus.jsonl"\n')
    subprocess.run([fapo, "index", "build"], cwd=folder, check=True, capture_output=True)


def search(fapo, folder, queries):
    """The lists, and microseconds a query."""
    said = subprocess.run([fapo, "index", "search", "bench", "--queries", queries, "--k", str(K), "--json"], cwd=folder,
                          check=True, capture_output=True, text=True).stdout
    *found, last = map(json.loads, said.splitlines())
    lists = [{"ids": [int(h["passage_id"]) for h in line["hits"]], "scores": [h["score"] for h in line["hits"]]} for line in found]
    return lists, last["seconds"] * 1e6 / last["queries"]


def bm25s(args, corpus, queries, docs, out):
    table = pathlib.Path(args.work) / "bm25s.csv"
    table.unlink(missing_ok=True)
    subprocess.run([args.python, pathlib.Path(args.scripts) / "bm25_bench.py", "--corpus", corpus, "--queries", queries,
                    "--limit", str(docs), "--engine", "bm25s-numba", "--queries-max", "100000", "--threads", "1",
                    "--repeats", str(args.repeats), "--csv", table, "--out", out], check=True, capture_output=True)
    rows = [row for row in csv.DictReader(open(table)) if row["phase"] == "query"]
    return statistics.median(float(row["cpu_us_each"]) for row in rows)


def write_lists(lists, queries, out):
    with open(out, "w") as file:
        for row, found in zip(map(json.loads, open(queries)), lists):
            file.write(json.dumps({"qid": row["qid"], **found}) + "\n")


def compared(args, reference, ours):
    said = subprocess.run([args.python, pathlib.Path(args.scripts) / "compare_topk.py", reference, ours], check=True,
                          capture_output=True, text=True).stdout
    return dict(zip(said.splitlines()[0].split(), said.splitlines()[1].split()))


def bench(args, name, corpus, queries, docs):
    work, fapo = pathlib.Path(args.work), pathlib.Path(args.fapo).resolve()
    folder, reference, ours = work / f"index-{name}", work / f"bm25s-{name}.jsonl", work / f"fapo-{name}.jsonl"
    index(fapo, folder, corpus, docs)
    times = []
    theirs = bm25s(args, corpus, queries, docs, reference)
    for _ in range(args.repeats):
        lists, micros = search(fapo, folder, pathlib.Path(queries).resolve())
        times.append(micros)
    write_lists(lists, queries, ours)
    same = compared(args, reference, ours)
    mine = statistics.median(times)
    print(f"| {name} | {docs} | {same['queries']} | {same['same_set_but_ties']} | {same['same_set']} | {mine:.0f} | {theirs:.0f} | {mine / theirs:.2f} |",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fapo", required=True)
    parser.add_argument("--kit", required=True)
    parser.add_argument("--scripts", required=True, help="folder of the kit's Python scripts")
    parser.add_argument("--python", default=sys.executable, help="a Python that has bm25s and numba")
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--parity", nargs=3, metavar=("NAME", "CORPUS", "CASES"), help="passages and cases, as `convert` writes them")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", default="/tmp/fapo-retrieval")
    args = parser.parse_args()
    work = pathlib.Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    corpus = work / "corpus.jsonl"
    most = max(args.sizes, default=0)
    if most and (not corpus.exists() or sum(1 for _ in open(corpus)) < most):
        subprocess.run([args.kit, "corpus", "--docs", str(most), "--out", work], check=True)
    print("| corpus | documents | queries | same top 7, ties aside | same top 7 | fapo us | bm25s with numba us | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    if args.parity:
        name, passages, cases = args.parity
        queries = work / f"queries-{name}.jsonl"
        with open(queries, "w") as out:
            for n, row in enumerate(map(json.loads, open(cases))):
                question = row.get("question") or row["context"]["question"]
                out.write(json.dumps({"qid": n, "question": question}) + "\n")
        bench(args, name, passages, queries, sum(1 for _ in open(passages)))
    for size in args.sizes:
        bench(args, f"kit-{size}", corpus, work / "queries.jsonl", size)


if __name__ == "__main__":
    main()
