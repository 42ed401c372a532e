"""The ledger of Request IDs by itself: what a resume may repeat, and how often."""

from __future__ import annotations

from myclerk_protocol.ledger import KEPT_ANSWERS, Ledger, Verdict


def answered(count: int) -> Ledger:
    ledger = Ledger()
    for request_id in range(2, 2 + count):
        assert ledger.admit(request_id) is Verdict.EXECUTE
        assert ledger.finish(request_id, 0x0200, 3, b"answer")
    return ledger


def test_each_id_is_repeated_once_for_each_resume() -> None:
    """Or one small request could be turned into any number of large answers."""
    ledger = answered(3)
    assert ledger.admit(3) is Verdict.STALE
    for _ in range(2):
        ledger.resumed()
        assert ledger.admit(3) is Verdict.ANSWERED
        assert ledger.kept(3).payload == b"answer"
        assert [ledger.admit(3) for _ in range(5)] == [Verdict.STALE] * 5
        assert ledger.admit(4) is Verdict.ANSWERED


def test_what_is_not_kept_any_more_is_never_executed_again() -> None:
    ledger = answered(KEPT_ANSWERS + 1)
    ledger.resumed()
    assert ledger.admit(2) is Verdict.FORGOTTEN
    assert ledger.admit(3) is Verdict.ANSWERED


def test_a_running_request_is_asked_for_anew_and_answered_once() -> None:
    ledger = Ledger()
    assert ledger.admit(2) is Verdict.EXECUTE
    ledger.resumed()
    assert ledger.admit(2) is Verdict.RUNNING
    assert ledger.finish(2, 0x0200, 3, b"")
    again = Ledger()
    assert again.admit(2) is Verdict.EXECUTE
    again.resumed()
    assert not again.finish(2, 0x0200, 3, b""), "nobody on the new connection has asked for it"
