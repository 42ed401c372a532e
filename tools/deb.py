"""``make deb``: the Debian packages, built and judged by lintian in a clean Debian 13, into dist/.

The build root has the build dependencies of debian/control. It is made by mmdebstrap and kept in the cache of the
virtual board (docs/virtual-board.md); mmdebstrap also unpacks and enters it, so that nobody needs to be root.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from board.image import ENDS_WITH_US, ROOT_SUITE, ImageError, build_root  # noqa: E402

DIST = ROOT / "dist"
SOURCES = ("agent", "client", "debian", "docs", "drivers", "examples", "protocol", "tools", "udev")
FILES = ("LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml")
TOOLS = ("lintian", "man-db")
"""Packages in the build root beside the build dependencies."""

BUILD = """\
set -e
cd /build/myclerk
dpkg-buildpackage --build=binary --no-sign
cd ..
su nobody -s /bin/sh -c 'lintian --fail-on error,warning,info --display-info --show-overrides myclerk_*.changes'
mkdir out
mv *.deb *.changes *.buildinfo out
"""


def build_dependencies() -> list[str]:
    """The packages that debian/control wants for building, without versions."""
    control = (ROOT / "debian" / "control").read_text()
    found = re.search(r"^Build-Depends:((?:\n .*)+)", control, re.MULTILINE)
    assert found is not None
    names = [re.split(r"[ (]", line.strip(" ,"))[0] for line in found[1].strip().splitlines()]
    return ["debhelper" if name == "debhelper-compat" else name for name in names]


def copy_sources(target: Path) -> None:
    """What goes into the packages, without what lies about in a working tree."""
    ignored = shutil.ignore_patterns("__pycache__", "generated", "*.egg-info", ".*_cache")
    for name in SOURCES:
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, target)


def build(destination: Path) -> list[Path]:
    """Build the packages into ``destination``; their files. Raises ImageError, CalledProcessError."""
    root = build_root([*build_dependencies(), *TOOLS])
    destination.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="deb-") as directory:
        work = Path(directory)
        copy_sources(work / "myclerk")
        (work / "build.sh").write_text(BUILD)
        copies = shlex.join([str(work / "myclerk"), str(work / "build.sh")])
        command = [
            "mmdebstrap", "--variant=custom", "--format=null", "--skip=update,cleanup", "--quiet",
            f"--setup-hook=tar --directory \"$1\" --extract --exclude './dev/*' --file {shlex.quote(str(root))}",
            "--customize-hook=mkdir -p \"$1/build\"",
            f"--customize-hook=copy-in {copies} /build",
            "--customize-hook=chown -R 0:0 \"$1/build\" && chmod 755 \"$1/build\"",
            "--customize-hook=chroot \"$1\" sh /build/build.sh",
            f"--customize-hook=sync-out /build/out {shlex.quote(str(destination))}",
            ROOT_SUITE, "-",
        ]  # fmt: skip
        subprocess.run([*ENDS_WITH_US, *command], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    return sorted(destination.glob("*.deb"))


def main() -> int:
    """Build, and say what was made."""
    parser = argparse.ArgumentParser(prog="tools/deb.py", description="Build the Debian packages.")
    parser.add_argument("--into", type=Path, default=DIST, help="directory for the packages [default: dist]")
    options = parser.parse_args()
    try:
        packages = build(options.into)
    except ImageError as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError:
        print("the packages were not built; the reason stands above", file=sys.stderr)
        return 1
    for package in packages:
        print(package)
    return 0


if __name__ == "__main__":
    sys.exit(main())
