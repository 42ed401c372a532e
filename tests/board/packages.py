"""Our Debian packages, for tests: built once from the same sources, and as a later version of themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from .snapshots import content_hash, saved, sources

ROOT = Path(__file__).parent.parent.parent
SOURCES = (
    "agent/**/*", "client/**/*", "debian/*", "debian/source/*", "docs/*.md", "drivers/**/*", "examples/**/*",
    "protocol/**/*", "tools/*.py", "udev/*", "*.md", "pyproject.toml",
)  # fmt: skip


def built() -> dict[str, Path]:
    """The packages of this source tree by their names, judged by lintian. Raises CalledProcessError."""

    def make(directory: Path) -> None:
        command = [sys.executable, str(ROOT / "tools" / "deb.py"), "--into", str(directory)]
        subprocess.run(command, check=True, stdout=sys.stderr)

    directory = saved(f"packages-{content_hash(*sources(ROOT, SOURCES))}", make)
    return {path.name.partition("_")[0]: path for path in sorted(directory.glob("*.deb"))}


def later(package: Path, directory: Path, version: str, settings: str | None = None) -> Path:
    """The same package as another ``version``, in ``directory``; ``settings`` replaces its agent.toml."""
    directory.mkdir(exist_ok=True)
    tree = directory / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(tree)], check=True)
    control = tree / "DEBIAN" / "control"
    text = control.read_text()
    (old,) = re.findall(r"^Version: (.*)$", text, re.MULTILINE)
    text = text.replace(f"Version: {old}\n", f"Version: {version}\n").replace(f"(= {old})", f"(= {version})")
    control.write_text(text)
    if settings is not None:
        (tree / "etc" / "myclerk" / "agent.toml").write_text(settings)
    changed = directory / package.name.replace(f"_{old}_", f"_{version}_")
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(changed)],
        check=True,
        capture_output=True,
    )
    return changed
