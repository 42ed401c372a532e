"""The images of the virtual board: when they are built, and what is said when they cannot be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from board import image
from board.image import ImageError, Images, Recipe

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    directory = tmp_path / "cache"
    monkeypatch.setenv("MYCLERK_BOARD_CACHE", str(directory))
    return directory


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the recipe to change."""
    here = tmp_path / "board"
    shutil.copytree(image.RECIPE, here / "recipe")
    monkeypatch.setattr(image, "HERE", here)
    monkeypatch.setattr(image, "RECIPE", here / "recipe")
    return here / "recipe"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of stand-ins for programs; PATH is only this."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in {*image.PACKAGE_OF, "bash", "setpriv", "sh"} - {"mmdebstrap"}:
        (directory / name).symlink_to(shutil.which(name) or "/bin/true")
    monkeypatch.setenv("PATH", str(directory))
    return directory


def stand_in(programs: Path, script: str) -> None:
    """An mmdebstrap that does what ``script`` says."""
    program = programs / "mmdebstrap"
    program.write_text(f"#!{sys.executable}\n{script}")
    program.chmod(0o755)


def shell(script: str) -> Recipe:
    """A recipe that runs a script whose $1 is the new directory."""

    def build(target: Path, log: Path) -> subprocess.Popen[bytes]:
        return image._started(["sh", "-c", script, "sh", str(target)], log)

    return Recipe("root-test-0123", build)


def trap(ended: Path) -> str:
    """The start of a script that sleeps in the background and notes in a file that it was told to end."""
    return f"sleep 60 & trap 'kill $!; touch {ended}; exit' TERM;"


def make(recipe: Recipe, *, fresh: bool = False) -> None:
    image.made([recipe], fresh=fresh)


class TestName:
    """What is in the cache is named by what went in."""

    @pytest.mark.parametrize(
        ("part", "changes_kernel", "changes_root"),
        [
            ("init", True, False),
            ("modules.txt", True, False),
            ("modules/simspi.c", True, False),
            ("build-kernel.sh", True, False),
            ("packages.txt", False, True),
            ("prepare-root.sh", False, True),
        ],
    )
    def test_changes_with_the_recipe(
        self, recipe: Path, part: str, changes_kernel: bool, changes_root: bool
    ) -> None:
        kernel, root = image.kernel_recipe("amd64").name, image.root_recipe("amd64").name
        with (recipe / part).open("a") as file:
            file.write("# one more line\n")
        assert (image.kernel_recipe("amd64").name != kernel) == changes_kernel
        assert (image.root_recipe("amd64").name != root) == changes_root

    def test_changes_with_a_new_file(self, recipe: Path) -> None:
        before = image.kernel_recipe("amd64").name
        (recipe / "modules" / "another.c").touch()
        assert image.kernel_recipe("amd64").name != before

    def test_is_the_same_elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = image.kernel_recipe("amd64").name, image.root_recipe("amd64").name
        here = tmp_path / "another checkout"
        shutil.copytree(image.RECIPE, here / "recipe")
        monkeypatch.setattr(image, "HERE", here)
        monkeypatch.setattr(image, "RECIPE", here / "recipe")
        assert (image.kernel_recipe("amd64").name, image.root_recipe("amd64").name) == before

    def test_differs_by_architecture(self) -> None:
        assert image.root_recipe("amd64").name != image.root_recipe("arm64").name


class TestBuild:
    """Building into the cache."""

    def test_happens_once(self) -> None:
        make(shell("echo first >$1/made"))
        make(shell("echo second >$1/made"))
        assert (shell("").directory / "made").read_text() == "first\n"

    def test_happens_again_if_asked_for(self) -> None:
        make(shell("echo first >$1/made"))
        make(shell("echo second >$1/made"), fresh=True)
        assert (shell("").directory / "made").read_text() == "second\n"

    def test_leaves_only_the_image(self, cache: Path) -> None:
        make(shell("touch $1/made"))
        assert sorted(path.name for path in cache.iterdir()) == ["root-test-0123", "root-test-0123.lock"]

    def test_shows_progress(self, capfd: pytest.CaptureFixture[str]) -> None:
        make(shell("echo 'I: downloading packages'; echo noise; touch $1/made"))
        shown = capfd.readouterr().err.splitlines()
        assert [line.split("root-test: ")[1] for line in shown] == ["downloading packages", "done"]

    def test_that_fails_says_why_and_leaves_nothing(self, cache: Path) -> None:
        with pytest.raises(ImageError, match="no space left") as caught:
            make(shell("touch $1/half; echo no space left >&2; exit 3"))
        assert "apt update" in str(caught.value)
        assert sorted(path.name for path in cache.iterdir()) == ["root-test-0123.lock", "root-test-0123.log"]

    def test_that_fails_keeps_the_image_there_was(self) -> None:
        make(shell("echo first >$1/made"))
        with pytest.raises(ImageError):
            make(shell("exit 1"), fresh=True)
        assert (shell("").directory / "made").read_text() == "first\n"

    def test_that_fails_ends_the_other(self, tmp_path: Path) -> None:
        up, ended = tmp_path / "up", tmp_path / "ended"
        slow = Recipe("kernel-test-0123", shell(f"{trap(ended)} touch {up}; wait").build)
        failing = shell(f"until [ -e {up} ]; do sleep 0.1; done; exit 1")
        with pytest.raises(ImageError):
            image.made([slow, failing])
        assert ended.exists()

    def test_ends_when_the_run_is_killed(self, tmp_path: Path) -> None:
        ended = tmp_path / "ended"
        log = tmp_path / "log"
        program = f"""
import os, pathlib, time
from board import image
image._started(["sh", "-c", {f"{trap(ended)} echo up; wait"!r}], pathlib.Path({str(log)!r}))
while not pathlib.Path({str(log)!r}).read_text():
    time.sleep(0.01)
os.kill(os.getpid(), 9)
"""
        subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent.parent, check=False)
        deadline = time.monotonic() + 30
        while not ended.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ended.exists()

    def test_waits_for_another_run(self, cache: Path) -> None:
        script = "import fcntl, os, sys, time; fcntl.flock(os.open(sys.argv[1], os.O_CREAT | os.O_RDWR), 2)"
        script += "; print('locked', flush=True); time.sleep(1); os.mkdir(sys.argv[2])"
        cache.mkdir()
        other = subprocess.Popen(
            [sys.executable, "-c", script, str(cache / "root-test-0123.lock"), str(shell("").directory)],
            stdout=subprocess.PIPE,
        )
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        make(shell("echo twice >$1/made"))
        other.communicate()
        assert list(shell("").directory.iterdir()) == []

    def test_removes_what_nobody_used_for_a_month(self, cache: Path) -> None:
        old, other, recent = cache / "root-amd64-0", cache / "machines", cache / "root-amd64-1"
        for directory in (old, other, recent):
            (directory / "inside").mkdir(parents=True)
        for directory in (old, other):
            os.utime(directory, (0, 0))
        make(shell("touch $1/made"))
        assert not old.exists()
        assert other.exists()
        assert recent.exists()

    def test_use_keeps_an_image(self) -> None:
        make(shell("touch $1/made"))
        os.utime(shell("").directory, (0, 0))
        make(shell(""))
        assert shell("").directory.stat().st_mtime > time.time() - image.KEPT_SECONDS


class TestImages:
    """What ensure() returns, with a stand-in for mmdebstrap."""

    MMDEBSTRAP = """
import io, pathlib, shlex, sys, tarfile
for argument in sys.argv:
    if argument.startswith("--extract-hook=copy-out"):
        *inside, outside = shlex.split(argument)[1:]
        for path in inside:
            (pathlib.Path(outside) / pathlib.Path(path).name).write_text("7.2\\n")
if "--format=tar" in sys.argv:
    tarfile.open(fileobj=sys.stdout.buffer, mode="w|").close()
"""

    def test_are_built_and_found_again(self, programs: Path) -> None:
        stand_in(programs, self.MMDEBSTRAP)
        images = image.ensure()
        assert images.version == "7.2"
        for path in (images.kernel, images.initrd, images.root, images.modules):
            assert path.is_file()
        (programs / "mmdebstrap").unlink()
        assert image.ensure() == images

    def test_print_as_json(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        here = Path("/cache")
        images = Images(
            "amd64", "a-b", "7.2", here / "vmlinuz", here / "initrd", here / "root", here / "modules"
        )
        monkeypatch.setattr(image, "ensure", lambda arch, fresh: images)
        monkeypatch.setattr(image, "guest_image", lambda: here / "guest.sqfs")
        monkeypatch.setattr(sys, "argv", ["image", "--arch", "amd64"])
        assert image.main() == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["kernel"] == "/cache/vmlinuz"
        assert printed["guest"] == "/cache/guest.sqfs"


class TestHost:
    """A machine that lacks something."""

    def test_without_mmdebstrap(self, programs: Path, cache: Path) -> None:
        assert image.missing() == ["mmdebstrap"]
        with pytest.raises(ImageError, match="sudo apt install mmdebstrap"):
            image.ensure()
        assert not list(cache.glob("*.partial"))

    def test_that_only_builds_packages_needs_no_emulator(self, programs: Path) -> None:
        stand_in(programs, "import pathlib, sys; pathlib.Path(sys.argv[-1]).touch()")
        for name in ("mksquashfs", "qemu-img", image.EMULATORS["amd64"]):
            (programs / name).unlink()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(image, "mirror", list)
            assert image.build_root(["sample"]).name == "root.tar.gz"

    def test_that_does_not_run_the_architecture(self, programs: Path) -> None:
        stand_in(programs, "")
        other = "arm64" if image._host_architecture() == "amd64" else "amd64"
        (programs / "arch-test").unlink()
        (programs / "arch-test").symlink_to("/bin/false")
        with pytest.raises(ImageError, match="binfmt_misc"):
            image.ensure(other)

    def test_main_says_so_without_a_traceback(
        self, programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["image"])
        assert image.main() == 1
        assert capsys.readouterr().err == "the virtual board needs: sudo apt install mmdebstrap\n"
