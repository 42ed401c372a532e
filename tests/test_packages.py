"""The Debian packages by themselves: what they want, what they have, and piuparts' judgement."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from board import image
from board.packages import built
from myclerk_protocol import __version__

ROOT = Path(__file__).parent.parent
CONTROL = (ROOT / "debian" / "control").read_text()

DEBIAN_NAMES = {
    "click": "python3-click",
    "cryptography": "python3-cryptography",
    "gpiod": "python3-libgpiod",
    "msgpack": "python3-msgpack",
    "pynmea2": "python3-nmea2",
    "python-can": "python3-can",
    "rich": "python3-rich",
    "segno": "python3-segno",
    "smbus2": "python3-smbus2",
    "uvloop": "python3-uvloop",
    "w1thermsensor": "python3-w1thermsensor",
    "zeroconf": "python3-zeroconf",
    "zstandard": "python3-zstandard",
}
NOT_IN_DEBIAN = {"pqcrypto"}
NOT_IMPORTED = {"pyserial"}


@pytest.fixture(scope="module")
def packages() -> dict[str, Path]:
    """All packages by name, built and judged by lintian."""
    if lacking := image.missing_to_build():
        pytest.skip(f"to build packages: sudo apt install {' '.join(lacking)}")
    return built()


def field(package: Path, name: str) -> str:
    command = ["dpkg-deb", "--field", str(package), name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def contents(package: Path) -> set[str]:
    command = ["dpkg-deb", "--contents", str(package)]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {line.split()[5].removeprefix(".") for line in listed.splitlines()}


def test_what_python_requires_is_what_the_packages_want() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {re.split(r"[><=;\[ ]", line)[0] for line in project["dependencies"]}
    assert required == DEBIAN_NAMES.keys() | NOT_IN_DEBIAN | NOT_IMPORTED
    for package in DEBIAN_NAMES.values():
        assert re.search(rf"^ {package}( \(.*\))?,$", CONTROL, re.MULTILINE), package


def test_their_version_is_that_of_the_software() -> None:
    first = (ROOT / "debian" / "changelog").read_text().splitlines()[0]
    assert re.fullmatch(r"myclerk \((.+)\) \w+; urgency=\w+", first)[1] == __version__  # type: ignore[index]


@pytest.mark.timeout(900)
def test_one_build_is_for_every_processor(packages: dict[str, Path]) -> None:
    assert packages.keys() == {"myclerk", "myclerk-agent", "python3-myclerk"}
    assert {field(package, "Architecture") for package in packages.values()} == {"all"}


@pytest.mark.timeout(900)
def test_each_file_is_in_the_package_that_needs_it(packages: dict[str, Path]) -> None:
    agent, client, library = (packages[n] for n in ("myclerk-agent", "myclerk", "python3-myclerk"))
    modules = "/usr/lib/python3/dist-packages"
    manual = "/usr/share/man"
    for package, wanted in {
        agent: (
            "/usr/bin/myclerk-agent", f"{modules}/myclerk_agent/server.py", f"{modules}/myclerk_drivers/base.py",
            "/usr/lib/systemd/system/myclerk-agent.service", "/usr/lib/udev/rules.d/60-myclerk.rules",
            "/etc/myclerk/agent.toml", f"{manual}/man1/myclerk-agent.1.gz", f"{manual}/man5/agent.toml.5.gz",
        ),
        client: (
            "/usr/bin/myclerk", f"{modules}/myclerk_client/cli/app.py", f"{manual}/man1/myclerk.1.gz",
            "/usr/share/bash-completion/completions/myclerk", "/usr/share/zsh/vendor-completions/_myclerk",
            "/usr/share/fish/vendor_completions.d/myclerk.fish",
        ),
        library: (
            f"{modules}/myclerk_client/board.py", f"{modules}/myclerk_protocol/schema/common.cddl",
            f"{modules}/myclerk-{__version__}.dist-info/entry_points.txt",
            f"{manual}/man7/myclerk-protocol.7.gz",
        ),
    }.items():  # fmt: skip
        assert set(wanted) <= contents(package), package
    assert not [path for path in contents(library) if "/myclerk_client/cli/" in path]
    assert field(agent, "Version") == field(library, "Version")


@pytest.fixture
def piuparts() -> list[str]:
    """The command, as root. Skips, loudly, where there is none; .ci/run makes that a failure."""
    program = shutil.which("piuparts", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        pytest.skip("piuparts is not here: sudo apt install piuparts")
    if os.geteuid() == 0:
        return [program]
    if subprocess.run(["sudo", "--non-interactive", "true"], capture_output=True).returncode == 0:
        return ["sudo", "--non-interactive", program]
    pytest.skip("piuparts makes a chroot, which needs root, or sudo without a password")


@pytest.mark.timeout(900)
def test_piuparts_finds_nothing_left_behind(
    piuparts: list[str], packages: dict[str, Path], tmp_path: Path
) -> None:
    command = [*piuparts, "--basetgz", str(image.build_root(["apt"])), "--distribution", image.ROOT_SUITE]
    command += ["--no-eatmydata", "--no-upgrade-test", "--warn-on-leftovers-after-purge", "--log-level=info"]
    for uri in image.mirror():
        command += ["--mirror", f"{uri} main"]
    done = subprocess.run(
        [*command, *map(str, packages.values())],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "PASS: All tests." in done.stdout
    left = [line.split()[0] for line in done.stdout.splitlines() if "not owned" in line]
    assert not [path for path in left if "myclerk" in path]
