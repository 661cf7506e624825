#!/usr/bin/env python3
"""What a row more costs: evaluations of datasets of growing length, and their peak memory.

The one-step chain of `tenants/aime` and its scorer, both in their sandboxes, with a model that answers from a file; half
of the cases are right. Results, journal, progress, figures and failing steps as in any run.

  benches/rows.py --fapo target/release/fapo --rows 10000,100000,1000000
"""
import argparse
import json
import pathlib
import shutil

from peers import ROOT, measured, must, use_component

TENANT = "aime"
CONFIG = "rows.json"


def repository(program, folder):
    """A repository with the tenant alone, its model answering the same to every problem."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "tenants" / TENANT, folder / "tenants" / TENANT)
    use_component(program, folder, TENANT)
    (folder / "rules.jsonl").write_text(json.dumps({"contains": [""], "reply": "The answer is \\boxed{7}."}) + "\n")
    (folder / "fapo.toml").write_text(
        '[models.script]\nprovider = "scripted"\nrules = "rules.jsonl"\n[limits]\nrun_bytes = 1099511627776\n'
        f'[tenants.{TENANT}.models]\ntask = ["script"]\n')
    config = json.loads((ROOT / "tenants" / TENANT / "configs/scripted.json").read_text())
    config |= {"dataset": {"path": f"tenants/{TENANT}/datasets/rows.jsonl"}, "output_dir": "run", "max_workers": 64}
    (folder / CONFIG).write_text(json.dumps(config))


def dataset(folder, rows):
    with open(folder / "tenants" / TENANT / "datasets/rows.jsonl", "w") as out:
        for n in range(rows):
            problem = f"Which number is as large as {7 if n % 2 else 8 + n} divided by 1? This is question {n} of {rows}."
            out.write(json.dumps({"case_id": f"row-{n}", "task_type": "competition_math", "context": {"problem": problem},
                                  "expected": {"answer": str(7 if n % 2 else 8)}, "metadata": {}}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fapo", required=True, help="the program, built for release")
    parser.add_argument("--work", default="/tmp/fapo-rows")
    parser.add_argument("--rows", default="10000,100000,1000000")
    args = parser.parse_args()
    program, folder = pathlib.Path(args.fapo).resolve(), pathlib.Path(args.work)
    repository(program, folder)
    print("| rows | seconds | cases/s | CPU ms a case | peak MiB | dataset MB | journal MB | again: seconds | again: peak MiB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for rows in map(int, args.rows.split(",")):
        dataset(folder, rows)
        shutil.rmtree(folder / "fapo-work/run", ignore_errors=True)
        arguments = [program, "eval", "--config", CONFIG]
        wall, cpu, peak, _ = must(arguments, folder)
        # The same command again reads what is finished and runs nothing.
        again, _, peak_again, _ = must(arguments, folder)
        size = lambda path: (folder / path).stat().st_size / 1e6
        print(f"| {rows} | {wall:.1f} | {rows / wall:.0f} | {cpu * 1e3 / rows:.2f} | {peak:.0f} | "
              f"{size(f'tenants/{TENANT}/datasets/rows.jsonl'):.0f} | {size('fapo-work/run/journal.jsonl'):.0f} | "
              f"{again:.1f} | {peak_again:.0f} |", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
