"""Leaks and utility of `vesalius deidentify` on corpora of planted identifiers, one line per seed.

    python benchmarks/deid_corpus.py --seeds 10 --patients 9 [--faker] [--work DIR] [--profile NAME]

Beside it stand two yardsticks: a copy of the corpus, which must leak everything; nothing at all would be of no use.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vesalius.privacy import corpus


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--patients", type=int, default=9)
    parser.add_argument("--faker", action="store_true")
    parser.add_argument("--profile", default="default")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--work", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        key = work / "pseudonym.key"
        if not key.exists():
            subprocess.run([*_vesalius(), "keys", "create", "--kind", "pseudonym", str(key)], check=True)
        results = [_one(arguments, work / f"seed-{seed}", seed, key) for seed in range(arguments.seeds)]
    leaked = sum(score.leaked for score in results)
    planted = sum(score.planted for score in results)
    useful = min(score.useful for score in results)
    print(f"{len(results)} seeds: {leaked} of {planted} identifiers left, least utility {useful:.4f}")
    return int(leaked > 0 or useful < 1)


def _vesalius() -> list[str]:
    return [sys.executable, "-m", "vesalius"]


def _one(arguments: argparse.Namespace, folder: Path, seed: int, key: Path) -> corpus.Score:
    shutil.rmtree(folder, ignore_errors=True)
    planted = corpus.generate(folder / "in", seed=seed, patients=arguments.patients, faker=arguments.faker)
    start = time.monotonic()
    options = ["--key", str(key), "--profile", arguments.profile, "--workers", str(arguments.workers)]
    options += ["--no-face", "synthetic, without a face", "--quiet"]
    done = subprocess.run(
        [*_vesalius(), "deidentify", str(folder / "in"), str(folder / "out"), *options], capture_output=True, text=True
    )
    seconds = time.monotonic() - start
    found = corpus.score(planted, folder / "out")
    copied = corpus.score(planted, folder / "in")
    print(
        f"seed {seed}: exit {done.returncode}, {len(planted.items)} objects in {seconds:.0f} s; left {found.leaked} of"
        f" {found.planted} (a copy: {copied.leaked}); utility {found.useful:.4f}",
        flush=True,
    )
    for name, (kept, expected) in found.utility.items():
        if kept < expected:
            print(f"    {name}: {kept} of {expected}")
    for leak, instance, place in found.left[:20]:
        print(f"    {leak} in object {instance} at {place}")
    return found


if __name__ == "__main__":
    sys.exit(main())
