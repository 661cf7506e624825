#!/usr/bin/env python3
"""Evaluations beside a native program that does the same work and, where it is given, a LangGraph one.

The six-node chain of `tenants/hotpotqa` over a stub model server of given latency: cases a second, processor time a
case, efficiency (ideal wall time over actual) and peak memory, alternately, so that a machine whose speed changes hits
all alike. Needs the kit of peer benchmarks (its binary, and for LangGraph its scripts and a Python that has them).

  benches/peers.py --fapo target/release/fapo --kit KIT --plan 64:0:300:3,64:50:512:3,512:500:1536:2
"""
import argparse
import csv
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
CALLS = 4


def post(url, path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"content-type": "application/json"})
    return urllib.request.urlopen(request).read()


def measured(command, cwd=None, env=None):
    """Runs a command to its end: seconds, processor seconds, peak MiB, exit code, stdout."""
    began = time.perf_counter()
    child = subprocess.Popen([str(c) for c in command], cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, child.returncode, said.decode()


def must(command, folder):
    """As `measured`, for a command that must end well: seconds, processor seconds, peak MiB, stdout."""
    wall, cpu, rss, code, said = measured(command, cwd=folder)
    if code != 0:
        sys.exit(f"{command} ended with {code}: {said}")
    return wall, cpu, rss, said


def use_component(program, folder, tenant):
    """Puts the tenant's component into its copy in `folder`, so that no run compiles Rust."""
    manifest = folder / "tenants" / tenant / "tenant.toml"
    built = subprocess.run([program, "tenant", "build", tenant, "--json"], cwd=ROOT, check=True, capture_output=True,
                           text=True).stdout
    path = next(line["path"] for line in map(json.loads, built.splitlines()) if "path" in line)
    shutil.copy(ROOT / path, folder / "tenants" / tenant / f"{tenant}.wasm")
    manifest.write_text(manifest.read_text().replace('"crate"', f'"tenants/{tenant}/{tenant}.wasm"'))


class Fapo:
    """A repository with `hotpotqa` over the stub, in a folder of its own."""

    def __init__(self, program, folder, corpus, docs, url):
        self.program, self.folder, self.url = pathlib.Path(program).resolve(), pathlib.Path(folder), url
        if self.docs() != docs:
            shutil.rmtree(self.folder, ignore_errors=True)
            (self.folder / "tenants").mkdir(parents=True)
            shutil.copytree(ROOT / "tenants/hotpotqa", self.folder / "tenants/hotpotqa")
            with open(corpus) as lines, open(self.folder / "corpus.jsonl", "w") as out:
                for n, line in zip(range(docs), lines):
                    row = json.loads(line)
                    out.write(json.dumps({"id": str(n), "title": row.get("title", ""), "text": row["text"]}) + "\n")
            (self.folder / "fapo.toml").write_text(
                f'[models.stub]\nprovider = "openai"\norigin = "{url}/v1"\nmodel = "stub"\ntimeout_ms = 120000\n'
                '[indexes.wiki]\ncorpus = "corpus.jsonl"\n'
                '[tenants.hotpotqa.models]\ntask = ["stub"]\n[tenants.hotpotqa.indexes]\nwiki = "wiki"\n')
            (self.folder / "docs.txt").write_text(str(docs))
        # Each time: the folder may be one of an earlier build.
        self.must(["index", "build", "wiki"])
        use_component(self.program, self.folder, "hotpotqa")

    def docs(self):
        try:
            return int((self.folder / "docs.txt").read_text())
        except OSError:
            return None

    def must(self, arguments):
        return must([self.program, *arguments], self.folder)

    def cases(self, cases, n):
        rows = [json.loads(line) for line in open(cases)]
        with open(self.folder / "tenants/hotpotqa/datasets/bench.jsonl", "w") as out:
            for at in range(n):
                row = dict(rows[at % len(rows)])
                row["case_id"] = f"case-{at}"
                row["context"] = {"question": row["context"]["question"] + ("" if at < len(rows) else f" {at}")}
                row["expected"] = {"answer": row["expected"]["answer"]}
                out.write(json.dumps(row) + "\n")

    def first(self, conc, n):
        """Seconds from the start of a run to its first case that is at its end and on the disk."""
        self.configure(conc)
        began = time.perf_counter()
        run = subprocess.Popen([self.program, "eval", "--config", "bench.json", "--limit", str(n), "--json"],
                               cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        next(line for line in run.stdout if b'"kind":"case"' in line)
        took = time.perf_counter() - began
        run.stdout.read()
        run.wait()
        return took

    def configure(self, conc):
        config = json.loads((ROOT / "tenants/hotpotqa/configs/scripted.json").read_text())
        config |= {"provider": "openai", "max_workers": conc, "output_dir": "run"}
        config["provider_settings"] = {"model": "stub", "temperature": 1.0, "top_p": 0.95, "max_tokens": 16000}
        config["dataset"] = {"path": "tenants/hotpotqa/datasets/bench.jsonl"}
        (self.folder / "bench.json").write_text(json.dumps(config))
        shutil.rmtree(self.folder / "fapo-work/run", ignore_errors=True)
        shutil.rmtree(self.folder / "fapo-work/cache/replies", ignore_errors=True)

    def run(self, conc, n, further=()):
        self.configure(conc)
        wall, cpu, rss, said = self.must(["eval", "--config", "bench.json", "--limit", str(n), "--json", *further])
        run = next(line for line in map(json.loads, said.splitlines()) if line["kind"] == "run")
        if run["errors"] or run["completed"] != n:
            sys.exit(f"not every case came to its end: {run}")
        return wall, cpu, rss


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fapo", required=True, help="the program, built for release")
    parser.add_argument("--kit", required=True, help="the kit's binary")
    parser.add_argument("--langgraph", help="the kit's LangGraph script")
    parser.add_argument("--python", help="a Python that has LangGraph")
    parser.add_argument("--work", default="/tmp/fapo-peers")
    parser.add_argument("--docs", type=int, default=10_000)
    parser.add_argument("--plan", default="64:0:300:3", help="cases side by side:latency in ms:cases:repeats, …")
    parser.add_argument("--port", type=int, default=18_090)
    args = parser.parse_args()
    work = pathlib.Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{args.port}"
    if not (work / "corpus.jsonl").exists():
        subprocess.run([args.kit, "corpus", "--docs", str(args.docs), "--out", work], check=True)
    stub = subprocess.Popen([args.kit, "stub", "--listen", f"127.0.0.1:{args.port}"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(url + "/v1/models").read()
                break
            except OSError:
                time.sleep(0.1)
        compare(args, work, url)
    finally:
        stub.terminate()
        stub.wait()


def compare(args, work, url):
    cases = work / "cases.jsonl"
    fapo = Fapo(args.fapo, work / "repository", work / "corpus.jsonl", args.docs, url)
    print("| program | side by side | latency ms | cases | cases/s | CPU ms a case | efficiency | peak MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for item in args.plan.split(","):
        conc, latency, n, repeats = map(int, item.split(":"))
        post(url, "/config", {"latency_ms": latency, "sigma": 0})
        fapo.cases(cases, max(n, 1))
        rows = {}
        for _ in range(repeats):
            # What a start costs is taken off: the native program counts from its first case, too.
            start_wall, start_cpu, _ = fapo.run(1, 1)
            wall, cpu, rss = fapo.run(conc, n)
            alone = CALLS * latency / 1e3
            net, of = wall - (start_wall - alone), n - 1
            ideal = -(-n // conc) * CALLS * latency / 1e3
            rows.setdefault("fapo", []).append((n / net, (cpu - start_cpu) * 1e3 / of, ideal / net, ideal / wall, rss))
            for name, command in peers(args, work, url, conc, latency, n):
                row = row_of(command, work)
                rows.setdefault(name, []).append((float(row["cases_per_s"]), float(row["cpu_ms_per_case"]),
                                                  float(row["efficiency"]), None, float(row["peak_rss_mib"])))
        if latency == 0 and n >= 300:
            took = sorted(fapo.first(conc, 300) for _ in range(9))
            print(f"first case of 300 after {took[4] * 1e3:.0f} ms (median of nine; {took[0] * 1e3:.0f} to {took[-1] * 1e3:.0f})")
        for name, runs in rows.items():
            rate, cpu, net, whole, rss = (statistics.median(column) if column[0] is not None else None for column in zip(*runs))
            efficiency = "" if latency == 0 else f"{net:.2f}" + (f" ({whole:.2f} with its start)" if whole else "")
            print(f"| {name} | {conc} | {latency} | {n} | {rate:.0f} | {cpu:.2f} | {efficiency} | {rss:.0f} |", flush=True)


def peers(args, work, url, conc, latency, n):
    common = ["--url", url + "/v1", "--corpus", work / "corpus.jsonl", "--cases", work / "cases.jsonl", "--docs", args.docs]
    yield "native", [args.kit, "chain", *common, "--conc", conc, "--latency-ms", latency, "--n", n, "--repeats", 1,
                     "--progress-ms", 100, "--out", work / "native", "--header"]
    if args.langgraph:
        yield "LangGraph", [args.python or sys.executable, args.langgraph, *common, "--plan", f"{conc}:{latency}:{n}:1",
                            "--progress-ms", 100, "--provider", "openai", "--out", work / "langgraph",
                            "--csv", work / "langgraph.csv"]


def row_of(command, work):
    """The row of a peer's own measurement."""
    table = work / "langgraph.csv"
    table.unlink(missing_ok=True)
    _, _, _, code, said = measured(command)
    if code != 0:
        sys.exit(f"{command[0]} ended with {code}")
    return list(csv.DictReader(open(table) if table.exists() else said.splitlines()))[-1]


if __name__ == "__main__":
    main()
