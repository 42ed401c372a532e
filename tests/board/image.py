"""The images a virtual board is made of, built from ``recipe/`` with mmdebstrap and kept in a cache.

``python -m board.image`` (in tests/) builds them and prints their paths as JSON.

A name in the cache ends with a hash of everything that went in, so a changed recipe makes a new image. The Debian
archive may move, what was built stays. Images that were not used for 30 days are removed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
RECIPE = HERE / "recipe"
GUEST = HERE / "guest"
MODELS = HERE.parent.parent / "drivers" / "myclerk_drivers" / "models"

ROOT_SUITE = "trixie"
KERNEL_SUITE = "forky"  # trixie's kernel has no gpio-sim
KERNEL_TOOLS = (
    "base-files", "binutils", "coreutils", "cpio", "dash", "dpkg", "findutils", "gawk", "grep", "kmod", "libc-bin",
    "make", "sed", "squashfs-tools", "tar", "xz-utils",
)  # fmt: skip
KERNEL_RECIPE = ("build-kernel.sh", "fetch-kernel.sh", "init", "modules", "modules.txt")
ROOT_RECIPE = ("packages.txt", "prepare-root.sh")
NO_DOCUMENTATION = [
    f"--dpkgopt=path-exclude=/usr/share/{directory}/*" for directory in ("doc", "info", "locale", "man")
]

EMULATORS = {"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}
USER_EMULATORS = {"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static"}
PACKAGE_OF = {
    "arch-test": "arch-test",
    "mmdebstrap": "mmdebstrap",
    "mksquashfs": "squashfs-tools",
    "sqfstar": "squashfs-tools",
    "newuidmap": "uidmap",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-x86_64-static": "qemu-user-static",
    "qemu-aarch64-static": "qemu-user-static",
}
"""The Debian package that has a program."""

KEPT_SECONDS = 30 * 24 * 3600
LOG_LINES = 20
ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM")
PROGRESS = ("I: running apt", "I: downloading", "I: extracting", "I: installing", "I: creating", "I: kernel:")
"""How lines of a log begin that tell what is being done."""


class ImageError(RuntimeError):
    """An image cannot be built; the message says why and what to do."""


@dataclass(frozen=True)
class Images:
    """What a board of ``arch`` boots from; ``version`` is the kernel's, ``name`` differs when any image does."""

    arch: str
    name: str
    version: str
    kernel: Path
    initrd: Path
    root: Path
    modules: Path


@dataclass(frozen=True)
class Recipe:
    """How a directory in the cache comes to be: ``build`` fills a new one and logs to a file."""

    name: str
    build: Callable[[Path, Path], subprocess.Popen[bytes]]

    @property
    def directory(self) -> Path:
        """Where it is in the cache, if it is."""
        return cache_directory() / self.name

    @property
    def log(self) -> Path:
        """What its build says; stays if that fails."""
        return cache_directory() / f"{self.name}.log"

    @property
    def title(self) -> str:
        """What progress is reported as."""
        return self.name.rpartition("-")[0]


def cache_directory() -> Path:
    """$MYCLERK_BOARD_CACHE, else myclerk-board in the user's cache directory."""
    if chosen := os.environ.get("MYCLERK_BOARD_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "myclerk-board"


def missing(arch: str = "amd64") -> list[str]:
    """The Debian packages that a board of ``arch`` needs and this machine lacks."""
    programs = ["mksquashfs", "sqfstar", "qemu-img", EMULATORS[arch]]
    if arch != _host_architecture():
        programs += ["arch-test", USER_EMULATORS[arch]]
    return sorted({*missing_to_build(), *_packages_of(programs)})


def missing_to_build() -> list[str]:
    """The Debian packages that :func:`build_root` needs and this machine lacks."""
    return _packages_of(["mmdebstrap"] if os.geteuid() == 0 else ["mmdebstrap", "newuidmap"])


def _packages_of(programs: Iterable[str]) -> list[str]:
    """The packages that have those of ``programs`` that are not here."""
    return sorted({PACKAGE_OF[program] for program in programs if shutil.which(program) is None})


def ensure(arch: str = "amd64", *, fresh: bool = False) -> Images:
    """The images for ``arch`` ("amd64" or "arm64"), built if the cache has none or ``fresh`` ones are asked for.

    Raises ImageError.
    """
    kernel, root = kernel_recipe(arch), root_recipe(arch)
    if fresh or not (kernel.directory.exists() and root.directory.exists()):
        _check_host(arch)
    made([kernel, root], fresh=fresh)
    return Images(
        arch=arch,
        name=f"{kernel.name}-{root.name}",
        version=(kernel.directory / "version").read_text().strip(),
        kernel=kernel.directory / "vmlinuz",
        initrd=kernel.directory / "initrd.cpio",
        root=root.directory / "root.sqfs",
        modules=kernel.directory / "modules.sqfs",
    )


def guest_image() -> Path:
    """The squashfs image of what runs inside: ``guest/``, and the device models as its package ``models``.

    Its stem is another one for other contents. Raises ImageError.
    """
    name = f"guest-{_hash(_files(GUEST) + _files(MODELS))}"
    directory = cache_directory() / name

    def build(target: Path, log: Path) -> subprocess.Popen[bytes]:
        tree = target / "tree"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(GUEST, tree, ignore=ignored)
        shutil.copytree(MODELS, tree / "models", ignore=ignored)
        script = (
            'mksquashfs "$1/tree" "$1/$2.sqfs" -comp lz4 -all-root -no-progress -quiet && rm -r "$1/tree"'
        )
        return _started(["sh", "-c", script, "sh", str(target), name], log)

    if not directory.exists():
        _check_host(_host_architecture())
    made([Recipe(name, build)])
    return directory / f"{name}.sqfs"


def kernel_recipe(arch: str) -> Recipe:
    """Kernel, initramfs and modules, compiled by this machine's own architecture in a forky root."""
    output = "/out/vmlinuz /out/initrd.cpio /out/modules.sqfs /out/version"
    packages = [*KERNEL_TOOLS, f"linux-headers-{arch}:{arch}", f"busybox-static:{arch}"]
    command = [
        "--variant=extract",  # the tools work without their packages' scripts, in half the time
        "--format=null",
        f"--architectures={','.join(dict.fromkeys([_host_architecture(), arch]))}",
        "--aptopt=Acquire::Check-Valid-Until false",  # mirrors may be behind
        f"--include={','.join(packages)}",
        *NO_DOCUMENTATION,
        '--extract-hook=mkdir -p "$1/build/recipe"',
        f"--extract-hook=copy-in {' '.join(KERNEL_RECIPE)} /build/recipe",
        f'--extract-hook=sh "$1/build/recipe/fetch-kernel.sh" {arch} "$1"',
        f'--extract-hook=chroot "$1" sh /build/recipe/build-kernel.sh {arch}',
    ]

    def build(target: Path, log: Path) -> subprocess.Popen[bytes]:
        copy = f"--extract-hook=copy-out {output} {shlex.quote(str(target))}"
        return _started(["mmdebstrap", *command, copy, KERNEL_SUITE, "-", *mirror()], log)

    files = [file for part in KERNEL_RECIPE for file in _files(RECIPE / part)]
    return Recipe(f"kernel-{arch}-{_hash(files, *command, KERNEL_SUITE)}", build)


def root_recipe(arch: str) -> Recipe:
    """The root filesystem, with the packages' own scripts run (emulated if ``arch`` is not this machine's)."""
    packages = [
        package
        for line in (RECIPE / "packages.txt").read_text().splitlines()
        if (package := line.partition("#")[0].strip())
    ]
    command = [
        "--variant=minbase",
        "--format=tar",
        f"--architectures={arch}",
        f"--include={','.join(packages)}",
        *NO_DOCUMENTATION,
        "--customize-hook=upload prepare-root.sh /prepare-root.sh",
        '--customize-hook=chroot "$1" sh /prepare-root.sh',
        '--customize-hook=rm "$1/prepare-root.sh"',
    ]
    pipe = '"$@" | sqfstar -comp lz4 -root-mode 0755 -no-progress -quiet "$image"'

    def build(target: Path, log: Path) -> subprocess.Popen[bytes]:
        script = f"set -o pipefail; image=$1; shift; {pipe}"
        image = str(target / "root.sqfs")
        mmdebstrap = [*ENDS_WITH_US, "mmdebstrap", *command, ROOT_SUITE, "-", *mirror()]
        return _started(["bash", "-c", script, "bash", image, *mmdebstrap], log)

    files = [file for part in ROOT_RECIPE for file in _files(RECIPE / part)]
    return Recipe(f"root-{arch}-{_hash(files, *command, ROOT_SUITE, pipe)}", build)


def build_root(packages: Iterable[str]) -> Path:
    """A Debian 13 of this machine's architecture with ``packages``, to build in: a tar archive. Raises ImageError."""
    command = [
        "mmdebstrap",
        "--variant=buildd",
        "--format=tar",
        f"--include={','.join(packages)}",
        ROOT_SUITE,
    ]

    def build(target: Path, log: Path) -> subprocess.Popen[bytes]:
        return _started([*command, str(target / "root.tar.gz"), *mirror()], log)

    if lacking := missing_to_build():
        raise ImageError(f"to build packages: sudo apt install {' '.join(lacking)}")
    recipe = Recipe(f"root-build-{_hash([], *command, 'gzip')}", build)
    made([recipe])
    return recipe.directory / "root.tar.gz"


def made(recipes: Iterable[Recipe], *, fresh: bool = False) -> None:
    """See that all of ``recipes`` are in the cache; what is not is built, side by side. Raises ImageError."""
    recipes = list(recipes)
    if fresh or not all(recipe.directory.exists() for recipe in recipes):
        cache_directory().mkdir(parents=True, exist_ok=True)
        with ExitStack() as locks:
            for recipe in recipes:
                locks.enter_context(_locked(recipe))
            wanted = [recipe for recipe in recipes if fresh or not recipe.directory.exists()]
            if wanted:
                _build(wanted)
        _remove_unused()
    for recipe in recipes:
        os.utime(recipe.directory)


def _build(recipes: list[Recipe]) -> None:
    """Build side by side into directories that get their names when they are complete."""
    running: dict[Recipe, subprocess.Popen[bytes]] = {}
    partial = {recipe: cache_directory() / f"{recipe.name}.{os.getpid()}.partial" for recipe in recipes}
    try:
        for recipe in recipes:
            shutil.rmtree(partial[recipe], ignore_errors=True)
            partial[recipe].mkdir()
            running[recipe] = recipe.build(partial[recipe], recipe.log)
        for recipe, code in _watched(running):
            if code != 0:
                raise ImageError(_failure(recipe))
            shutil.rmtree(recipe.directory, ignore_errors=True)
            partial[recipe].rename(recipe.directory)
            recipe.log.unlink()
    finally:
        for process in running.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)  # mmdebstrap removes its temporary files
                process.wait()
        for directory in partial.values():
            shutil.rmtree(directory, ignore_errors=True)


def _started(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """A command among the recipe's files, in a process group of its own, that writes to ``log``.

    It ends when the thread that started it does, whatever the reason.
    """
    with log.open("wb") as output:
        return subprocess.Popen(
            [*ENDS_WITH_US, *command],
            cwd=RECIPE,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _watched(running: dict[Recipe, subprocess.Popen[bytes]]) -> Iterator[tuple[Recipe, int]]:
    """Report progress until all have ended; each with its exit code as it ends."""
    started = time.monotonic()
    left = dict(running)
    with ExitStack() as stack:
        logs = {recipe: stack.enter_context(recipe.log.open(errors="replace")) for recipe in running}
        while left:
            time.sleep(0.1)
            for recipe, process in list(left.items()):
                code = process.poll()
                for line in logs[recipe]:
                    if line.startswith(PROGRESS):
                        _report(recipe, started, line.removeprefix("I: ").strip())
                if code is not None:
                    del left[recipe]
                    _report(recipe, started, "done" if code == 0 else "failed")
                    yield recipe, code


def _report(recipe: Recipe, started: float, what: str) -> None:
    print(
        f"virtual board: {time.monotonic() - started:5.1f} s  {recipe.title}: {what}",
        file=sys.stderr,
        flush=True,
    )


def _failure(recipe: Recipe) -> str:
    """What the log says last, and what to try."""
    end = recipe.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return "\n".join(
        [
            f"the image {recipe.title} of the virtual board cannot be built. The end of {recipe.log}:",
            *(f"    {line}" for line in end),
            "Check that this machine reaches the Debian archive (apt update), has 2 GB free in "
            f"{cache_directory()} and in the directory for temporary files, and if you are not root, that user "
            "namespaces are allowed (unshare --map-root-user true).",
        ]
    )


def _check_host(arch: str) -> None:
    if packages := missing(arch):
        raise ImageError(f"the virtual board needs: sudo apt install {' '.join(packages)}")
    if (
        arch == _host_architecture()
        or subprocess.run(["arch-test", arch], capture_output=True).returncode == 0
    ):
        return
    raise ImageError(
        f"this machine does not run {arch} programs. With qemu-user-static installed, have the kernel use it:\n"
        "    sudo mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc  (if that directory is empty)\n"
        "    sudo systemctl restart systemd-binfmt\n"
        f"or, without systemd, as root: cat /usr/lib/binfmt.d/{USER_EMULATORS[arch].removesuffix('-static')}.conf"
        " >/proc/sys/fs/binfmt_misc/register"
    )


def mirror() -> list[str]:
    """The URI this machine gets Debian from, if it does; by default mmdebstrap knows one."""
    if shutil.which("apt-get") is None:
        return []
    filters = ["Created-By: Packages", "Component: main", "Origin: Debian", "Label: Debian"]
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", *filters], capture_output=True, text=True
    )
    return [uri for uri in targets.stdout.split() if uri.startswith(("http://", "https://"))][:1]


def _host_architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _files(path: Path) -> list[Path]:
    """The file, or those in the directory, in a fixed order."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _hash(files: Iterable[Path], *settings: str) -> str:
    """A short name for the contents of ``files`` and ``settings``; the same wherever the tree is."""
    digest = hashlib.sha256()
    for setting in settings:
        digest.update(setting.encode() + b"\0")
    for file in files:
        content = file.read_bytes()
        executable = os.access(file, os.X_OK)
        digest.update(f"{os.path.relpath(file, HERE)} {executable} {len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


@contextmanager
def _locked(recipe: Recipe) -> Iterator[None]:
    """Nobody else builds this image at the same time."""
    with (cache_directory() / f"{recipe.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"virtual board: waiting for another build of {recipe.title}", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_unused() -> None:
    """Remove images, logs and locks that nobody used for a month."""
    oldest = time.time() - KEPT_SECONDS
    for path in cache_directory().iterdir():
        if not path.name.startswith(("kernel-", "root-", "guest-")):
            continue
        try:
            if path.stat().st_mtime > oldest:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        except FileNotFoundError:
            pass  # another run was faster


def main() -> int:
    """Build the images and print their paths."""
    parser = argparse.ArgumentParser(
        prog="python -m board.image", description="Build the virtual board's images."
    )
    parser.add_argument("--arch", choices=sorted(EMULATORS), default=_host_architecture())
    parser.add_argument("--fresh", action="store_true", help="build them even if the cache has them")
    options = parser.parse_args()
    try:
        images = ensure(options.arch, fresh=options.fresh)
        paths = {**asdict(images), "guest": guest_image()}
    except ImageError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(paths, default=str, indent=4))
    return 0


if __name__ == "__main__":
    sys.exit(main())
