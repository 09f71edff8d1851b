"""Put packages that recipes made into the program: only weights from open data, 30 MB in all.

python recipes/ship.py recipe-output/*/*.vesalius
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from vesalius.models.package import open_package
from vesalius.models.store import SHIPPED

LARGEST_BYTES = 30_000_000


def main(paths: list[Path]) -> int:
    """Copy the packages and list their digests."""
    SHIPPED.mkdir(exist_ok=True)
    for path in paths:
        # a licence that is not open is refused here, as by every user of the package
        with open_package(path) as package:
            name = f"{package.card.name}-{package.card.version}.vesalius"
        shutil.copyfile(path, SHIPPED / name)
    lines = []
    for one in sorted(SHIPPED.glob("*.vesalius")):
        with open_package(one) as package:
            lines.append(f"{package.digest}  {one.name}")
    (SHIPPED / "digests.txt").write_text("\n".join(lines) + "\n", encoding="ascii")
    size = sum(one.stat().st_size for one in SHIPPED.glob("*.vesalius"))
    print(f"{len(lines)} packages, {size / 1e6:.1f} MB")
    return int(size > LARGEST_BYTES)


if __name__ == "__main__":
    sys.exit(main([Path(word) for word in sys.argv[1:]]))
