"""Install the base set into an environment of its own and measure it: size, licences, what must not be there."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_BYTES = 1_200_000_000
ABSENT = ("torch", "scikit-learn", "pandas")
PROBE = """
import json, re
from importlib import metadata
rows = {}
for dist in metadata.distributions():
    meta = dist.metadata
    text = meta.get("License-Expression") or ""
    text += " ".join(c for c in meta.get_all("Classifier", []) if c.startswith("License"))
    rows[meta["Name"]] = text or (meta.get("License") or "").strip().split("\\n")[0][:80]
print(json.dumps(rows))
"""


def tree_bytes(folder: Path) -> int:
    """Return the size of all files, links not followed."""
    return sum(f.lstat().st_size for f in folder.rglob("*") if not f.is_dir())


def main() -> int:
    """Return 1 when a promise of the base install is broken."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(ROOT / "requirements" / "base.txt")], check=True)
        subprocess.run([*pip, "--no-deps", str(ROOT)], check=True)
        licences = json.loads(subprocess.run([python, "-c", PROBE], check=True, capture_output=True).stdout)
        size = tree_bytes(Path(folder))
        doctor = subprocess.run([Path(folder) / "bin" / "vesalius", "doctor"], cwd=folder, check=False)
    present = [name for name in ABSENT if name in {n.lower() for n in licences}]
    copyleft = {n: t for n, t in licences.items() if "GPL" in t and "LGPL" not in t}
    print(f"base install: {size / 1e9:.2f} GB, {len(licences)} packages; limit {LIMIT_BYTES / 1e9:.2f} GB")
    for name, text in sorted(licences.items()):
        print(f"  {name}: {text or 'not stated'}")
    problems = [f"too large: {size}"] * (size > LIMIT_BYTES) + [f"must not be installed: {present}"] * bool(present)
    problems += [f"GPL: {copyleft}"] * bool(copyleft) + ["vesalius doctor failed"] * (doctor.returncode != 0)
    print("\n".join(problems) or "base install: ok")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
