"""Pin what `pyproject.toml` asks for: one file per way to install, each complete. Run by `make lock`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
SETS = {
    "base": [],
    "demo": ["demo"],
    "dev": ["demo", "ocr", "corpus", "train", "networks", "openvino", "test", "check", "bench"],
}
"""File stem -> extras."""


def pinned(requirements: list[str]) -> list[str]:
    """Return `name==version` of everything that pip would install for these requirements."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run([*command, "--report", report.name, *requirements], check=True)
        found = json.loads(Path(report.name).read_text())["install"]
    # a local version such as +cpu names one index's build of the same release
    pins = (f"{i['metadata']['name']}=={i['metadata']['version'].partition('+')[0]}" for i in found)
    return sorted(pins, key=str.lower)


def main() -> None:
    """Write `requirements/<set>.txt`."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    for stem, extras in SETS.items():
        wanted = [*project["dependencies"], *(r for e in extras for r in project["optional-dependencies"][e])]
        header = f"# Pinned by `make lock` from pyproject.toml: base{''.join(' + ' + e for e in extras)}\n"
        (HERE / f"{stem}.txt").write_text(header + "\n".join(pinned(wanted)) + "\n")


if __name__ == "__main__":
    main()
