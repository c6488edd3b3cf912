"""Compare imputers of mixed tables: errors on hidden cells, time, memory.

Every run is a process of its own. Its per-feature errors are appended to a CSV file; runs that are
in it already are not repeated, so that a comparison can be stopped, continued and extended. The
summary is of all runs in the file: start another file (``--out``) after a change that matters.

Tables are the bundled ones, ``adult`` and ``heterogeneous``, or those of a folder with
``NAME.parquet`` and ``NAME.masks.npz`` (boolean arrays, True = hide this cell).

Examples::

    python examples/benchmarks/compare_imputers.py --tables adult --masks mcar20_1,mnar30_2
    python examples/benchmarks/compare_imputers.py --data FOLDER --imputers skhvae,missForest \
        --seeds 0,1,2 --param max_iter=50 --param 'moo="pcgrad"'
    python examples/benchmarks/compare_imputers.py --out results.csv --summary-only --markdown

A mask of the bundled tables is ``mechanism``, percentage, ``_`` and random state: ``mar30_1``.
"""

from __future__ import annotations

import argparse
import ast
import multiprocessing
import os
import platform
import re
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import peers

from skhvae import __version__
from skhvae.datasets import load_adult, make_heterogeneous
from skhvae.evaluation import hide_cells, imputation_errors, total_error
from skhvae.schema import nearest

BUNDLED = {
    "adult": load_adult,
    "heterogeneous": lambda: make_heterogeneous(5000, random_state=0).data,
}
IMPUTERS = [*peers.IMPUTERS, "skhvae"]
RUN = ["table", "mask", "imputer", "seed", "params"]
TAKEN = ["total_error", "wall_s", "cpu_s", "peak_mb"]
THREAD_LIMITS = [
    *(f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")),
    "VECLIB_MAXIMUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
]


# One run.


def load_case(data, name, mask):
    """The true table, the table with hidden cells missing, and which cells are hidden."""
    if data is None:
        table = BUNDLED[name]()
        if not (parts := re.fullmatch(r"([a-z]+)(\d+)_(\d+)", mask)):
            raise ValueError(f"A mask of a bundled table is like 'mcar20_1', found {mask!r}.")
        mechanism, percent, seed = parts.groups()
        return table, *hide_cells(table, int(percent) / 100, mechanism, random_state=int(seed))
    table = pd.read_parquet(data / f"{name}.parquet")
    with np.load(data / f"{name}.masks.npz") as masks:
        hidden = masks[mask]
    return table, table.mask(hidden), hidden


def make_imputer(name, seed, params, threads):
    """A function from a table with missing cells to the imputed table."""
    if name == "skhvae":
        import torch

        from skhvae import HeterogeneousVAEImputer

        torch.set_num_threads(threads)
        return HeterogeneousVAEImputer(random_state=seed, **params).fit_transform
    impute = peers.IMPUTERS[name].make(seed, threads)
    return lambda table: peers.impute_table(table, impute)


def measure(data, name, mask, imputer, seed, params, threads=2) -> tuple[dict, pd.DataFrame]:
    """One run: what it took, and the errors of every feature."""
    table, with_gaps, hidden = load_case(data, name, mask)
    impute = make_imputer(imputer, seed, params, threads)
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    imputed = impute(with_gaps)
    wall, cpu = time.perf_counter() - wall, sum(os.times()[:4]) - cpu
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    peak = max(resource.getrusage(process).ru_maxrss for process in who)
    errors = imputation_errors(table, imputed, hidden)
    return {
        "total_error": total_error(errors),
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "peak_mb": round(peak / (2**20 if sys.platform == "darwin" else 2**10)),
    }, errors


def send_measured(connection, case):
    try:
        connection.send(measure(*case))
    except Exception as error:  # as text, since not every exception can be sent
        connection.send(f"{type(error).__name__}: {error}")


def measure_apart(*case, timeout=None) -> tuple[dict, pd.DataFrame]:
    """`measure` in a new process, so that memory is its own and a crash ends only this run."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=send_measured, args=(sender, case))
    process.start()
    sender.close()  # so that the end of the process is the end of the pipe
    try:
        if not receiver.poll(timeout):
            raise RuntimeError(f"stopped after {timeout:g} seconds")
        result = receiver.recv()
        process.join(timeout=10)
    except EOFError:
        process.join()
        raise RuntimeError(f"the process ended with exit code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
    if isinstance(result, str):
        raise RuntimeError(result)
    return result


# All runs.


def read_runs(path) -> pd.DataFrame:
    """One line a run, without the errors per feature."""
    lines = pd.read_csv(path, dtype=dict.fromkeys(["table", "mask", "imputer", "params"], str))
    if lacking := [name for name in [*RUN, *TAKEN] if name not in lines]:
        raise SystemExit(f"{path} is not a file of this script: it lacks {', '.join(lacking)}.")
    lines["params"] = lines["params"].fillna("")
    return lines.drop_duplicates(RUN, keep="last")[[*RUN, *TAKEN]].reset_index(drop=True)


def make_runs(cases, options) -> int:
    """Make the runs that are not in the file yet, and count those that failed."""
    done = set()
    if options.out.exists():
        done = set(read_runs(options.out)[RUN].itertuples(index=False, name=None))
    todo = [case for case in cases if (*case[:-1], as_text(*case)) not in done]
    if len(todo) < len(cases):
        print(f"{len(cases) - len(todo)} of {len(cases)} runs are in {options.out} already.")
    failures = 0
    pool = ThreadPoolExecutor(options.jobs)  # of threads that only wait; each run has a process
    try:
        futures = {
            pool.submit(
                measure_apart, options.data, *case, options.threads, timeout=options.timeout
            ): case
            for case in todo
        }
        for count, future in enumerate(as_completed(futures), 1):
            case = futures[future]
            print(f"{count}/{len(todo)}", *case[:-1], end=" ... ")
            try:
                taken, errors = future.result()
            except RuntimeError as error:
                print(f"failed: {error}", flush=True)
                failures += 1
                continue
            print(*(f"{key} {value:.4g}" for key, value in taken.items()), flush=True)
            append(options.out, case, taken, errors)
    finally:
        pool.shutdown(cancel_futures=True)
    return failures


def as_text(table, mask, imputer, seed, params) -> str:
    return str(params) if imputer == "skhvae" else ""


def append(path, case, taken, errors):
    run = dict(zip(RUN, (*case[:-1], as_text(*case)), strict=True)) | taken
    lines = errors.reset_index().assign(**run)
    lines = lines[[*run, *errors.reset_index().columns]]
    lines.to_csv(path, mode="a", header=not path.exists(), index=False)


# What came out.


def named(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with skhvae's parameters in its name, if the file has several sets of them."""
    ours = runs["imputer"] == "skhvae"
    if runs.loc[ours, "params"].nunique() < 2:
        return runs
    names = runs["params"].where(ours, "{}").map(with_params)
    return runs.assign(imputer=runs["imputer"].mask(ours, names))


def with_params(text) -> str:
    return f"skhvae({', '.join(f'{k}={v!r}' for k, v in ast.literal_eval(text).items())})"


def is_ours(name) -> bool:
    return name.startswith("skhvae")


def position(name) -> tuple:
    return IMPUTERS.index("skhvae" if is_ours(name) else name), name


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over masks and seeds per table and imputer; compare those of as many runs."""
    grouped = runs.groupby(["table", "imputer"])
    rows = grouped[TAKEN].mean()
    rows.insert(1, "standard_error", grouped["total_error"].sem())
    rows["runs"] = grouped.size()
    rows = rows.loc[sorted(rows.index, key=lambda row: (row[0], position(row[1])))]
    digits = {"total_error": 4, "standard_error": 4, "wall_s": 1, "cpu_s": 1, "peak_mb": 0}
    return rows.round(digits)


def by_mask(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean total error over seeds per table and mask, and skhvae's relative to the best peer's."""
    errors = runs.pivot_table(index=["table", "mask"], columns="imputer", values="total_error")
    errors = errors[sorted(errors, key=position)]
    best = errors[[name for name in errors if not is_ours(name)]].min(axis=1)
    for name in filter(is_ours, list(errors)):
        errors[f"{name} / best peer"] = errors[name] / best
    return errors.round(4)


def as_markdown(table: pd.DataFrame) -> str:
    index = table.index.names
    table = table.reset_index().astype(object)
    lines = [table.columns, ["---"] * len(index) + ["---:"] * (table.shape[1] - len(index))]
    lines += table.where(table.notna(), "").to_numpy().tolist()
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def print_summary(runs: pd.DataFrame, markdown: bool):
    show = as_markdown if markdown else lambda table: table.to_string(na_rep="")
    errors = by_mask(named(runs))
    print("", show(summary(named(runs))), "", show(errors), sep="\n")
    for name in (name for name in errors if name.endswith(" / best peer")):
        ratios = errors[name].dropna()
        mean = np.exp(np.log(ratios).mean())
        print(f"\n{name}: geometric mean {mean:.4f} over {len(ratios)} tables and masks.")


def about(threads, jobs) -> str:
    """What the figures depend on beside the code."""
    packages = ["torch", "scikit-learn", "pandas", "numpy"]
    packages += [p.package for p in peers.IMPUTERS.values() if p.package and p.is_installed]
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        cpu = (re.findall(r"model name\s*: (.*)", info.read_text()) or [cpu])[0]
    found = {"Python": platform.python_version()} | {name: version(name) for name in packages}
    versions = ", ".join(f"{name} {v}" for name, v in (found | {"skhvae": __version__}).items())
    return f"{versions}\n{threads} thread(s), {jobs} run(s) at once, {cpu}"


def known_names(text, known, what):
    """The comma-separated names, all of them known."""
    for name in (names := text.split(",")):
        if name not in known:
            raise SystemExit(f"Unknown {what} {name!r}." + nearest(name, known))
    return names


def installed(text):
    """The imputers to run: those that are asked for, or all that are installed."""
    lacking = {
        name: f"{name} is not installed: pip install {peer.requirements}"
        for name, peer in peers.IMPUTERS.items()
        if not peer.is_installed
    }
    names = known_names(text or ",".join(IMPUTERS), IMPUTERS, "imputer")
    for name in filter(lacking.get, names):
        if text:
            raise SystemExit(lacking[name])
        print(lacking[name])
    return [name for name in names if name not in lacking]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, help="folder of NAME.parquet and NAME.masks.npz")
    add("--tables", help="names, comma-separated (default: all)")
    add("--masks", default="mcar20_1", help="names, comma-separated")
    add("--imputers", help=f"names, comma-separated, of {', '.join(IMPUTERS)} (default: all)")
    add("--seeds", default="0", help="integers, comma-separated")
    add("--param", action="append", default=[], metavar="KEY=VALUE", help="for skhvae, a literal")
    add("--threads", type=int, default=2, help="of every run")
    add("--jobs", type=int, default=1, help="runs at once")
    add("--timeout", type=float, metavar="SECONDS", help="stop runs that take longer")
    add("--out", type=Path, default=Path("results.csv"), help="CSV file to append to")
    add("--summary-only", action="store_true", help="run nothing")
    add("--markdown", action="store_true", help="print the summary as Markdown")
    options = parser.parse_args()

    failures = 0
    if not options.summary_only:
        print(about(options.threads, options.jobs), flush=True)
        # The processes of the runs inherit them before their libraries look at them.
        os.environ.update(dict.fromkeys(THREAD_LIMITS, str(options.threads)))
        known = sorted(p.stem for p in options.data.glob("*.parquet")) if options.data else BUNDLED
        names = known_names(options.tables or ",".join(known), known, "table")
        imputers = installed(options.imputers)
        pairs = (pair.partition("=") for pair in options.param)
        params = {key: ast.literal_eval(value) for key, _, value in pairs}
        seeds = list(map(int, options.seeds.split(",")))
        cases = [
            (name, mask, imputer, seed, params)
            for name, mask, seed, imputer in product(
                names, options.masks.split(","), seeds, imputers
            )
        ]
        # One seed, always 0, stands for all where the results do not depend on it.
        fixed = {name for name, peer in peers.IMPUTERS.items() if not peer.random}
        cases = [(*c[:3], 0, c[4]) if c[2] in fixed else c for c in cases]
        cases = [case for i, case in enumerate(cases) if case not in cases[:i]]
        failures = make_runs(cases, options)
    if options.out.exists():
        print_summary(read_runs(options.out), options.markdown)
    elif options.summary_only:
        raise SystemExit(f"There is no file {options.out}.")
    sys.exit(f"{failures} run(s) failed." if failures else 0)


if __name__ == "__main__":
    main()
