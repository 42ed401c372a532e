"""The chain of the audit log: what verification finds, and that nothing done to the files escapes it."""

import json
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_agent import audit_chain, audit_check
from myclerk_agent.audit_chain import START, ChainWriter, Link, hash_of
from myclerk_agent.audit_check import describe, follow, tail, verify

LOG, HEAD = "audit.jsonl", "audit.head"


def entry(number):
    return {"time": 1_775_000_000, "actor": "M" * 28, "action": f"A{number}", "resource": "", "outcome": "ok"}


def write(directory, count, size_limit=audit_chain.SIZE_LIMIT):
    writer = ChainWriter(directory, size_limit)
    for number in range(count):
        writer.append([entry(number)])
    return writer


def read(directory, name=LOG):
    return (directory / name).read_bytes().splitlines(keepends=True)


def rewrite(directory, lines, name=LOG):
    (directory / name).write_bytes(b"".join(lines))


def problems(directory, anchor=None):
    return verify(directory, anchor).problems


def test_an_untouched_log_is_whole(tmp_path):
    assert (verify(tmp_path).records, problems(tmp_path)) == (0, [])
    write(tmp_path, 5)
    report = verify(tmp_path)
    last = read(tmp_path)[-1].rstrip(b"\n")
    assert (report.records, report.first, report.problems) == (5, 1, [])
    assert report.last == Link(5, hash_of(last))
    assert (tmp_path / HEAD).read_text() == f"5:{hash_of(last)} 1\n"


def test_each_record_names_the_hash_of_the_one_before(tmp_path):
    write(tmp_path, 3)
    previous = START.hash
    for number, line in enumerate(read(tmp_path), 1):
        assert (json.loads(line)["number"], json.loads(line)["previous"]) == (number, previous)
        previous = hash_of(line.rstrip(b"\n"))


def test_the_first_line_of_a_new_file_names_the_last_of_the_file_before(tmp_path):
    write(tmp_path, 40, size_limit=1500)
    assert len(audit_chain.files(tmp_path)) > 2
    old, new = read(tmp_path, f"{LOG}.1"), read(tmp_path)
    assert json.loads(new[0])["previous"] == hash_of(old[-1].rstrip(b"\n"))
    report = verify(tmp_path)
    assert (report.records, report.problems) == (40, [])


def test_the_oldest_files_go_and_the_rest_still_verifies(tmp_path):
    write(tmp_path, 200, size_limit=1500)
    assert len(audit_chain.files(tmp_path)) == audit_chain.ROTATED + 1
    report = verify(tmp_path)
    assert report.first > 1
    assert (tmp_path / HEAD).read_text().split()[1] == str(report.first)
    assert (report.last.number, report.problems) == (200, [])


def test_a_changed_record_is_named(tmp_path):
    write(tmp_path, 5)
    lines = read(tmp_path)
    lines[2] = lines[2].replace(b'"ok"', b'"no"')
    rewrite(tmp_path, lines)
    assert problems(tmp_path) == ["audit.jsonl line 4: record 3 was changed, or record 4"]


def test_a_changed_first_and_last_record_are_found(tmp_path):
    write(tmp_path, 3)
    lines = read(tmp_path)
    rewrite(tmp_path, [*lines[:2], lines[2].replace(b"A2", b"B2")])
    assert problems(tmp_path) == ["audit.jsonl line 3: record 3 is not the one that was written"]
    rewrite(tmp_path, [lines[0].replace(b"0000", b"1111"), *lines[1:]])
    assert problems(tmp_path)[0] == "audit.jsonl line 1: record 1 was changed"


def test_dropped_records_are_counted(tmp_path):
    write(tmp_path, 8)
    lines = read(tmp_path)
    rewrite(tmp_path, lines[:2] + lines[4:])
    assert problems(tmp_path) == ["audit.jsonl line 3: records 3 to 4 are missing before record 5"]
    rewrite(tmp_path, lines[:-1])
    assert problems(tmp_path) == ["record 8 is missing at the end, says audit.head"]


def test_dropped_records_are_missed_also_where_older_ones_were_rotated_away(tmp_path):
    write(tmp_path, 200, size_limit=1500)
    oldest = audit_chain.files(tmp_path)[0].name
    rewrite(tmp_path, read(tmp_path, oldest)[1:], oldest)
    first = verify(tmp_path).first
    assert problems(tmp_path) == [f"record {first - 1} is missing at the beginning"]


def test_exchanged_records_are_found(tmp_path):
    write(tmp_path, 4)
    lines = read(tmp_path)
    rewrite(tmp_path, [lines[0], lines[2], lines[1], lines[3]])
    assert problems(tmp_path)[1] == "audit.jsonl line 3: record 2 stands behind record 3"


def test_a_file_that_is_taken_away_is_missed(tmp_path):
    write(tmp_path, 60, size_limit=1500)
    os.remove(tmp_path / f"{LOG}.2")
    assert any("are missing before record" in problem for problem in problems(tmp_path))


def test_a_log_that_is_removed_is_missed(tmp_path):
    write(tmp_path, 3)
    os.remove(tmp_path / LOG)
    assert problems(tmp_path) == ["records 1 to 3 are missing at the end, says audit.head"]
    ChainWriter(tmp_path).append([entry(4)])
    assert json.loads(read(tmp_path)[0])["number"] == 4
    assert problems(tmp_path) == ["records 1 to 3 are missing at the beginning"]


def test_a_head_that_is_removed_is_missed(tmp_path):
    write(tmp_path, 3)
    os.remove(tmp_path / HEAD)
    assert problems(tmp_path) == [
        "audit.head is missing: whether records are missing at the ends cannot be told"
    ]


def test_writing_on_does_not_cover_up_what_was_done_to_the_end(tmp_path):
    for tamper in (lambda lines: lines[:-1], lambda lines: [*lines[:-1], lines[-1].replace(b"ok", b"no")]):
        directory = tmp_path / str(len(os.listdir(tmp_path)))
        directory.mkdir()
        write(directory, 4)
        rewrite(directory, tamper(read(directory)))
        ChainWriter(directory).append([entry(9)])
        assert len(problems(directory)) == 1


def test_a_log_made_anew_is_found_by_an_anchor_noted_elsewhere(tmp_path):
    write(tmp_path, 4)
    anchor = verify(tmp_path).last
    os.remove(tmp_path / LOG)
    os.remove(tmp_path / HEAD)
    writer = ChainWriter(tmp_path)
    for number in (0, 1, 2, 7, 8):
        writer.append([entry(number)])
    assert problems(tmp_path) == []
    assert problems(tmp_path, anchor) == ["audit.jsonl line 4: record 4 is not the one that was written"]
    assert problems(tmp_path, Link(9, "0" * 64)) == ["records 6 to 9 are missing at the end, says the anchor"]


def test_a_crash_between_record_and_head_is_no_problem(tmp_path):
    writer = write(tmp_path, 3)
    head = (tmp_path / HEAD).read_text()
    writer.append([entry(3)])
    (tmp_path / HEAD).write_text(head)
    assert problems(tmp_path) == []
    ChainWriter(tmp_path).append([entry(4)])
    assert (verify(tmp_path).records, problems(tmp_path)) == (5, [])


def test_what_a_crash_left_half_written_is_cut_off(tmp_path):
    write(tmp_path, 2)
    with (tmp_path / LOG).open("ab") as log:
        log.write(b'{"number":3,"prev')
    assert problems(tmp_path) == ["audit.jsonl line 3 is incomplete: a crash cut it off, or somebody did"]
    ChainWriter(tmp_path).append([entry(2)])
    assert (verify(tmp_path).records, problems(tmp_path)) == (3, [])


def test_several_entries_are_added_together_or_not_at_all(tmp_path, monkeypatch):
    writer = write(tmp_path, 1)
    before = read(tmp_path)
    monkeypatch.setattr(
        audit_chain.os, "fdatasync", lambda descriptor: (_ for _ in ()).throw(OSError(5, "x"))
    )
    with pytest.raises(OSError, match="x"):
        writer.append([entry(1), entry(2)])
    assert read(tmp_path) == before
    monkeypatch.undo()
    writer.append([entry(1), entry(2)])
    assert (verify(tmp_path).records, problems(tmp_path)) == (3, [])


NOISE = st.binary(min_size=1, max_size=40).filter(lambda noise: b"\n" not in noise)


@st.composite
def tampered(draw):
    """What somebody did to the lines of a log of 12 records: a function from lines to lines."""
    index, other = draw(st.integers(0, 11)), draw(st.integers(0, 11))
    noise = draw(NOISE)
    position = draw(st.integers(0, 60))

    def exchange(lines):
        lines[index], lines[other] = lines[other], lines[index]
        return lines

    def spoil(lines):
        line = lines[index]
        lines[index] = line[:position] + noise + line[position:]
        return lines

    ways = [
        lambda lines: lines[:index] + lines[index + 1 :],
        lambda lines: [*lines[:index], lines[other], *lines[index:]],
        lambda lines: lines[:index],
        exchange,
        spoil,
    ]
    return draw(st.sampled_from(ways))


@given(tampered())
def test_nothing_done_to_the_lines_escapes(tmp_path_factory, way):
    directory = tmp_path_factory.mktemp("log")
    write(directory, 12)
    lines = read(directory)
    changed = way(list(lines))
    rewrite(directory, changed)
    assert bool(problems(directory)) == (changed != lines)
    assert len(problems(directory)) <= audit_check.PROBLEMS_LIMIT


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_a_crash(tmp_path_factory, noise):
    directory = tmp_path_factory.mktemp("log")
    (directory / LOG).write_bytes(noise)
    (directory / HEAD).write_bytes(noise)
    verify(directory)
    tail(directory, 3)
    ChainWriter(directory).append([entry(0)])
    assert tail(directory, 1)[0]["action"] == "A0"


def test_tail_reads_across_files(tmp_path):
    write(tmp_path, 40, size_limit=1500)
    assert [e["number"] for e in tail(tmp_path, 25)] == list(range(16, 41))
    assert tail(tmp_path, 0) == []


def test_follow_gives_what_is_written_from_then_on_also_over_a_rotation(tmp_path):
    writer = write(tmp_path, 5, size_limit=1500)
    followed, some = [], threading.Event()

    def read_on():
        for found in follow(tmp_path, interval=0.01):
            followed.append(found["number"])
            if len(followed) == 30:
                some.set()
                return

    started = tail(tmp_path, 1)[0]["number"]
    reader = threading.Thread(target=read_on)
    reader.start()
    while not some.is_set():  # the reader may begin behind the first of them
        writer.append([entry(0)])
    reader.join()
    assert followed == list(range(followed[0], followed[0] + 30))
    assert followed[0] > started


def test_a_record_on_one_line(tmp_path):
    writer = ChainWriter(tmp_path)
    writer.append([{"peer": "10.0.0.7:5", **entry(0)}])
    shown = describe(tail(tmp_path, 1)[0])
    assert shown.startswith("1  20")
    assert shown.endswith("M  A0: ok  peer=10.0.0.7:5")
