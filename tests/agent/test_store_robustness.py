"""What the database promises holds through crashes, full disks and several processes at once."""

import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from storing import PIN, applicant, invite

from myclerk_agent.store import Applicant, Store, StoreError
from myclerk_protocol.status import Conflict, ServiceUnavailable


def test_a_full_disk_is_told_and_changes_nothing(store, path):
    """No file of this process may grow: what a full disk does to SQLite, without one."""
    invite(store)
    before = (store.devices(), store.find_pin(PIN))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat(f"{path}-wal").st_size, limits[1]))
    try:
        with pytest.raises(StoreError) as failed:
            store.spend_pin(PIN, applicant())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert isinstance(failed.value, ServiceUnavailable)
    assert (store.devices(), store.find_pin(PIN)) == before
    assert store.spend_pin(PIN, applicant()).fingerprint == "B" * 28


def test_a_full_database_is_told_and_changes_nothing(store):
    invite(store)
    store._database.rows("PRAGMA max_page_count = 1")
    huge = Applicant("B" * 28, b"p" * 1_000_000, b"k", None, "")
    with pytest.raises(StoreError):
        store.spend_pin(PIN, huge)
    assert store.devices() == []
    assert store.find_pin(PIN).bound_to is None


def run(script, *arguments):
    """Start a Python process of its own on the database."""
    prelude = """
        import sys
        from pathlib import Path
        from fake_environment import World
        from myclerk_agent.store import Applicant, Store
        from myclerk_protocol.status import TooMany
        store = Store(Path(sys.argv[1]), World().environment, "this boot")
        def tell(line):
            sys.stdout.write(line)
            sys.stdout.flush()
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


ENROL_FOR_EVER = """
    for number in range(10**6):
        pin, device = f"P{number:027}", f"D{number:027}"
        store.add_pin(pin, bytes(16), access=1, administrator=False, description="", lifetime=900)
        tell(f"pin {pin}\\n")
        store.spend_pin(pin, Applicant(device, b"p" * 5000, b"k", None, ""))
        tell(f"device {device}\\n")
"""


@pytest.mark.parametrize("attempt", range(5))
def test_a_crash_loses_nothing_that_was_promised_and_leaves_no_half(path, world, attempt):
    process = run(ENROL_FOR_EVER, path)
    promised = [process.stdout.readline().split() for _ in range(random.randrange(1, 40))]
    time.sleep(random.random() / 100)
    process.send_signal(signal.SIGKILL)
    promised += [line.split() for line in process.stdout.read().splitlines()]
    process.wait()
    process.stdout.close()
    store = Store(path, world.environment, "this boot")
    devices = {device.fingerprint for device in store.devices()}
    bound = {row["bound_to"] for row in store._database.rows("SELECT bound_to FROM pins")} - {None}
    assert {name for kind, name in promised if kind == "device"} <= devices
    assert all(store.find_pin(name) for kind, name in promised if kind == "pin")
    assert devices == bound
    store.close()


INVITE_MANY = """
    for number in range(60):
        pin = f"{sys.argv[2]}{number:027}"
        store.add_pin(pin, bytes(16), access=1, administrator=False, description="", lifetime=900)
        store.spend_pin(pin, Applicant(pin, b"p", b"k", None, ""))
"""


def test_two_processes_start_and_write_at_once(path, world):
    processes = [run(INVITE_MANY, path, letter) for letter in "XYZ"]
    for process in processes:
        process.stdout.read()
        process.stdout.close()
        assert process.wait() == 0
    store = Store(path, world.environment, "this boot")
    assert len(store.devices()) == 180
    store.close()


def test_many_may_open_a_new_file_at_once(tmp_path, world):
    """Without a lock one in twenty finds the file there already, or locked while WAL is switched on."""
    failures = []

    def open_it(path, start):
        start.wait()
        try:
            Store(path, world.environment, "this boot").close()
        except StoreError as error:
            failures.append(error.message)

    for attempt in range(30):
        start = threading.Barrier(6)
        threads = [
            threading.Thread(target=open_it, args=(tmp_path / f"{attempt}.db", start)) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


def test_what_another_process_does_is_seen(store, path, world):
    assert not store.changed_elsewhere()
    invite(store)
    assert not store.changed_elsewhere()
    beside = Store(path, world.environment, "this boot")
    beside.add_pin("Y" * 28, bytes(16), access=1, administrator=False, description="", lifetime=900)
    beside.close()
    assert store.changed_elsewhere()
    assert not store.changed_elsewhere()
    assert store.find_pin("Y" * 28) is not None


def test_one_pin_admits_one_of_many_who_race(path, world):
    """Two connections to the file, as of two processes, spend the same PIN at the same time."""
    first = Store(path, world.environment, "this boot")
    invite(first)
    first.close()
    outcomes, start = [], threading.Barrier(4)

    def spend(letter):
        store = Store(path, world.environment, "this boot")
        start.wait()
        try:
            outcomes.append(store.spend_pin(PIN, applicant(letter)).fingerprint)
        except Conflict:
            outcomes.append("refused")
        store.close()

    threads = [threading.Thread(target=spend, args=(letter,)) for letter in "BCDE"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes)[1:] == ["refused"] * 3
    store = Store(path, world.environment, "this boot")
    assert [device.fingerprint for device in store.devices()] == sorted(outcomes)[:1]
    store.close()
