"""Running programs and handling files."""

from __future__ import annotations

import asyncio
import glob as globbing
import io
import os
import signal as signals
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOGS = Path("/run/board")


class Programs:
    """What runs on the board besides the hand. Environments are added to the hand's own."""

    def __init__(self) -> None:
        self._started: dict[str, asyncio.subprocess.Process] = {}

    async def run(
        self,
        argv: Sequence[str],
        input: bytes = b"",
        timeout: float = 60,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
    ) -> dict[str, Any]:
        """Run a program to its end: {code, stdout, stderr}. Raises TimeoutError, having killed it."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(input), timeout)
        except TimeoutError:
            os.killpg(process.pid, signals.SIGKILL)
            await process.wait()
            raise TimeoutError(f"{' '.join(argv)} did not end within {timeout:g} s") from None
        return {"code": process.returncode, "stdout": out, "stderr": err}

    async def start(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> int:
        """Start a program that goes on running; its process number. It writes to /run/board/NAME.log."""
        if await self.status(name, missing_ok=True) is None and name in self._started:
            raise RuntimeError(f"{name} is running already")
        with (LOGS / f"{name}.log").open("ab") as log:
            self._started[name] = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                cwd="/",
                start_new_session=True,
            )
        return self._started[name].pid

    async def stop(self, name: str, signal: int = signals.SIGTERM, timeout: float = 10) -> int:
        """Send a signal and wait for the end, which is enforced after ``timeout`` seconds; the exit code."""
        process = self._process(name)
        if process.returncode is None:
            process.send_signal(signal)
            try:
                await asyncio.wait_for(process.wait(), timeout)
            except TimeoutError:
                process.kill()
        return await process.wait()

    async def status(self, name: str, missing_ok: bool = False) -> int | None:
        """The exit code of a started program, negative for a signal; None while it runs."""
        if missing_ok and name not in self._started:
            return None
        return self._process(name).returncode

    def _process(self, name: str) -> asyncio.subprocess.Process:
        if name not in self._started:
            raise LookupError(f"no program {name} was started")
        return self._started[name]


class Files:
    """Files of the board, and its clock."""

    async def read_file(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """Bytes of a file, from ``offset`` on."""
        return await asyncio.to_thread(_read, path, offset, size)

    async def write_file(self, path: str, data: bytes, mode: int = 0o644, append: bool = False) -> None:
        """Write a file; directories on the way are made."""
        await asyncio.to_thread(_write, path, data, mode, append)

    async def unpack(self, data: bytes, directory: str) -> list[str]:
        """Unpack a zip archive; the names in it."""
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.extractall(directory)
            return archive.namelist()

    async def wait_for(self, glob: str, present: bool = True, timeout: float = 20) -> list[str]:
        """Wait until a path that matches is there, or is gone; what matches. Raises TimeoutError."""
        return await appear(glob, present=present, timeout=timeout)

    async def set_clock(self, epoch: float) -> None:
        """Set the clock to seconds since 1970."""
        time.clock_settime(time.CLOCK_REALTIME, epoch)


async def appear(pattern: str, *, present: bool = True, timeout: float = 20) -> list[str]:
    """Wait until a path matches ``pattern``, or none does any more; the paths. Raises TimeoutError."""
    deadline = time.monotonic() + timeout
    while bool(found := globbing.glob(pattern)) is not present:
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"{pattern} is {'not there' if present else 'still there'} after {timeout:g} s"
            )
        await asyncio.sleep(0.01)
    return sorted(found)


def _read(path: str, offset: int, size: int | None) -> bytes:
    with open(path, "rb") as file:
        if offset:
            file.seek(offset)
        return file.read(-1 if size is None else size)


def _write(path: str, data: bytes, mode: int, append: bool) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab" if append else "wb") as file:
        file.write(data)
    if Path(path).is_file():  # not a device
        os.chmod(path, mode)
