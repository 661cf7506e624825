#!/usr/bin/env python3
"""The model inside the program beside llama.cpp's server with the same file: tokens a second of processor time.

Both answer the 60 questions of `demo_qa`, the program by itself (`embedded`) and the server over HTTP (`openai`), so
this is also a run against a server that nobody here wrote. Needs a Python with the wheel `xllamacpp`.

  benches/embedded.py --fapo target/release/fapo --python VENV/bin/python
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

from peers import ROOT, measured

SERVER = """
import sys, time, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.hostnames, params.port = sys.argv[1], ["127.0.0.1"], 0
params.n_parallel, params.n_ctx = int(sys.argv[2]), 2048 * int(sys.argv[2])
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[3])
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
time.sleep(86400)
"""


def cpu_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def repository(folder, fapo, address):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "tenants/demo_qa", folder / "tenants/demo_qa")
    built = subprocess.run([fapo, "tenant", "build", "stock", "--json"], cwd=ROOT, check=True, capture_output=True, text=True)
    path = next(line["path"] for line in map(json.loads, built.stdout.splitlines()) if "path" in line)
    shutil.copy(ROOT / path, folder / "tenants/demo_qa/stock.wasm")
    manifest = folder / "tenants/demo_qa/tenant.toml"
    manifest.write_text(manifest.read_text().replace('"stock"', '"tenants/demo_qa/stock.wasm"'))
    rows = [line for split in ("train", "validation", "test")
            for line in open(folder / f"tenants/demo_qa/datasets/{split}.jsonl")]
    (folder / "tenants/demo_qa/datasets/all.jsonl").write_text("".join(rows))
    (folder / "fapo.toml").write_text(
        '[models.inside]\nprovider = "embedded"\n'
        f'[models.server]\nprovider = "openai"\norigin = "{address}/v1"\nmodel = "smollm2"\n'
        '[indexes.demo]\ncorpus = "tenants/demo_qa/datasets/corpus.jsonl"\n'
        '[tenants.demo_qa.models]\ntask = ["inside", "server"]\n[tenants.demo_qa.indexes]\ncorpus = "demo"\n')
    subprocess.run([fapo, "index", "build"], cwd=folder, check=True, capture_output=True)
    return len(rows)


def run(folder, fapo, provider, workers, limit):
    config = json.loads((ROOT / "tenants/demo_qa/configs/validation.json").read_text())
    config |= {"provider": provider, "max_workers": workers, "output_dir": "run"}
    config["provider_settings"] = {"temperature": 0.0, "max_tokens": 64}
    config["dataset"] = {"path": "tenants/demo_qa/datasets/all.jsonl"}
    (folder / "bench.json").write_text(json.dumps(config))
    shutil.rmtree(folder / "fapo-work/run", ignore_errors=True)
    shutil.rmtree(folder / "fapo-work/cache/replies", ignore_errors=True)
    arguments = [fapo, "eval", "--config", "bench.json", "--limit", str(limit), "--json"]
    wall, cpu, rss, code, said = measured(arguments, cwd=folder)
    lines = {line["kind"]: line for line in map(json.loads, said.splitlines())}
    if code != 0 or lines["run"]["errors"]:
        sys.exit(f"{provider} ended with {code}: {said[-2000:]}")
    usage = lines["usage"]
    return wall, cpu, rss, usage["prompt_tokens"], usage["completion_tokens"], lines["run"]["composite"]["mean"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fapo", required=True)
    parser.add_argument("--python", required=True, help="a Python that has xllamacpp")
    parser.add_argument("--model", help="the GGUF file [default: the one that `fapo model pull` keeps]")
    parser.add_argument("--work", default="/tmp/fapo-embedded")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    fapo, folder = pathlib.Path(args.fapo).resolve(), pathlib.Path(args.work)
    model = args.model or next((pathlib.Path.home() / ".cache/fapo/models").rglob("*.gguf"), None)
    if model is None:
        parser.error("no model here: run `fapo model pull`, or name a file with --model")
    server = subprocess.Popen([args.python, "-c", SERVER, str(model), str(args.workers), str(args.threads)],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        cases = repository(folder, fapo, server.stdout.readline().strip())
        print("| model | CPU s | prompt tokens | reply tokens | tokens/CPU s | wall s | mean |\n|---|---|---|---|---|---|---|")
        rates = {}
        for _ in range(3):
            # What loading the file costs is taken off: the server has loaded it, too.
            _, start, _, prompt_1, reply_1, _ = run(folder, fapo, "embedded", args.workers, 1)
            wall, cpu, rss, prompt, reply, mean = run(folder, fapo, "embedded", args.workers, cases)
            report("embedded", cpu - start, prompt - prompt_1, reply - reply_1, wall, mean, rates)
            before = cpu_of(server.pid)
            wall, _, _, prompt, reply, mean = run(folder, fapo, "openai", args.workers, cases)
            report("llama.cpp", cpu_of(server.pid) - before, prompt, reply, wall, mean, rates)
        best = {name: max(of) for name, of in rates.items()}
        print(f"\nembedded / llama.cpp: {best['embedded'] / best['llama.cpp']:.2f} of the best runs")
    finally:
        server.terminate()


def report(name, cpu, prompt, reply, wall, mean, rates):
    rate = (prompt + reply) / cpu
    rates.setdefault(name, []).append(rate)
    print(f"| {name} | {cpu:.1f} | {prompt} | {reply} | {rate:.0f} | {wall:.1f} | {mean:.1f} |", flush=True)


if __name__ == "__main__":
    main()
