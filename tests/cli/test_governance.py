"""Keys, encryption, consent, audit and access as a person uses them."""

from __future__ import annotations

import getpass
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from calling import Called

from vesalius.cli import main

Environment = Mapping[str, str]


@pytest.fixture(autouse=True)
def streams(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Let `call` run the program in this process, which is quicker than one process each."""
    for name in [name for name in os.environ if name.startswith("VESALIUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    here.append(capsys)
    yield
    here.pop()


here: list[pytest.CaptureFixture[str]] = []


def call(environment: Environment, *arguments: object, **extra: str) -> Called:
    """Run the program with settings of its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**environment, **extra}.items():
            patch.setenv(name, value)
        here[-1].readouterr()
        code = main([str(one) for one in arguments])
        out, err = here[-1].readouterr()
    return Called(code, out, err)


@pytest.fixture
def home(tmp_path: Path) -> Environment:
    return {"VESALIUS_HOME": str(tmp_path / "home"), "NO_COLOR": "1", "COLUMNS": "200"}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    import numpy as np
    from PIL import Image

    path = tmp_path / "DOE_JANE.png"
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(path)
    return path


@pytest.fixture
def audited(home: Environment) -> Environment:
    assert call(home, "keys", "create", "--kind", "audit", Path(home["VESALIUS_HOME"], "keys/audit.key")).code == 0
    return {**home, "VESALIUS_AUDIT": "1"}


def log(environment: Environment) -> list[dict[str, object]]:
    path = Path(environment["VESALIUS_HOME"], "audit", "log.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_folder_goes_to_the_store_and_back(home: Environment, tmp_path: Path) -> None:
    source, store, back = (tmp_path / name for name in ("studies", "store", "back"))
    (source / "a").mkdir(parents=True)
    for name in ("x.dcm", "a/x.dcm", "a/y.dcm"):
        (source / name).write_bytes(os.urandom(5000))
    (source / "link").symlink_to(source / "x.dcm")
    assert call(home, "keys", "create", "--kind", "master", tmp_path / "old.key").code == 0
    assert call(home, "keys", "create", "--kind", "master", tmp_path / "new.key").code == 0
    line = ("encrypt", source, store, "--key", tmp_path / "old.key", "--json")
    called = call(home, *line).answer
    assert (called["data"]["encrypted"], called["data"]["left_out"]) == (3, ["link"])
    assert call(home, *line).answer["data"]["skipped"] == 3
    moved = call(home, "keys", "rotate", "--from", tmp_path / "old.key", "--to", tmp_path / "new.key", store, "--json")
    assert moved.answer["data"]["rotated"] == 3
    wrong = call(home, "decrypt", store, back, "--key", tmp_path / "old.key", "--json")
    assert (wrong.code, {one["code"] for one in wrong.answer["data"]["failed"]}) == (1, {"wrong_key"})
    swapped = store / "x.dcm.aes", store / "a" / "x.dcm.aes"
    (tmp_path / "t").write_bytes(swapped[0].read_bytes())
    shutil.copy(swapped[1], swapped[0])
    (tmp_path / "t").replace(swapped[1])
    called = call(home, "decrypt", store, back, "--key", tmp_path / "new.key", "--json")
    assert (called.code, called.answer["data"]["decrypted"]) == (1, 1)
    assert [(one["file"], one["code"]) for one in called.answer["data"]["failed"]] == [
        ("a/x.dcm", "tampered"), ("x.dcm", "tampered")
    ]  # fmt: skip
    assert (back / "a/y.dcm").read_bytes() == (source / "a/y.dcm").read_bytes()
    single = call(home, "decrypt", store / "a" / "y.dcm.aes", tmp_path / "y.dcm", "--key", tmp_path / "new.key")
    assert single.code == 0, single.err
    again = call(home, "decrypt", store, back, "--key", tmp_path / "new.key", "--json")
    assert (again.code, again.answer["error"]["code"]) == (2, "output_exists")


def test_a_passphrase_alone(home: Environment, tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_text("seven quiet herons over slate\n")
    (tmp_path / "in").write_bytes(b"data")
    line = ("encrypt", tmp_path / "in", tmp_path / "out.aes", "--passphrase-file", words)
    assert "by others" in call(home, *line).err
    words.chmod(0o600)
    assert call(home, *line).code == 0
    (tmp_path / "out.aes").rename(tmp_path / "renamed.aes")
    back = ("decrypt", tmp_path / "renamed.aes", tmp_path / "back", "--passphrase-file", words)
    assert "another object" in call(home, *back).err
    assert call(home, *back, "--object-id", "out").code == 0
    assert (tmp_path / "back").read_bytes() == b"data"
    words.write_text("seven quiet herons over slates\n")
    refused = call(home, *back, "--object-id", "out", "--force", "--json")
    assert (refused.code, refused.answer["error"]["code"]) == (1, "wrong_key")
    assert "nobody can be asked" in call(home, "encrypt", tmp_path / "in", tmp_path / "o2").err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("keys", "create", "--kind", "mister", "k"), 2, "did you mean"),
        (("encrypt", "absent", "out", "--key", "absent.key"), 1, "there is no key"),
        (("encrypt", "absent", "out", "--key", "m.key"), 2, "no such file"),
        (("encrypt", ".", "./inside", "--key", "m.key"), 2, "inside the input"),
        (("consent", "add", "P1", "--purpose", "trainin"), 2, "did you mean"),
        (("consent", "add", "P1", "--purpose", "care", "--from", "yesterday"), 2, "YYYY-MM-DD"),
        (("consent", "check", "absent.csv", "--purpose", "care"), 1, "cannot be read"),
        (("access", "show"), 2, "VESALIUS_PROJECT"),
        (("audit", "verify"), 1, "there is no key"),
    ],
)
def test_mistakes_teach(
    home: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    from vesalius import keys

    keys.create("master", tmp_path / "m.key")
    called = call(home, *words)
    assert (called.code, called.out) == (code, "")
    assert said in called.err


def test_consent_from_the_first_form_to_the_withdrawal(home: Environment, tmp_path: Path) -> None:
    table, form = tmp_path / "cohort.csv", tmp_path / "form.pdf"
    form.write_bytes(b"form")
    table.write_text("path,patient_id,basis\n" + "".join(f"{n}.png,P{n},registry:form-2\n" for n in range(3)))
    for name in ("P0", "P1"):
        words = ("consent", "add", name, "--purpose", "training", "--document", form, "--label", "form-2", "--json")
        assert call(home, *words).answer["data"]["recorded"] == 1
    assert call(home, "consent", "register", "cohort", "thorax", table).code == 0
    called = call(home, "consent", "check", table, "--purpose", "training", "--json")
    assert (called.code, called.answer["data"]) == (1, {"kept": 2, "left_out": {"no_consent": [4]}})
    done = call(home, "consent", "withdraw", "P1", "--json").answer["data"]
    assert [one["name"] for one in done["contained"]] == ["thorax"]
    called = call(home, "consent", "check", table, "--purpose", "training", "--json")
    assert called.answer["data"]["left_out"] == {"consent_withdrawn": [3], "no_consent": [4]}
    shown = call(home, "consent", "show", "P1", "--json").answer["data"]
    assert {one["standing"] for one in shown["consents"]} == {"consent_withdrawn"}
    out = tmp_path / "consents.json"
    assert call(home, "consent", "export", out).code == 0
    other = {**home, "VESALIUS_HOME": str(tmp_path / "other")}
    assert call(other, "consent", "import", out, "--json").answer["data"] == {"recorded": 6, "known": 0}
    assert call(other, "consent", "import", out, "--json").answer["data"] == {"recorded": 0, "known": 6}
    assert call(other, "consent", "show", "--json").answer == call(home, "consent", "show", "--json").answer


def test_every_command_with_data_is_on_record(audited: Environment, image: Path, tmp_path: Path) -> None:
    assert call(audited, "info", image).code == 0
    assert call(audited, "info", tmp_path / "absent").code != 0
    assert call(audited, "doctor").code in (0, 1)
    said = [(one["action"], one["outcome"]) for one in log(audited)]
    assert said == [("info", "started"), ("info", "done"), ("info", "started"), ("info", "failed")]
    assert len(log(audited)[0]["objects"]) == 1  # type: ignore[arg-type]
    text = Path(audited["VESALIUS_HOME"], "audit", "log.jsonl").read_text()
    assert not any(part in text for part in ("DOE", "JANE", str(tmp_path)))
    found = call(audited, "audit", "show", "--object", image, "--json").answer["data"]["entries"]
    assert [one["outcome"] for one in found] == ["started", "done"]
    checked = call(audited, "audit", "verify", "--json")
    assert (checked.code, checked.answer["data"]["lines"], checked.answer["data"]["chain"]) == (0, 4, True)
    public = Path(audited["VESALIUS_HOME"], "keys", "audit.key.pub")
    assert call(audited, "audit", "verify", "--key", public).code == 0
    assert call(audited, "audit", "head", tmp_path / "kept.json").code == 0
    assert call(audited, "audit", "export", tmp_path / "fhir.json", "--to", "fhir").code == 0
    assert call(audited, "audit", "export", tmp_path / "xml", "--to", "dicom").code == 0
    assert len(os.listdir(tmp_path / "xml")) == 4
    (log_path,) = Path(audited["VESALIUS_HOME"], "audit").glob("log.jsonl")
    log_path.write_bytes(b"".join(log_path.read_bytes().splitlines(keepends=True)[:-1]))
    called = call(audited, "audit", "verify", "--head", tmp_path / "kept.json", "--json")
    assert (called.code, called.answer["error"]["code"]) == (1, "tampered")
    assert len(called.answer["data"]["problems"]) == 2
    refused = call(audited, "info", image, "--json")
    assert (refused.code, refused.answer["error"]["code"]) == (1, "tampered")


def test_without_its_key_nothing_is_done(home: Environment, image: Path, tmp_path: Path) -> None:
    called = call({**home, "VESALIUS_AUDIT": "1"}, "convert", image, tmp_path / "out.nii.gz", "--json")
    assert (called.code, called.answer["error"]["code"]) == (1, "key_file")
    assert "keys create --kind audit" in called.answer["error"]["fix"]
    assert not (tmp_path / "out.nii.gz").exists()


ACCESS = """\
project: thorax
people:
  {me}:
    thorax: [radiologist]
rules:
  - id: reading
    roles: [radiologist]
    projects: [thorax]
    purposes: [care]
    actions: [info]
break_glass:
  roles: [radiologist]
  actions: [convert]
"""


def test_the_command_line_obeys_the_project(audited: Environment, image: Path, tmp_path: Path) -> None:
    rules = tmp_path / "access.yaml"
    rules.write_text(ACCESS.format(me=getpass.getuser()))
    inside = {**audited, "VESALIUS_PROJECT": str(rules)}
    care = {**inside, "VESALIUS_PURPOSE": "care"}
    out = tmp_path / "out.nii.gz"

    def code(called: Called) -> str:
        return str((called.answer["error"] or {"code": "none"})["code"])

    assert code(call(inside, "info", image, "--json")) == "access_denied"
    assert code(call(care, "info", image, "--json")) == "none"
    assert code(call(care, "convert", image, out, "--json")) == "access_denied"
    assert not out.exists()
    assert code(call(care, "convert", image, out, "--json", VESALIUS_BREAK_GLASS="now")) == "usage"
    reason = "DOE JANE is in the trauma room"
    quiet = {name: value for name, value in care.items() if name != "VESALIUS_AUDIT"}
    assert code(call(quiet, "convert", image, out, "--json", VESALIUS_BREAK_GLASS=reason)) == "access_denied"
    assert not out.exists()
    assert code(call(care, "convert", image, out, "--json", VESALIUS_BREAK_GLASS=reason)) == "none"
    assert out.exists()
    said = [(one["action"], one["outcome"]) for one in log(audited)]
    assert said == [
        ("info", "denied"), ("info", "started"), ("info", "done"), ("convert", "denied"),
        ("access break-glass", "started"), ("convert", "started"), ("convert", "done"),
    ]  # fmt: skip
    assert "DOE" not in Path(audited["VESALIUS_HOME"], "audit", "log.jsonl").read_text()
    *_, shown = [one for one in call(care, "audit", "show", "--json").answer["data"]["entries"] if "reason" in one]
    assert shown["reason"] == reason
    asked = call(care, "access", "check", "convert", "--json")
    assert (asked.code, asked.answer["data"]["allowed"]) == (1, False)
    assert call(care, "access", "check", "info", "--json").answer["data"]["rule"] == "reading"
    assert call(care, "access", "show").code == 0


def test_a_pseudonym_is_found_again_and_that_is_on_record(audited: Environment, tmp_path: Path) -> None:
    pytest.importorskip("vesalius.privacy.pseudonym")
    from vesalius import keys
    from vesalius.privacy import Pseudonyms

    key, table = tmp_path / "p.key", tmp_path / "patients.csv"
    made = keys.create("pseudonym", key)
    table.write_text("patient_id\nMRN-1\nMRN-2\nMRN-3\n")
    pseudonym = Pseudonyms(made.secret, made.id).patient("MRN-2")
    called = call(audited, "keys", "relink", pseudonym, "--key", key, "--candidates", table, "--json")
    assert called.answer["data"]["line"] == 3
    assert "MRN" not in called.out + called.err
    none = call(audited, "keys", "relink", "VAAAAAAAAAAAAAAAA", "--key", key, "--candidates", table, "--json")
    assert none.answer["data"]["line"] is None
    said = [(one["action"], one["outcome"]) for one in log(audited)]
    assert said == [("keys relink", "started"), ("keys relink", "done")] * 2
    assert "MRN" not in Path(audited["VESALIUS_HOME"], "audit", "log.jsonl").read_text()


def test_help_loads_nothing_heavy(environment: Environment) -> None:
    import subprocess
    import sys

    groups = ("keys", "consent", "audit", "access", "encrypt", "decrypt", "keys create", "audit verify")
    script = (
        "import sys\nfrom vesalius.cli import main\n"
        f"code = max(main([*words.split(), '--help']) for words in {groups!r})\n"
        "heavy = {'numpy', 'cryptography', 'sqlalchemy', 'structlog', 'yaml'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
