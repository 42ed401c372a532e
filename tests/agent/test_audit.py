"""The audit log: complete, private, and never in the way."""

import fcntl
import json
import logging
import os
import resource
import signal
import stat
import subprocess
import sys
import threading

import pytest
from fake_environment import World

from myclerk_agent import audit as audit_module
from myclerk_agent.audit import Audit
from myclerk_agent.audit_check import verify

ACTOR = "M" * 28


@pytest.fixture
def audit(tmp_path, world):
    audit = Audit(tmp_path, world.environment)
    yield audit
    audit.close(0.1)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_record_is_a_json_line_and_a_log_record(audit, tmp_path, world, caplog):
    caplog.set_level(logging.INFO, "myclerk")
    audit.record(ACTOR, "SERIAL_PORT_OPEN", "serial:ttyUSB0", "ok", baud_rate=9600, shared=False, holder=None)
    assert audit.flush()
    expected = {
        "actor": ACTOR,
        "action": "SERIAL_PORT_OPEN",
        "resource": "serial:ttyUSB0",
        "outcome": "ok",
        "baud_rate": 9600,
        "shared": False,
    }
    chain = {"number": 1, "previous": "0" * 64}
    assert lines(tmp_path / "audit.jsonl") == [{**chain, "time": world.wall_time, **expected}]
    (record,) = caplog.records
    assert (record.name, record.levelname, record.fields) == ("myclerk.audit", "INFO", expected)


def test_the_files_are_private(audit, tmp_path):
    audit.record(ACTOR, "A", "", "ok")
    assert audit.flush()
    for name in ("audit.jsonl", "audit.head"):
        assert stat.S_IMODE(os.stat(tmp_path / name).st_mode) == 0o600


def test_binary_values_are_recorded_by_length_and_text_is_cleaned(audit, tmp_path):
    secret = b"secret key material"
    audit.record("evil\nname", "A", "x" * 1000, "ok", key=secret, view=memoryview(secret), path="\x1b[2J")
    assert audit.flush()
    text = (tmp_path / "audit.jsonl").read_text()
    (line,) = lines(tmp_path / "audit.jsonl")
    assert "secret" not in text
    assert (line["key"], line["view"]) == ("<19 bytes>", "<19 bytes>")
    assert (line["actor"], line["path"], len(line["resource"])) == ("evil\ufffdname", "\ufffd[2J", 200)


def test_fields_cannot_pose_as_the_entry(audit, tmp_path, world):
    audit.record(ACTOR, "A", "", "FORBIDDEN", time=0, number=7, previous="x")
    assert audit.flush()
    (line,) = lines(tmp_path / "audit.jsonl")
    assert (line["outcome"], line["time"], line["number"]) == ("FORBIDDEN", world.wall_time, 1)
    assert line["previous"] == "0" * 64


def write_many(directory, writer):
    audit = Audit(directory, World().environment, size_limit=20_000)
    for number in range(150):
        audit.record(writer, "A", "", "ok", count=number)
        if number % 10 == 0:
            audit.flush()
    audit.close()


def test_several_writers_lose_nothing_and_tear_no_line(tmp_path):
    """The lock belongs to the open file, so that threads exclude each other as processes do."""
    writers = [threading.Thread(target=write_many, args=(tmp_path, name)) for name in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    report = verify(tmp_path)
    assert (report.records, report.problems) == (300, [])
    rotated = sorted(tmp_path.glob("audit.jsonl.*"), reverse=True)
    assert rotated
    written = [line for path in (*rotated, tmp_path / "audit.jsonl") for line in lines(path)]
    for name in ("one", "two"):
        assert [line["count"] for line in written if line["actor"] == name] == list(range(150))


STOPPED = """
import fcntl, os, signal, sys
file = open(sys.argv[1], "ab")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_command_that_was_stopped_with_the_lock_keeps_nobody_waiting(audit, tmp_path):
    """Ctrl-Z at the wrong moment: the agent's loop goes on, and the records are there when the command is."""
    audit.record(ACTOR, "A", "", "ok")
    assert audit.flush()
    path = tmp_path / "audit.jsonl"
    with subprocess.Popen([sys.executable, "-c", STOPPED, path], stdout=subprocess.PIPE) as command:
        assert command.stdout.readline() == b"locked\n"
        for _ in range(100):
            audit.record(ACTOR, "B", "", "ok")  # returns, while nobody can take the lock
        assert not audit.flush(0.1)
        os.kill(command.pid, signal.SIGCONT)
    assert audit.flush()
    assert verify(tmp_path).records == 101


def test_a_file_rotated_by_another_process_is_not_written_to(audit, tmp_path):
    audit.record(ACTOR, "A", "", "ok")
    assert audit.flush()
    with open(tmp_path / "audit.jsonl", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        audit.record(ACTOR, "B", "", "ok")
        assert not audit.flush(0.1)
        os.replace(tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1")
    assert audit.flush()
    assert [line["action"] for line in lines(tmp_path / "audit.jsonl")] == ["B"]
    assert verify(tmp_path).problems == []


def test_failures_are_told_once_and_what_was_recorded_meanwhile_is_written_later(audit, tmp_path, caplog):
    (tmp_path / "audit.jsonl").mkdir()
    for _ in range(3):
        audit.record(ACTOR, "A", "", "ok")
    assert not audit.flush(0.2)
    (tmp_path / "audit.jsonl").rmdir()
    audit.record(ACTOR, "B", "", "ok")
    assert audit.flush()
    assert [line["action"] for line in lines(tmp_path / "audit.jsonl")] == ["A", "A", "A", "B"]
    told = [record.message for record in caplog.records if record.levelno > logging.INFO]
    assert told == ["The audit log cannot be written", "The audit log can be written again"]


def test_a_full_disk_leaves_whole_lines_only(audit, tmp_path, caplog):
    audit.record(ACTOR, "A", "", "ok")
    assert audit.flush()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(tmp_path / "audit.jsonl") + 10, limits[1]))
    try:
        audit.record(ACTOR, "B", "", "ok")
        assert not audit.flush(0.2)
        assert [line["action"] for line in lines(tmp_path / "audit.jsonl")] == ["A"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert audit.flush()
    assert [line["action"] for line in lines(tmp_path / "audit.jsonl")] == ["A", "B"]
    assert "The audit log cannot be written" in caplog.messages


def test_what_does_not_fit_while_nothing_can_be_written_is_counted(audit, tmp_path, monkeypatch):
    monkeypatch.setattr(audit_module, "WAITING_LIMIT", 5)
    (tmp_path / "audit.jsonl").mkdir()
    for number in range(8):
        audit.record(ACTOR, f"A{number}", "", "ok")
    (tmp_path / "audit.jsonl").rmdir()
    assert audit.flush()
    written = lines(tmp_path / "audit.jsonl")
    assert [line["action"] for line in written] == [*(f"A{number}" for number in range(5)), "audit"]
    assert (written[-1]["outcome"], written[-1]["records"]) == ("lost", 3)


def test_an_end_with_records_left_says_how_many(tmp_path, world, caplog):
    audit = Audit(tmp_path, world.environment)
    (tmp_path / "audit.jsonl").mkdir()
    audit.record(ACTOR, "A", "", "ok")
    audit.close()
    audit.close()
    left = [r.fields["records"] for r in caplog.records if r.message == "Audit records could not be written"]
    assert left == [1, 1]
    Audit(tmp_path, world.environment).close()
