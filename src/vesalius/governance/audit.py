"""An append-only log of JSON lines: an HMAC chain through the lines, and a signed head that is kept apart.

A line holds its number, the time in UTC, who, what, to which objects (keyed hashes) and how it ended; no name, path or
value of a patient. Each line ends in the HMAC of the previous line's HMAC and itself. The head is a small file: count
of lines, SHA-256 chain over all of them, Ed25519 signature. What that finds, and against whom, is in
docs/explanation/audit.md.

Source: the chain follows Schneier and Kelsey 1999, doi:10.1145/317087.317089, without evolving keys.
"""

from __future__ import annotations

import base64
import contextlib
import getpass
import hashlib
import hmac
import json
import os
import platform
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from vesalius import __version__
from vesalius.core.audit import AuditEvent
from vesalius.core.errors import KeyFileError, ReadError, TamperedError, UsageError
from vesalius.governance.locking import locked
from vesalius.io.atomic import output_errors, write_text
from vesalius.keys import Key, Kind, PublicKey, sign, verify
from vesalius.keys.model import require
from vesalius.keys.wrapping import seal, unseal

FORMAT = "vesalius.audit/1"
HEAD_FORMAT = "vesalius.audit-head/1"
PURPOSE = "audit-head"
MAC_DIGITS = 64
MAC_FIELD = ',"mac":"'
TAIL = len(MAC_FIELD) + MAC_DIGITS + 2
"""Characters of a line after its body: the field, the HMAC, a quote and a brace."""
MOST_LINE_BYTES = 1 << 16
MOST_OBJECTS = 64
WORD = re.compile(r"[\w .:/@+-]{0,80}", re.ASCII)
"""What may stand in a line in clear: short words of the program."""


@dataclass(frozen=True)
class Head:
    """How far the log goes: what is signed and kept apart.

    Args:
        count: lines. digest: SHA-256 chain over the lines. size: bytes of the log.
    """

    count: int
    digest: str
    size: int
    key_id: str
    time: str = ""
    signature: bytes = b""

    def message(self) -> bytes:
        """Return what is signed."""
        return json.dumps([HEAD_FORMAT, self.key_id, self.count, self.digest, self.size, self.time]).encode()

    def text(self) -> str:
        """Return the JSON of the head file."""
        parts = {"count": self.count, "digest": self.digest, "size": self.size, "key": self.key_id, "time": self.time}
        return json.dumps({"format": HEAD_FORMAT, **parts, "signature": self.signature.hex()}, indent=1) + "\n"


@dataclass(frozen=True)
class Verdict:
    """What a verification found; sound when `problems` is empty.

    Args:
        lines: lines that were read. chain: whether the HMACs could be checked (needs the secret key).
        problems: each names what was done and the first line that shows it.
        notes: what is odd and no sign of tampering.
    """

    lines: int
    chain: bool
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Return whether nothing was found."""
        return not self.problems


class Trail:
    """An audit trail that can be added to: the log, its head, and the audit key."""

    def __init__(self, log: Path, head: Path, key: Key) -> None:
        """Keep where they lie.

        Raises:
            KeyFileError: not an audit key.
        """
        require(key, Kind.AUDIT)
        self.log, self.head, self.key = log, head, key
        self.run = str(uuid.uuid4())

    def record(self, event: AuditEvent) -> None:
        """Append the event; it is on the disk, under a new signed head, when this returns.

        Writers in several processes wait for each other. What a killed writer left unfinished is mended first.

        Raises:
            TamperedError: the log does not end where the head says.
            OutputError: the log or the head cannot be written.
        """
        with output_errors(self.log):
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.log.with_name(self.log.name + ".lock")), _appending(self.log) as file:
                head, mac, note = self._end(file)
                details = {**event.details, **({"mended": note} if note else {})}
                line = stamped(self._body(event, head.count + 1, details), mac, self.key)
                file.seek(head.size)
                file.truncate()
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
                self._put_head(head, [line])

    def opaque(self, kind: str, name: str) -> str:
        """Return the keyed hash under which the log knows an object."""
        return opaque(self.key, kind, name)

    def _body(self, event: AuditEvent, number: int, details: Mapping[str, str]) -> dict[str, Any]:
        words = [event.action, event.purpose, *details, *details.values(), *(kind for kind, _ in event.objects)]
        if not all(WORD.fullmatch(word) for word in words):
            raise UsageError("an audit event holds free text", expected="short words of the program; text as reason")
        body: dict[str, Any] = {
            "n": number,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "user": _user(),
            "host": platform.node(),
            "program": f"vesalius {__version__}",
            "run": self.run,
            "action": event.action,
            "outcome": str(event.outcome),
            "objects": [[kind, self.opaque(kind, name)] for kind, name in event.objects[:MOST_OBJECTS]],
        }
        more = len(event.objects) - MOST_OBJECTS
        optional = {"more_objects": max(more, 0), "purpose": event.purpose, "details": dict(details)}
        body |= {name: value for name, value in optional.items() if value}
        if event.reason:
            body["sealed"] = _sealed(event.reason, self.key, number)
        return body

    def _end(self, file: BinaryIO) -> tuple[Head, str, str]:
        """Return the head, the HMAC of the last line, and what was mended of a stopped append."""
        size = file.seek(0, os.SEEK_END)
        if not self.head.exists():
            if size:
                raise TamperedError(f"{self.head} is missing", expected="the signed head of the log", fix=VERIFY)
            self._put_head(Head(0, _start_digest(self.key.id), 0, self.key.id), [])
        head = read_head(self.head)
        _check_head(head, self.key.public(), str(self.head))
        if size < head.size:
            raise TamperedError(f"{self.log} was cut", found=f"{size} bytes", expected=f"{head.size}", fix=VERIFY)
        mac = _mac_before(file, head.size) if head.size else start_mac(self.key)
        return self._mended(file, head, mac, size)

    def _mended(self, file: BinaryIO, head: Head, mac: str, size: int) -> tuple[Head, str, str]:
        """Take over a whole line that a killed writer had no time to sign; drop half of one."""
        if size == head.size:
            return head, mac, ""
        file.seek(head.size)
        rest = file.read(MOST_LINE_BYTES + 1)
        if b"\n" not in rest and len(rest) <= MOST_LINE_BYTES:
            return head, mac, "unfinished line dropped"
        if rest.count(b"\n") != 1 or not rest.endswith(b"\n") or not _fits(rest, mac, self.key):
            raise TamperedError(f"{self.log}: lines were added that no head signs", found=f"line {head.count + 1}",
                                fix=VERIFY)  # fmt: skip
        return self._put_head(head, [rest]), rest.decode()[-3 - MAC_DIGITS : -3], "unsigned line taken over"

    def _put_head(self, old: Head, lines: list[bytes]) -> Head:
        digest, size = old.digest, old.size
        for line in lines:
            digest, size = _next_digest(digest, line), size + len(line)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        new = Head(old.count + len(lines), digest, size, self.key.id, now)
        signed = Head(
            *(new.count, new.digest, new.size, new.key_id, now), sign(self.key, new.message(), purpose=PURPOSE)
        )
        write_text(self.head, signed.text())
        return signed


VERIFY = "vesalius audit verify; keep both files as they are, they are evidence"


def lines_of(log: Path) -> Iterator[bytes]:
    """Yield the lines of a log as they are, line feed included.

    Raises:
        ReadError: the log cannot be read.
    """
    try:
        with log.open("rb") as file:
            while line := file.readline(MOST_LINE_BYTES):
                yield line
    except OSError as error:
        raise ReadError(f"{log} cannot be read", found=error.strerror or type(error).__name__) from None


def entries(log: Path, key: Key | None = None) -> Iterator[dict[str, Any]]:
    """Yield the lines of a log as mappings; with the secret key, sealed reasons are opened. Nothing is verified.

    Raises:
        ReadError: the log cannot be read, or a line is not one of ours.
    """
    for number, line in enumerate(lines_of(log), 1):
        try:
            content = json.loads(line)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise ReadError(f"{log}, line {number} is not a line of an audit log", fix=VERIFY)
        if key is not None and "sealed" in content:
            content["reason"] = _opened(str(content["sealed"]), key, int(content.get("n", 0)))
        yield content


def opaque(key: Key, kind: str, name: str) -> str:
    """Return the keyed hash of an object's name: 32 hexadecimal digits."""
    return hmac.digest(key.derive("audit objects"), f"{kind}\0{name}".encode(), "sha256").hex()[:32]


def start_mac(key: Key) -> str:
    """Return what stands before the first line's HMAC."""
    return hmac.digest(key.derive("audit chain"), b"start", "sha256").hex()


def stamped(body: Mapping[str, Any], previous_mac: str, key: Key) -> bytes:
    """Return the line of a body: JSON that ends in its HMAC."""
    text = json.dumps(body, ensure_ascii=True, separators=(",", ":"))
    return f'{text[:-1]}{MAC_FIELD}{_mac(text, previous_mac, key)}"}}\n'.encode("ascii")


def read_head(path: Path) -> Head:
    """Return a head file; its signature is not looked at.

    Raises:
        ReadError: the file cannot be read.
        TamperedError: it is not a head.
    """
    try:
        content = json.loads(path.read_text(encoding="ascii"))
        if content["format"] != HEAD_FORMAT:
            raise ValueError(HEAD_FORMAT)
        signature = bytes.fromhex(content["signature"])
        numbers = (int(content["count"]), str(content["digest"]), int(content["size"]))
        return Head(*numbers, str(content["key"]), str(content["time"]), signature)
    except OSError as error:
        raise ReadError(f"{path} cannot be read", found=error.strerror or type(error).__name__, fix=VERIFY) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TamperedError(f"{path} is not the head of an audit log", expected=HEAD_FORMAT) from None


def verified(log: Path, heads: list[Path], key: Key | PublicKey) -> Verdict:
    """Return what is wrong with a log.

    Args:
        heads: the head of the log, then any older ones that were kept elsewhere.
        key: the audit key also checks the HMAC chain; its public half checks the signed heads alone.

    Raises:
        ReadError: log or head cannot be read.
        KeyFileError: not an audit key.
    """
    require(key, Kind.AUDIT)
    public = key.public() if isinstance(key, Key) else key
    problems: list[str] = []
    signed = []
    with _quiet(log):
        for path in heads:
            head = read_head(path)
            with _noting(problems):
                _check_head(head, public, str(path))
                signed.append((path, head))
        reading = _Reading(key if isinstance(key, Key) else None, public.id, {head.count for _, head in signed})
        for line in lines_of(log):
            reading.take(line)
    problems += reading.problems
    for index, (path, head) in enumerate(signed):
        problems += reading.against(head, str(path), newest=index == 0)
    return Verdict(reading.count, isinstance(key, Key), tuple(problems), tuple(reading.notes))


class _Reading:
    """A pass over the lines: chain, numbers, and the digest wherever a head looks."""

    def __init__(self, key: Key | None, key_id: str, wanted: set[int]) -> None:
        self.key, self.wanted = key, wanted
        self.count, self.size, self.digest = 0, 0, _start_digest(key_id)
        self.mac = start_mac(key) if key else ""
        self.at = {0: (self.digest, 0)}
        self.problems: list[str] = []
        self.notes: list[str] = []

    def take(self, line: bytes) -> None:
        if not line.endswith(b"\n"):
            self.notes.append(f"{len(line)} bytes of an unfinished line at the end: an append was stopped")
            return
        self.count += 1
        self.size += len(line)
        self.digest = _next_digest(self.digest, line)
        if self.count in self.wanted:
            self.at[self.count] = (self.digest, self.size)
        if not self.problems:
            self._judge(line)
        self.mac = line.decode("ascii", "replace")[-3 - MAC_DIGITS : -3]

    def _judge(self, line: bytes) -> None:
        number = _number(line)
        if number != self.count:
            what = "no line of this log" if number is None else f"number {number}"
            self.problems.append(f"line {self.count}: {what}; a line was deleted, inserted, repeated or moved")
        elif self.key is not None and not _fits(line, self.mac, self.key):
            self.problems.append(f"line {self.count}: the chain breaks; this line or the one before was edited")

    def against(self, head: Head, name: str, *, newest: bool) -> list[str]:
        """Return what contradicts a signed head."""
        if head.count > self.count:
            return [f"{name} signs {head.count} lines, the log has {self.count}: its end was cut off"]
        if self.at.get(head.count) != (head.digest, head.size):
            return [
                f"the first {head.count} lines are not those that {name} signs: edited, cut and regrown, or restamped"
            ]
        extra = self.count - head.count
        if newest and extra:
            return self._beyond(extra, name)
        return []

    def _beyond(self, extra: int, name: str) -> list[str]:
        if extra == 1 and self.key is not None and not self.problems:
            self.notes.append("the last line is authentic but not signed yet: an append was stopped")
            return []
        return [f"{extra} line(s) stand after those that {name} signs"]


@contextlib.contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Keep writers waiting; who may only read the log reads it all the same."""
    with contextlib.ExitStack() as stack:
        if log.exists():
            with contextlib.suppress(OSError):
                stack.enter_context(locked(log.with_name(log.name + ".lock")))
        yield


@contextlib.contextmanager
def _noting(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except TamperedError as error:
        problems.append(error.message)


def _check_head(head: Head, key: PublicKey, name: str) -> None:
    if head.key_id != key.id:
        raise TamperedError(
            f"{name} was signed by another audit key", found=head.key_id[:32], expected=key.id, fix=VERIFY
        )
    try:
        verify(key, head.message(), head.signature, purpose=PURPOSE)
    except TamperedError:
        raise TamperedError(f"{name}: the signature does not fit; the head was altered", fix=VERIFY) from None


def _start_digest(key_id: str) -> str:
    return hashlib.sha256(f"{FORMAT}\0{key_id}".encode()).hexdigest()


def _next_digest(digest: str, line: bytes) -> str:
    return hashlib.sha256(bytes.fromhex(digest) + line).hexdigest()


def _mac(body: str, previous: str, key: Key) -> str:
    return hmac.digest(key.derive("audit chain"), previous.encode() + b"\n" + body.encode(), "sha256").hex()


def _fits(line: bytes, previous: str, key: Key) -> bool:
    text = line.decode("ascii", "replace").removesuffix("\n")
    body, mac = text[:-TAIL] + "}", text[-2 - MAC_DIGITS : -2]
    return (
        text[-TAIL : -2 - MAC_DIGITS] == MAC_FIELD
        and text.endswith('"}')
        and hmac.compare_digest(mac.encode(), _mac(body, previous, key).encode())
    )


def _number(line: bytes) -> int | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    number = content.get("n") if isinstance(content, dict) else None
    return number if isinstance(number, int) else None


def _mac_before(file: BinaryIO, end: int) -> str:
    """Return the HMAC of the line that ends at a place of the log."""
    file.seek(max(0, end - MAC_DIGITS - 3))
    return file.read(MAC_DIGITS).decode("ascii", "replace")


def _sealed(text: str, key: Key, number: int) -> str:
    return base64.b64encode(seal(key.derive("audit reasons"), text.encode(), str(number).encode())).decode("ascii")


def _opened(sealed: str, key: Key, number: int) -> str:
    return unseal(key.derive("audit reasons"), base64.b64decode(sealed), str(number).encode()).decode()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


def _appending(path: Path) -> BinaryIO:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    return os.fdopen(handle, "r+b")


def trail_of(home: Path, head: Path | None, key_path: Path | None = None) -> Trail:
    """Return the trail of an installation: `audit/log.jsonl`, `audit/head.json` and `keys/audit.key` below `home`.

    Raises:
        KeyFileError: there is no audit key, or it cannot be used.
    """
    from vesalius.keys import load

    path = key_path or home / "keys" / "audit.key"
    try:
        key = load(path, kind="audit")
    except KeyFileError as error:
        if not path.exists():
            error.fix = f"vesalius keys create --kind audit {path}"
        raise
    return Trail(home / "audit" / "log.jsonl", head or home / "audit" / "head.json", key)
