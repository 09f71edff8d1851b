"""Batches: order, failures, crashes, resume and the end of every worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vesalius.core.errors import CrashError, InternalError, ReadError
from vesalius.pipeline import batch, worker

NAME = "DOE^JANE"


def square(number: int) -> int:
    """Return the square; 3 is unreadable, 5 crashes, 7 is a fault."""
    worker.tell("squaring", 0.5)
    if number == 3:
        raise ReadError("three", found="3", expected="another", fix="skip it")
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 7:
        raise ValueError(NAME)
    return number * number


def process_of(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def threads_of(_: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


def unpicklable(_: int) -> object:
    return lambda: None


def noisy(_: int) -> int:
    os.write(1, b"noise on standard output")
    os.write(2, b"noise on standard error")
    return 1


@pytest.mark.parametrize("workers", [1, 2])
def test_failures_and_crashes_cost_their_own_item_only(workers: int) -> None:
    stages: list[tuple[int, str, float]] = []
    plan: batch.Plan[int, int] = batch.Plan(workers=workers, on_stage=lambda *stage: stages.append(stage))
    ended = batch.run(square, range(9), plan)
    assert [f.item for f in ended] == list(range(9))
    assert [f.value for f in ended] == [0, 1, 4, None, 16, None, 36, None, 64]
    assert isinstance(ended[3].error, ReadError)
    assert ended[3].error.fix == "skip it"
    assert isinstance(ended[5].error, CrashError)
    assert "signal 9" in ended[5].error.found
    assert isinstance(ended[7].error, InternalError)
    assert (0, "squaring", 0.5) in stages


def test_internal_failures_withhold_what_may_be_identity() -> None:
    error = batch.run(square, [7], batch.Plan(workers=1))[0].error
    assert isinstance(error, InternalError)
    assert "DOE" not in str(error) + error.trace
    assert "ValueError" in error.trace
    assert "in square" in error.trace


def test_in_process_gives_the_same() -> None:
    ended = batch.run(square, [1, 3, 7], batch.Plan(workers=0))
    assert [f.value for f in ended] == [1, None, None]
    assert [type(f.error) for f in ended] == [type(None), ReadError, InternalError]


def test_workers_are_used_again_unless_fresh() -> None:
    assert len({f.value for f in batch.run(process_of, range(4), batch.Plan(workers=1))}) == 1
    assert len({f.value for f in batch.run(process_of, range(3), batch.Plan(workers=2, fresh=True))}) == 3


def test_threads_do_not_depend_on_workers() -> None:
    before = dict(os.environ)
    for workers in (1, 2):
        assert {f.value for f in batch.run(threads_of, [1, 2], batch.Plan(workers=workers, threads=3))} == {"3"}
    assert dict(os.environ) == before


def test_resume_asks_before_it_works() -> None:
    plan: batch.Plan[int, int] = batch.Plan(workers=1, already=lambda n: 100 if n == 5 else None)
    assert [f.value for f in batch.run(square, [2, 5], plan)] == [4, 100]


def test_a_value_that_cannot_travel_is_a_clear_error() -> None:
    error = batch.run(unpicklable, [1], batch.Plan(workers=1))[0].error
    assert isinstance(error, InternalError)
    assert "between processes" in str(error)


def test_workers_are_silent(capfd: pytest.CaptureFixture[str]) -> None:
    batch.run(noisy, [1], batch.Plan(workers=1))
    assert capfd.readouterr() == ("", "")


SCRIPT = """
import os, re, sys, time
from pathlib import Path
from vesalius.pipeline import batch

def slow(item):
    folder, busy = item
    (Path(folder) / str(os.getpid())).touch()
    if busy:  # holds the interpreter for years, as native code may for seconds
        re.match("(a+)+$", "a" * 60 + "b")
    time.sleep(60)

if __name__ == "__main__":
    batch.run(slow, [(sys.argv[1], False), (sys.argv[1], True)], batch.Plan(workers=2))
"""


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_parent(tmp_path: Path, signal_number: int) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    seen = tmp_path / "seen"
    seen.mkdir()
    process = subprocess.Popen([sys.executable, str(script), str(seen)], stderr=subprocess.PIPE)
    until = time.monotonic() + 300
    while len(list(seen.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal_number)
    process.communicate(timeout=300)
    workers = [int(path.name) for path in seen.iterdir()]
    until = time.monotonic() + 60
    while any(_alive(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(workers) == 2
    assert not any(_alive(pid) for pid in workers)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
