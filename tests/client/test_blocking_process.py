"""The blocking API in processes of their own: interrupts, forks, exits, and without uvloop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from importlib.util import find_spec

PREAMBLE = """
import asyncio, gc, os, random, signal, sys, threading, time, warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
from myclerk_client.twins import twin
from myclerk_protocol.status import LocalError

def say(text):
    print(text, flush=True)

class Device:
    async def sleep(self, seconds):
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.sleep(0.05)
            say("cleaned up")
    async def echo(self, value):
        return value
    async def wait_twice(self, value):
        await asyncio.sleep(0)
        await asyncio.sleep(0.0001)
        return value
    def plain(self, value):
        return value

device = twin(Device)()
"""


@contextlib.contextmanager
def running(script: str, before: str = "", *options: str) -> Iterator[subprocess.Popen[str]]:
    """A script as a process, which is killed with all its children if it does not end by itself."""
    text = before + PREAMBLE + textwrap.dedent(script)
    with subprocess.Popen(
        [sys.executable, *options, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def run(script: str, before: str = "", *options: str) -> list[str]:
    """The lines that a script printed; it must end well and print nothing on stderr."""
    with running(script, before, *options) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    return output.splitlines()


def test_an_interrupt_cancels_the_call_and_propagates_after_its_cleanup() -> None:
    script = """
        class Sleeper(Device):
            async def sleep(self, seconds):
                say("asleep")
                await super().sleep(seconds)
        try:
            twin(Sleeper)().sleep(60)
        except KeyboardInterrupt:
            say("interrupted")
        say(device.echo("usable"))
    """
    with running(script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asleep\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert output.splitlines() == ["cleaned up", "interrupted", "usable"]
    assert (process.returncode, errors) == (0, "")


def test_an_interrupt_that_comes_just_before_the_wait_is_not_lost() -> None:
    output = run("""
        class Interrupting:
            async def sleep(self):
                signal.raise_signal(signal.SIGINT)  # in this thread it interrupts no wait of the other
                await asyncio.sleep(50)
        started = time.monotonic()
        try:
            twin(Interrupting)().sleep()
        except KeyboardInterrupt:
            say("interrupted")
        say(time.monotonic() - started < 40)
    """)
    assert output == ["interrupted", "True"]


def test_a_second_interrupt_does_not_wait_for_the_cleanup() -> None:
    script = """
        class Slow:
            def __init__(self):
                self.allowed, self.cleaned = asyncio.Event(), asyncio.Event()
            async def sleep(self):
                try:
                    say("asleep")
                    await asyncio.sleep(60)
                finally:
                    say("cleaning")
                    await self.allowed.wait()
                    say("cleaned")
                    self.cleaned.set()
            async def clean(self):
                self.allowed.set()
                await self.cleaned.wait()
        slow = twin(Slow)()
        try:
            slow.sleep()
        except KeyboardInterrupt:
            say("interrupted")
        say(device.echo("usable"))
        slow.clean()
    """
    with running(script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asleep\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cleaning\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert output.splitlines() == ["interrupted", "usable", "cleaned"]
    assert (process.returncode, errors) == (0, "")


def test_interrupts_at_any_moment_neither_hang_nor_mix_up_answers_nor_leak_files() -> None:
    script = """
        class Interrupted(BaseException):
            pass
        def interrupt(number, frame):
            global armed
            if armed:
                armed = False
                raise Interrupted
        calls = [device.echo, device.plain, device.wait_twice]
        files, interrupts, answers = len(os.listdir("/proc/self/fd")), 0, 0
        signal.signal(signal.SIGALRM, interrupt)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 4e-4))
                for value in range(100):
                    assert random.choice(calls)(value) == value
                    answers += 1
                armed = False
            except Interrupted:
                interrupts += 1
        say(device.echo("done"))
        say((interrupts > 500 and answers > 500) or (interrupts, answers))
        gc.collect()
        say(len(os.listdir("/proc/self/fd")) - files < interrupts / 20)
    """
    with running(script) as process:
        output, _ = process.communicate(timeout=60)  # Python reports interrupts of callbacks on stderr
    assert (process.returncode, output.splitlines()) == (0, ["done", "True", "True"])


def test_after_a_fork_old_objects_say_so_and_new_ones_work_on_both_sides() -> None:
    output = run("""
        device.echo(1)
        child = os.fork()
        if child == 0:
            try:
                device.echo(1)
            except LocalError as error:
                say(f"child: {error}")
            say(f"child: {twin(Device)().echo('anew')}")
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        say(f"parent: {device.echo('still here')}")
    """)
    assert len(output) == 3
    assert "forked" in output[0]
    assert output[1:] == ["child: anew", "parent: still here"]


def test_a_fork_while_another_thread_is_in_a_call() -> None:
    output = run("""
        caller = threading.Thread(target=device.sleep, args=(1,))
        caller.start()
        time.sleep(0.2)
        child = os.fork()
        if child == 0:
            say(f"child: {twin(Device)().echo('anew')}")
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        caller.join()
    """)
    assert output == ["child: anew", "cleaned up"]


def test_a_fork_while_another_thread_makes_the_first_call() -> None:
    output = run("""
        from myclerk_client import background
        with background._process.starting:  # as that thread would
            child = os.fork()
            if child == 0:
                say(f"child: {twin(Device)().echo('anew')}")
                sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
    """)
    assert output == ["child: anew"]


def test_exit_ends_tasks_and_leaves_daemon_threads_that_wait_in_silence() -> None:
    started = time.monotonic()
    output = run("""
        class Keeper:
            async def start(self):
                self.task = asyncio.get_running_loop().create_task(self.keep())
                await asyncio.sleep(0)
            async def keep(self):
                try:
                    await asyncio.sleep(3600)
                finally:
                    say("task ended")
        twin(Keeper)().start()
        threading.Thread(target=device.sleep, args=(3600,), daemon=True).start()
        time.sleep(0.2)
    """)
    assert sorted(output) == ["cleaned up", "task ended"]
    assert time.monotonic() - started < 30


def test_a_thread_that_is_no_daemon_finishes_its_calls_before_the_exit() -> None:
    output = run("""
        threading.Thread(target=lambda: say(device.wait_twice("answered")), name="late").start()
    """)
    assert output == ["answered"]


def test_a_call_after_the_end_says_so() -> None:
    before = """
import atexit
def late():
    try:
        device.echo(1)
    except LocalError as error:
        say(error)
atexit.register(late)
"""
    (sentence,) = run("device.echo(1)", before)
    assert "the program is ending" in sentence


ASKING_FOR_THE_LOOP = """
    class Asker:
        async def loop(self):
            return type(asyncio.get_running_loop()).__module__.partition(".")[0]
    say(twin(Asker)().loop())
    say(device.wait_twice("answered"))
"""


def test_it_works_without_uvloop() -> None:
    output = run(ASKING_FOR_THE_LOOP, "import sys\nsys.modules['uvloop'] = None\n")
    assert output == ["asyncio", "answered"]


def test_it_does_without_uvloop_in_debug_mode() -> None:
    usual = "uvloop" if find_spec("uvloop") else "asyncio"
    assert run(ASKING_FOR_THE_LOOP) == [usual, "answered"]
    assert run(ASKING_FOR_THE_LOOP, "", "-X", "dev") == ["asyncio", "answered"]
