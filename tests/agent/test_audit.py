"""The audit log: complete, bounded, private, and never in the way."""

import fcntl
import json
import logging
import os
import resource
import stat
import threading

import pytest
from fake_environment import World

from myclerk_agent.audit import Audit

ACTOR = "M" * 28


@pytest.fixture
def audit(tmp_path, world):
    return Audit(tmp_path, world.environment)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_record_is_a_json_line_and_a_log_record(audit, tmp_path, world, caplog):
    caplog.set_level(logging.INFO, "myclerk")
    audit.record(ACTOR, "SERIAL_PORT_OPEN", "serial:ttyUSB0", "ok", baud_rate=9600, shared=False, holder=None)
    expected = {
        "actor": ACTOR,
        "action": "SERIAL_PORT_OPEN",
        "resource": "serial:ttyUSB0",
        "outcome": "ok",
        "baud_rate": 9600,
        "shared": False,
    }
    assert lines(tmp_path / "audit.jsonl") == [{"time": world.wall_time, **expected}]
    (record,) = caplog.records
    assert (record.name, record.levelname, record.fields) == ("myclerk.audit", "INFO", expected)


def test_the_file_is_private(audit, tmp_path):
    audit.record(ACTOR, "A", "", "ok")
    assert stat.S_IMODE(os.stat(tmp_path / "audit.jsonl").st_mode) == 0o600


def test_binary_values_are_recorded_by_length_and_text_is_cleaned(audit, tmp_path):
    secret = b"secret key material"
    audit.record("evil\nname", "A", "x" * 1000, "ok", key=secret, view=memoryview(secret), path="\x1b[2J")
    text = (tmp_path / "audit.jsonl").read_text()
    (line,) = lines(tmp_path / "audit.jsonl")
    assert "secret" not in text
    assert (line["key"], line["view"]) == ("<19 bytes>", "<19 bytes>")
    assert (line["actor"], line["path"], len(line["resource"])) == ("evil\ufffdname", "\ufffd[2J", 200)


def test_fields_cannot_pose_as_the_entry(audit, tmp_path):
    audit.record(ACTOR, "A", "", "FORBIDDEN", time=0)
    assert lines(tmp_path / "audit.jsonl")[0]["outcome"] == "FORBIDDEN"


def test_the_file_is_rotated_before_it_grows_over_its_limit(tmp_path, world):
    audit = Audit(tmp_path, world.environment, size_limit=500)
    for number in range(100):
        audit.record(ACTOR, "A", "", "ok", number=number)
    current, previous = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    assert sorted(os.listdir(tmp_path)) == ["audit.jsonl", "audit.jsonl.1"]
    assert os.path.getsize(current) < 700
    assert os.path.getsize(previous) < 700
    numbers = [line["number"] for line in lines(previous) + lines(current)]
    assert numbers == list(range(numbers[0], 100))


def write_many(directory, writer):
    audit = Audit(directory, World().environment, size_limit=20_000)
    for number in range(150):
        audit.record(writer, "A", "", "ok", number=number)


def test_several_writers_lose_nothing_and_tear_no_line(tmp_path):
    """The lock belongs to the open file, so that threads exclude each other as processes do."""
    writers = [threading.Thread(target=write_many, args=(tmp_path, name)) for name in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    written = lines(tmp_path / "audit.jsonl.1") + lines(tmp_path / "audit.jsonl")
    for name in ("one", "two"):
        numbers = [line["number"] for line in written if line["actor"] == name]
        assert numbers == list(range(150))[-len(numbers) :]
    assert len(written) > 200


def test_a_writer_waits_for_the_one_before(audit, tmp_path):
    audit.record(ACTOR, "A", "", "ok")
    with open(tmp_path / "audit.jsonl", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        writer = threading.Thread(target=audit.record, args=(ACTOR, "B", "", "ok"))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        os.replace(tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1")
    writer.join()
    assert [line["action"] for line in lines(tmp_path / "audit.jsonl")] == ["B"]


def test_failures_are_told_once_and_stop_nothing(audit, tmp_path, caplog):
    (tmp_path / "audit.jsonl").mkdir()
    for _ in range(3):
        audit.record(ACTOR, "A", "", "ok")
    (tmp_path / "audit.jsonl").rmdir()
    audit.record(ACTOR, "B", "", "ok")
    assert [line["action"] for line in lines(tmp_path / "audit.jsonl")] == ["B"]
    told = [record.message for record in caplog.records if record.levelno > logging.INFO]
    assert told == ["The audit log cannot be written", "The audit log can be written again"]


def test_a_full_disk_leaves_whole_lines_only(audit, tmp_path, caplog):
    audit.record(ACTOR, "A", "", "ok")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(tmp_path / "audit.jsonl") + 10, limits[1]))
    try:
        audit.record(ACTOR, "B", "", "ok")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    audit.record(ACTOR, "C", "", "ok")
    assert [line["action"] for line in lines(tmp_path / "audit.jsonl")] == ["A", "C"]
    assert "The audit log cannot be written" in caplog.messages
