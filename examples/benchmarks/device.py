"""What a device makes of the default fit: its seconds, how busy it is, its floors, and what it learns.

For Adult and for a generated table: seconds of a fit; milliseconds of a training step, beside the two
times that it cannot be shorter than, that of its matrix products at the device's own rate, measured
here, and, on a CUDA device, that of launching its kernels; the share of the time that the device
computes; and the errors on hidden cells, over seeds. Without options it takes about a minute on two
cores, because training is cut short. The default fit, on a CUDA device and beside it on the CPU::

    python examples/benchmarks/device.py --only adult --max-iter 400 --seeds 0,1,2 --device cuda --against cpu

``--precision high`` allows a CUDA device TF32 in matrix products; compare errors and seconds with and
without.
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from scale import make_table
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import load_adult
from skhvae.evaluation import hide_cells, imputation_errors, total_error
from skhvae.replay import Replay
from skhvae.step import Averaged, Step

SIZE = 2048  # of the matrices whose product tells a device's rate: large enough to keep it busy
PROGRESS = 0.5


# Fits


def fits(
    table: pd.DataFrame, device: str, args
) -> tuple[list[HeterogeneousVAEImputer], pd.DataFrame]:
    """A fitted imputer, its seconds and its error on hidden cells, for every seed."""
    with_gaps, hidden = hide_cells(table, 0.2, random_state=0)
    imputers, rows = [], []
    for seed in args.seeds:
        imputer = HeterogeneousVAEImputer(
            device=device, max_iter=args.max_iter, max_steps=args.max_steps, random_state=seed
        )
        started = time.perf_counter()
        imputer.fit(with_gaps)
        seconds = time.perf_counter() - started
        error = total_error(imputation_errors(table, imputer.transform(with_gaps), hidden))
        imputers.append(imputer)
        rows.append({"device": device, "seed": seed, "fit": seconds, "error": error})
    return imputers, pd.DataFrame(rows)


# Steps


def step_of(imputer: HeterogeneousVAEImputer, table: pd.DataFrame) -> Step:
    """A training step of a fitted imputer, as its fit ran it."""
    engine = imputer._engine
    values, observed = engine.encoder.encode(table)
    generator = torch.Generator(engine.device).manual_seed(0)
    engine.impartiality.lend(generator)
    engine.model.train()
    return Step(
        engine.model,
        values.to(engine.device),
        observed.to(engine.device),
        objective=engine.recipe.objective,
        impartiality=engine.impartiality,
        batch_size=engine.recipe.plan.batch_size,
        weight_decay=engine.recipe.plan.weight_decay,
        generator=generator,
        averaged=Averaged(engine.model),
    )


def run(step: Step, run_step: Callable[[], None], n_steps: int) -> None:
    """So many steps, at a learning rate that changes nothing, waited for."""
    batches = step.shuffled()
    for i in range(n_steps):
        step.prepare(batches[i % len(batches)], 0.0, PROGRESS)
        run_step()
    wait(step.values.device)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(function: Callable, *args) -> float:
    started = time.perf_counter()
    function(*args)
    return time.perf_counter() - started


def seconds_a_step(step: Step, run_step: Callable[[], None], args) -> float:
    """Median of several rounds."""
    run(step, run_step, 10)  # warms up; a recording is made and compared on the way
    rounds = [seconds_of(run, step, run_step, args.steps) for _ in range(args.rounds)]
    return float(np.median(rounds)) / args.steps


def products(step: Step) -> int:
    """Floating-point operations of a step's matrix products, forwards and backwards."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def product_rate(device: torch.device) -> float:
    """Floating-point operations a second of a large matrix product, at best."""
    a, b = torch.randn(2, SIZE, SIZE, device=device)

    def multiply():
        a @ b
        wait(device)

    multiply()
    return 2 * SIZE**3 / min(seconds_of(multiply) for _ in range(10))


def kernels(step: Step) -> tuple[float, float]:
    """Of one step on a CUDA device: how many kernels and copies, and the seconds that they run."""
    n_steps = 10
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        run(step, step, n_steps)
    on_device = [
        event
        for event in profiler.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
        and not getattr(event, "is_user_annotation", False)  # which are ranges, not kernels
    ]
    seconds = sum(event.time_range.elapsed_us() for event in on_device) / 1e6
    return len(on_device) / n_steps, seconds / n_steps


def seconds_a_launch(device: torch.device, n=2000) -> float:
    """Of a kernel that does next to nothing, one after the other."""
    x = torch.zeros(1, device=device)

    def launch():
        for _ in range(n):
            x.zero_()
        wait(device)

    launch()
    return min(seconds_of(launch) for _ in range(5)) / n


def describe_step(imputer: HeterogeneousVAEImputer, table: pd.DataFrame, args) -> pd.Series:
    """What a training step takes, and what it cannot do without; milliseconds."""
    step = step_of(imputer, table)
    device = step.values.device
    eager = seconds_a_step(step, step, args)
    found = {"step": eager * 1e3}
    if device.type == "cuda":
        n_kernels, computing = kernels(step)
        found["kernels"] = n_kernels
        found["launch floor"] = n_kernels * seconds_a_launch(device) * 1e3
        if step.recordable:
            replayed = seconds_a_step(step, Replay(step, step.state, step.generator), args)
            found["step replayed"] = replayed * 1e3
            found["share computing, replayed"] = computing / replayed
        found["share computing"] = computing / eager
    else:
        cpu, wall = time.process_time(), time.perf_counter()
        run(step, step, args.steps)
        wall = time.perf_counter() - wall
        found["share computing"] = (time.process_time() - cpu) / wall / torch.get_num_threads()
    found["products, Gflop"] = products(step) / 1e9
    found["rate, Gflop/s"] = product_rate(device) / 1e9
    found["arithmetic floor"] = found["products, Gflop"] / found["rate, Gflop/s"] * 1e3
    return pd.Series(found)


# Reports


def describe(name: str, table: pd.DataFrame, devices: list[str], args) -> None:
    print(f"\n{name}: {len(table):,} rows x {table.shape[1]} columns", flush=True)
    runs, steps = [], {}
    for device in devices:
        imputers, found = fits(table, device, args)
        runs.append(found.assign(epochs=[imputer.n_iter_ for imputer in imputers]))
        steps[device] = describe_step(imputers[0], table, args)
    every = pd.concat(runs).groupby("device", sort=False)
    summary = every.agg(
        fit_seconds=("fit", "median"),
        epochs=("epochs", "median"),
        error=("error", "mean"),
        spread=("error", "std"),
    )
    print(summary.round(4).to_string())
    if len(devices) == 2:
        distance = abs(summary["error"].diff().iloc[-1])
        scale = np.sqrt((summary["spread"] ** 2).mean())
        print(f"errors differ by {distance:.4f}, {distance / scale:.1f} spreads of the seeds")
    print("\na training step, milliseconds")
    print(pd.DataFrame(steps).round(3).to_string(), flush=True)


def name_of(device: str) -> str:
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} thread(s)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    best = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=best)
    parser.add_argument("--against", help="another device, beside it")
    parser.add_argument("--max-iter", type=int, default=2, help="epochs; 400 is the default fit's")
    parser.add_argument("--max-steps", type=int, default=4000)
    parser.add_argument("--seeds", default="0,1", help="default: 0,1")
    parser.add_argument("--only", choices=["adult", "generated"])
    parser.add_argument("--rows", type=int, default=10_000, help="of the generated table")
    parser.add_argument("--steps", type=int, default=20, help="of a round of the step's time")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: as many as torch takes")
    parser.add_argument("--precision", default="highest", choices=["highest", "high", "medium"])
    args = parser.parse_args()
    args.seeds = [int(seed) for seed in args.seeds.split(",")]
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision(args.precision)
    warnings.filterwarnings("ignore", message="Column .* look like identifiers")
    devices = list(dict.fromkeys([args.device, *filter(None, [args.against])]))
    for device in devices:
        print(f"{device}: {name_of(device)}")
    print(f"torch {torch.__version__}, precision {args.precision}")
    tables = {
        "adult": load_adult,
        "generated": lambda: make_table(args.rows, 25, range(3, 33, 2), n_integers=5, n_texts=5),
    }
    for name, make in tables.items():
        if args.only in (None, name):
            describe(name, make(), devices, args)


if __name__ == "__main__":
    main()
