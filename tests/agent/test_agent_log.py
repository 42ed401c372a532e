"""Logging to a terminal and to a journal: the socket is real, only systemd behind it is not."""

import contextlib
import io
import logging
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_agent import log
from myclerk_agent.log import (
    HumanFormatter,
    JournalHandler,
    clean,
    configure,
    event,
    in_journal,
    journal_field,
)


@pytest.fixture
def journal(tmp_path):
    """A journal's socket and a handler that writes to it."""
    path = tmp_path / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(5)
        handler = JournalHandler(path)
        yield listening, handler
        handler.close()


@pytest.fixture
def logger(journal):
    """A logger that writes to the journal only."""
    logger = logging.Logger("myclerk.test")
    logger.addHandler(journal[1])
    return logger


@pytest.fixture
def root():
    """Puts the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield root
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("myclerk").setLevel(logging.NOTSET)


def decode(datagram):
    """The fields of a journal datagram, read as systemd reads them."""
    fields = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        fields[name.decode()] = value
        datagram = rest
    return fields


def test_a_journal_entry(journal, logger):
    event(logger, logging.WARNING, "port opened", resource="serial:ttyUSB0", baud_rate=9600, holder=None)
    assert decode(journal[0].recv(1 << 17)) == {
        "MESSAGE": b"port opened",
        "PRIORITY": b"4",
        "SYSLOG_IDENTIFIER": b"myclerk-agent",
        "MYCLERK_LOGGER": b"myclerk.test",
        "MYCLERK_RESOURCE": b"serial:ttyUSB0",
        "MYCLERK_BAUD_RATE": b"9600",
    }


def test_fields_by_extra_and_messages_with_arguments(journal, logger):
    logger.error("%s failed", "it", extra={"fields": {"errno": "EBUSY"}})
    fields = decode(journal[0].recv(1 << 17))
    assert (fields["MESSAGE"], fields["PRIORITY"], fields["MYCLERK_ERRNO"]) == (b"it failed", b"3", b"EBUSY")


def test_a_line_end_in_a_value_forges_no_field(journal, logger):
    event(logger, logging.INFO, "name\nPRIORITY=0", peer="a\nMYCLERK_ADMINISTRATOR=1", raw=b"\xff\n\x00")
    fields = decode(journal[0].recv(1 << 17))
    assert fields["MESSAGE"] == b"name\nPRIORITY=0"
    assert fields["PRIORITY"] == b"6"
    assert fields["MYCLERK_PEER"] == b"a\nMYCLERK_ADMINISTRATOR=1"
    assert fields["MYCLERK_RAW"] == b"\xff\n\x00"
    assert "MYCLERK_ADMINISTRATOR" not in fields


def test_field_names_fit_the_journal(journal, logger):
    logger.info("x", extra={"fields": {"a-b é=\n": 1, "y" * 100: 2}})
    assert {"MYCLERK_A_B____", "MYCLERK_" + "Y" * 56} <= set(decode(journal[0].recv(1 << 17)))


def test_an_exception_is_part_of_the_message(journal, logger):
    try:
        raise ValueError("reason")
    except ValueError:
        logger.exception("it broke")
    message = decode(journal[0].recv(1 << 17))["MESSAGE"].decode()
    assert message.startswith("it broke\nTraceback")
    assert message.endswith("ValueError: reason")


def test_a_huge_record_is_cut_to_one_datagram(journal, logger):
    logger.info("m" * 1_000_000, extra={"fields": {f"f{n}": "v" * 1_000_000 for n in range(20)}})
    datagram = journal[0].recv(1 << 20)
    assert len(datagram) <= log.ENTRY_LIMIT
    fields = decode(datagram)
    assert len(fields["MESSAGE"]) == log.VALUE_LIMIT
    assert fields["PRIORITY"] == b"6"


def test_a_full_journal_is_not_waited_for_and_the_loss_is_told(journal, logger):
    listening, handler = journal
    while not handler.dropped:
        logger.info("x" * 1000)
    logger.info("one more")
    lost = handler.dropped
    assert lost == 2
    listening.recv(1 << 17)
    logger.info("again")
    listening.setblocking(False)
    datagrams = []
    with contextlib.suppress(BlockingIOError):
        while True:
            datagrams.append(decode(listening.recv(1 << 17)))
    assert datagrams[-1]["MYCLERK_DROPPED"] == b"2"
    assert handler.dropped == 0


def test_an_absent_journal_is_no_error(tmp_path):
    handler = JournalHandler(tmp_path / "nobody")
    handler.handle(logging.makeLogRecord({"msg": "x"}))
    assert handler.dropped == 1
    handler.close()
    handler.close()


@given(st.binary(max_size=300))
def test_journal_values_survive_whatever_they_are(value):
    assert decode(journal_field("NAME", value)) == {"NAME": value}


def formatted(colour=False, **values):
    record = {"levelname": "INFO", "levelno": 20, "created": 0.0, "msecs": 5.0, **values}
    return HumanFormatter(colour).format(logging.makeLogRecord(record))


def test_a_line_for_people():
    line = formatted(msg="port opened", fields={"resource": "serial:ttyUSB0", "by": "my laptop", "at": ""})
    assert line.endswith('.005 INFO    port opened  resource=serial:ttyUSB0  by="my laptop"  at=""')


def test_control_characters_reach_no_terminal():
    line = formatted(msg="a\x1b[31m\nb", fields={"peer": "c\r\x9b\u202e"})
    assert line.isprintable()


def test_a_traceback_follows_on_its_own_lines():
    try:
        raise ValueError("reason")
    except ValueError as error:
        lines = formatted(msg="it broke", exc_info=(ValueError, error, error.__traceback__)).split("\n")
    assert lines[0].endswith("it broke")
    assert lines[1].startswith("Traceback")
    assert lines[-1] == "ValueError: reason"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode 漢字", "plain, ünïcode 漢字"),
        ("a\nb\tc\x00\x1b\x7f\x85", "a\ufffdb\ufffdc\ufffd\ufffd\ufffd\ufffd"),
        ("\u202eevil\u2028\ud800", "\ufffdevil\ufffd\ufffd"),
        (b"bytes \xff\n", "bytes \ufffd\ufffd"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 199 + "…"),
        ("ü".encode() * 300, "ü" * 199 + "…"),
    ],
)
def test_clean(text, shown):
    assert clean(text) == shown


@given(st.one_of(st.text(), st.binary(max_size=2000)))
def test_clean_text_is_printable_and_short(text):
    assert clean(text, 20).isprintable()
    assert len(clean(text, 20)) <= 20


def test_human_format_with_colour_on_a_terminal_only(root):
    controller, terminal = os.openpty()
    plain = io.StringIO()
    with os.fdopen(controller, "rb", buffering=0) as reader, os.fdopen(terminal, "w") as stream:
        configure("info", "auto", stream)
        logging.getLogger("myclerk.x").warning("careful")
        logging.getLogger("myclerk.x").info("calm")
        shown = reader.read(1000)
    assert b"\x1b[33m" in shown
    assert shown.count(b"\x1b") == 2
    configure("info", "human", plain)
    logging.getLogger("myclerk.x").error("broken")
    assert "broken" in plain.getvalue()
    assert "\x1b" not in plain.getvalue()


def test_the_level_is_for_this_project_and_others_are_heard_from_warning(root):
    stream = io.StringIO()
    configure("debug", "human", stream)
    logging.getLogger("myclerk.x").debug("ours")
    logging.getLogger("elsewhere").info("theirs")
    logging.getLogger("elsewhere").warning("theirs, important")
    assert [line.split(maxsplit=3)[3] for line in stream.getvalue().splitlines()] == [
        "ours",
        "theirs, important",
    ]


def test_the_journal_is_told_by_device_and_inode(tmp_path):
    with open(tmp_path / "err", "w") as stream:
        status = os.fstat(stream.fileno())
        ours = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert in_journal(stream, ours)
        assert not in_journal(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"})
        assert not in_journal(stream, {})
    assert not in_journal(io.StringIO(), ours)


def test_configure_twice_leaves_one_handler(root):
    first, second = io.StringIO(), io.StringIO()
    configure("info", "human", first)
    configure("info", "human", second)
    logging.getLogger("myclerk").info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1
