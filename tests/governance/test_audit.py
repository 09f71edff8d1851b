"""The audit log: what is written, every way to tamper, killed and concurrent writers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius import keys
from vesalius.core.audit import AuditEvent, AuditOutcome, AuditTrail, NoAudit
from vesalius.core.errors import KeyFileError, OutputError, ReadError, TamperedError, UsageError
from vesalius.governance import audit
from vesalius.governance.audit import Trail
from vesalius.keys import Key, Kind

KEY, STOLEN = (Key(Kind.AUDIT, bytes([n]) * 32) for n in (1, 2))
DONE = AuditOutcome.DONE


def event(number: int) -> AuditEvent:
    return AuditEvent("analyze", DONE, (("path", f"/data/DOE^JANE/{number}"),), "care", {"exit": "0"})


def made(folder: Path, lines: int = 6, key: Key = KEY) -> Trail:
    trail = Trail(folder / "log.jsonl", folder / "head.json", key)
    for number in range(lines):
        trail.record(event(number))
    return trail


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("six")
    made(folder)
    return folder


@pytest.fixture
def trail(six: Path, tmp_path: Path) -> Trail:
    for name in ("log.jsonl", "head.json"):
        shutil.copy(six / name, tmp_path / name)
    return Trail(tmp_path / "log.jsonl", tmp_path / "head.json", KEY)


def verdicts(trail: Trail, *kept: Path) -> tuple[audit.Verdict, audit.Verdict]:
    """Return what the whole key finds, and what its public half finds."""
    heads = [trail.head, *kept]
    return audit.verified(trail.log, heads, KEY), audit.verified(trail.log, heads, KEY.public())


def test_a_sound_log(trail: Trail) -> None:
    whole, public = verdicts(trail)
    assert (whole.lines, whole.chain, whole.sound, whole.notes) == (6, True, True, ())
    assert (public.lines, public.chain, public.sound) == (6, False, True)
    assert trail.log.stat().st_mode & 0o077 == 0


def test_a_line_says_who_what_when_and_nothing_of_a_patient(trail: Trail) -> None:
    reason = "emergency, JANE DOE cannot be asked"
    trail.record(AuditEvent("access break-glass", AuditOutcome.STARTED, (("patient", "JANE DOE"),), "care", {}, reason))
    text = trail.log.read_text()
    assert not any(part in text for part in ("DOE", "JANE", "/data", "emergency"))
    *_, last = audit.entries(trail.log)
    assert {"n", "time", "user", "host", "program", "run", "action", "outcome", "objects", "mac", "sealed"} <= set(last)
    assert (last["n"], last["action"], last["outcome"], last["purpose"]) == (7, "access break-glass", "started", "care")
    assert last["objects"] == [["patient", trail.opaque("patient", "JANE DOE")]]
    *_, read = audit.entries(trail.log, KEY)
    assert read["reason"] == reason
    assert all(one.sound for one in verdicts(trail))


@pytest.mark.parametrize(
    "bad",
    [AuditEvent("analyze; DOE^JANE", DONE), AuditEvent("a", DONE, details={"note": "Doe, Jane"}),
     AuditEvent("a", DONE, details={"note": "\u674e\u56db"}), AuditEvent("a", DONE, (("patient\n", "x"),))],
)  # fmt: skip
def test_free_text_in_the_clear_is_refused(trail: Trail, bad: AuditEvent) -> None:
    with pytest.raises(UsageError, match="free text"):
        trail.record(bad)
    assert all(one.sound and one.lines == 6 for one in verdicts(trail))


def lines(trail: Trail) -> list[bytes]:
    return trail.log.read_bytes().splitlines(keepends=True)


def edit(trail: Trail) -> None:
    trail.log.write_bytes(trail.log.read_bytes().replace(b'"outcome":"done"', b'"outcome":"down"', 1))


def edit_last(trail: Trail) -> None:
    old = lines(trail)
    trail.log.write_bytes(b"".join([*old[:-1], old[-1].replace(b'"exit":"0"', b'"exit":"1"')]))


def delete_first(trail: Trail) -> None:
    trail.log.write_bytes(b"".join(lines(trail)[1:]))


def delete_middle(trail: Trail) -> None:
    old = lines(trail)
    trail.log.write_bytes(b"".join(old[:2] + old[3:]))


def reorder(trail: Trail) -> None:
    old = lines(trail)
    trail.log.write_bytes(b"".join([*old[:2], old[3], old[2], *old[4:]]))


def repeat(trail: Trail) -> None:
    old = lines(trail)
    trail.log.write_bytes(b"".join([*old, old[-1]]))


def cut_tail(trail: Trail) -> None:
    trail.log.write_bytes(b"".join(lines(trail)[:-2]))


def cut_everything(trail: Trail) -> None:
    trail.log.write_bytes(b"")


def insert(trail: Trail) -> None:
    old = lines(trail)
    trail.log.write_bytes(b"".join([*old[:3], b'{"n":4,"action":"info"}\n', *old[3:]]))


def cut_and_regrow_without_key(trail: Trail) -> None:
    cut_tail(trail)
    with trail.log.open("ab") as file:
        for number in (5, 6):
            mac = lines(trail)[-1][-67:-3].decode()
            file.write(audit.stamped({"n": number, "action": "info"}, mac, STOLEN))
            file.flush()


def restamp(trail: Trail, key: Key, count: int = 6) -> None:
    """Write the whole chain anew over other content."""
    mac, out = audit.start_mac(key), []
    for number in range(1, count + 1):
        line = audit.stamped({"n": number, "action": "nothing happened"}, mac, key)
        out.append(line)
        mac = line[-67:-3].decode()
    trail.log.write_bytes(b"".join(out))


def restamp_with_own_key(trail: Trail) -> None:
    restamp(trail, STOLEN)


def restamp_with_the_chain_key(trail: Trail) -> None:
    """The HMAC key has leaked, the signing key has not: every HMAC fits."""
    restamp(trail, KEY)


def cut_and_regrow_with_the_chain_key(trail: Trail) -> None:
    old = lines(trail)[:4]
    for number in (5, 6):
        old.append(audit.stamped({"n": number, "action": "info"}, old[-1][-67:-3].decode(), KEY))
    trail.log.write_bytes(b"".join(old))


def restamp_log_and_head_with_own_key(trail: Trail) -> None:
    for path in (trail.log, trail.head):
        path.unlink()
    made(trail.log.parent, 6, STOLEN)


def edit_head(trail: Trail) -> None:
    cut_tail(trail)
    head = json.loads(trail.head.read_text())
    trail.head.write_text(json.dumps({**head, "count": 4}))


TAMPERINGS: list[Callable[[Trail], None]] = [
    edit, edit_last, delete_first, delete_middle, reorder, repeat, cut_tail, cut_everything, insert,
    cut_and_regrow_without_key, cut_and_regrow_with_the_chain_key, restamp_with_own_key, restamp_with_the_chain_key,
    restamp_log_and_head_with_own_key, edit_head,
]  # fmt: skip


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda one: one.__name__)
def test_tampering_is_found_with_the_key_and_with_its_public_half(
    trail: Trail, tamper: Callable[[Trail], None]
) -> None:
    tamper(trail)
    whole, public = verdicts(trail)
    assert whole.problems
    assert public.problems


@pytest.mark.parametrize("tamper", [cut_tail, cut_everything, repeat, edit_head])
def test_nothing_is_added_to_a_log_whose_end_was_tampered_with(trail: Trail, tamper: Callable[[Trail], None]) -> None:
    tamper(trail)
    before = trail.log.read_bytes(), trail.head.read_bytes()
    with pytest.raises(TamperedError, match=r"cut|added|altered"):
        trail.record(event(7))
    assert before == (trail.log.read_bytes(), trail.head.read_bytes())


def test_whoever_holds_the_whole_key_is_found_by_a_head_that_was_kept_elsewhere(trail: Trail, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    shutil.copy(trail.head, kept)
    trail.record(event(7))
    assert all(one.sound for one in verdicts(trail, kept))
    for path in (trail.log, trail.head):
        path.unlink()
    made(tmp_path, 9)
    assert all(one.sound for one in verdicts(trail))
    for one in verdicts(trail, kept):
        assert "restamped" in one.problems[0]


def test_a_roll_back_of_log_and_head_is_found_by_a_kept_head(trail: Trail, tmp_path: Path) -> None:
    old = trail.log.read_bytes(), trail.head.read_bytes()
    trail.record(event(7))
    kept = tmp_path / "kept.json"
    shutil.copy(trail.head, kept)
    trail.log.write_bytes(old[0])
    trail.head.write_bytes(old[1])
    assert all("cut off" in one.problems[0] for one in verdicts(trail, kept))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_changed_byte_is_found(six: Path, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("flip")
    raw = bytearray((six / "log.jsonl").read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    (folder / "log.jsonl").write_bytes(raw)
    for key in (KEY, KEY.public()):
        assert audit.verified(folder / "log.jsonl", [six / "head.json"], key).problems


@settings(max_examples=100, deadline=None)
@given(chosen=st.lists(st.integers(0, 5), max_size=7))
def test_only_the_lines_themselves_in_their_order_verify(
    six: Path, chosen: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("mix") / "log.jsonl"
    old = (six / "log.jsonl").read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(old[n] for n in chosen))
    for key in (KEY, KEY.public()):
        assert audit.verified(log, [six / "head.json"], key).sound is (chosen == list(range(6)))


def test_without_its_head_or_log_nothing_is_said(trail: Trail, tmp_path: Path) -> None:
    trail.head.unlink()
    with pytest.raises(TamperedError, match="missing"):
        trail.record(event(7))
    with pytest.raises(ReadError):
        verdicts(trail)
    trail.head.write_text("{}")
    with pytest.raises(TamperedError, match="not the head"):
        verdicts(trail)
    with pytest.raises(ReadError):
        audit.verified(tmp_path / "absent", [], KEY)
    with pytest.raises(KeyFileError):
        audit.verified(trail.log, [], Key(Kind.SIGNING, bytes(32)))


@pytest.mark.parametrize("half", [False, True])
def test_an_append_that_was_killed_is_mended(trail: Trail, half: bool) -> None:
    """Between the line and its head: the line is there, whole or half, and the head does not know it."""
    old = trail.head.read_bytes()
    trail.record(event(7))
    trail.head.write_bytes(old)
    if half:
        trail.log.write_bytes(trail.log.read_bytes()[:-40])
    whole, public = verdicts(trail)
    assert whole.sound
    assert len(whole.notes) == 1
    assert public.sound is half
    trail.record(event(8))
    assert all(one.sound and one.lines == (7 if half else 8) for one in verdicts(trail))
    *_, last = audit.entries(trail.log)
    assert last["details"]["mended"] == ("unfinished line dropped" if half else "unsigned line taken over")


WRITER = """
import sys
from pathlib import Path
from vesalius.core.audit import AuditEvent, AuditOutcome
from vesalius.governance.audit import Trail
from vesalius.keys import Key, Kind
folder = Path(sys.argv[1])
trail = Trail(folder / "log.jsonl", folder / "head.json", Key(Kind.AUDIT, bytes([1]) * 32))
print("ready", flush=True)
for number in range(int(sys.argv[2])):
    trail.record(AuditEvent("analyze", AuditOutcome.DONE, (("path", str(number)),)))
"""


def writer(folder: Path, count: int) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", WRITER, str(folder), str(count)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_writers_that_are_killed_leave_a_log_that_goes_on(tmp_path: Path) -> None:
    trail = made(tmp_path, 1)
    for attempt in range(5):
        process = writer(tmp_path, 100_000)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05 + 0.013 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        before = audit.verified(trail.log, [trail.head], KEY)
        assert before.sound, before.problems
        trail.record(event(attempt))
    assert all(one.sound for one in verdicts(trail))


def test_writers_at_the_same_time_keep_every_line(tmp_path: Path) -> None:
    made(tmp_path, 1)
    processes = [writer(tmp_path, 15) for _ in range(3)]
    for process in processes:
        process.communicate(timeout=120)
    assert [process.returncode for process in processes] == [0, 0, 0]
    trail = Trail(tmp_path / "log.jsonl", tmp_path / "head.json", KEY)
    assert all(one.sound and one.lines == 46 for one in verdicts(trail))
    assert len({entry["run"] for entry in audit.entries(trail.log)}) == 4


def test_where_it_cannot_be_written_the_event_is_not_forgotten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        Trail(tmp_path / "file" / "log", tmp_path / "head.json", KEY).record(event(1))


def test_the_trail_of_an_installation_needs_its_key(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="keys create --kind audit"):
        audit.trail_of(tmp_path, None)
    keys.create("audit", tmp_path / "keys" / "audit.key")
    trail = audit.trail_of(tmp_path, tmp_path / "apart" / "head.json")
    assert isinstance(trail, AuditTrail)
    assert isinstance(NoAudit(), AuditTrail)
    NoAudit().record(event(1))
    trail.record(event(1))
    assert sorted(os.listdir(tmp_path / "apart")) == ["head.json"]
