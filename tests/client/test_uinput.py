"""The twin of an input device, without uinput: what it reports, and that nothing stays down."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from myclerk_client import uinput
from myclerk_client.input_codes import code_name, type_name
from myclerk_client.uinput import VirtualInput
from myclerk_protocol.status import HardwareError, NotFound, Unsupported

EVENT = struct.Struct("@llHHi")
SYN = (0, 0, 0)
EV_KEY, EV_REL, EV_ABS, EV_LED = 1, 2, 3, 17
A, B = 30, 31
SLOT, TRACKING_ID, MT_X = 0x2F, 0x39, 0x35
DESCRIPTION = {
    "name": "Keys",
    "bus_type": 3, "vendor_id": 1, "product_id": 2, "version": 3,
    "properties": [],
    "capabilities": [
        {"type": EV_KEY, "codes": [A, B]},
        {"type": EV_REL, "codes": [0]},
        {"type": EV_ABS, "codes": [SLOT, TRACKING_ID, MT_X]},
        {"type": EV_LED, "codes": [1]},
    ],
    "axes": [],
}  # fmt: skip


class Kernel:
    """The other end of what the twin takes for uinput."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)

    def took(self) -> list[tuple[int, int, int]]:
        """Type, code and value of the events written since the last call."""
        try:
            data = self._end.recv(65536)
        except BlockingIOError:
            return []
        return [event[2:] for event in EVENT.iter_unpack(data)]

    def asks(self, *events: tuple[int, int, int]) -> None:
        self._end.send(b"".join(EVENT.pack(0, 0, *event) for event in events))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    monkeypatch.setattr(uinput, "_open", ours.detach)
    monkeypatch.setattr(VirtualInput, "_set_up", lambda self, description: None)
    yield Kernel(theirs)
    theirs.close()


@pytest.fixture
def twin(kernel: Kernel) -> Iterator[VirtualInput]:
    with VirtualInput(DESCRIPTION) as twin:
        yield twin


def test_reports_are_reported_whole(kernel: Kernel, twin: VirtualInput) -> None:
    twin.report([(EV_KEY, A, 1), (EV_REL, 0, -3)])
    assert kernel.took() == [(EV_KEY, A, 1), (EV_REL, 0, -3), SYN]
    assert twin.held == {A}
    twin.report([])
    assert kernel.took() == []


def test_what_it_cannot_report_and_what_would_come_back_is_left_out(
    kernel: Kernel, twin: VirtualInput
) -> None:
    twin.report([(EV_LED, 1, 1), (EV_KEY, 99, 1), (4, 4, 4), (0, 3, 0)])
    assert kernel.took() == []
    twin.report([(EV_LED, 1, 1), (EV_KEY, A, 1)])
    assert kernel.took() == [(EV_KEY, A, 1), SYN]


def test_repeats_are_passed_on_while_the_key_is_down(kernel: Kernel, twin: VirtualInput) -> None:
    twin.report([(EV_KEY, A, 2)])
    assert kernel.took() == []
    twin.report([(EV_KEY, A, 1)])
    twin.report([(EV_KEY, A, 2)])
    assert kernel.took() == [(EV_KEY, A, 1), SYN, (EV_KEY, A, 2), SYN]
    twin.release()
    twin.report([(EV_KEY, A, 2)])
    assert kernel.took() == [(EV_KEY, A, 0), SYN]


def test_all_that_is_held_is_let_go(kernel: Kernel, twin: VirtualInput) -> None:
    touch = [(EV_ABS, SLOT, 2), (EV_ABS, TRACKING_ID, 7), (EV_ABS, MT_X, 100)]
    twin.report([(EV_KEY, B, 1), (EV_KEY, A, 1), *touch, (EV_ABS, SLOT, 0), (EV_ABS, TRACKING_ID, 8)])
    twin.report([(EV_ABS, TRACKING_ID, -1)])
    kernel.took()
    twin.release()
    assert kernel.took() == [
        (EV_KEY, A, 0), (EV_KEY, B, 0), (EV_ABS, SLOT, 2), (EV_ABS, TRACKING_ID, -1), SYN,
    ]  # fmt: skip
    assert twin.held == set()
    twin.release()
    assert kernel.took() == []


def test_lights_that_are_asked_for(kernel: Kernel, twin: VirtualInput) -> None:
    assert twin.requests() == []
    kernel.asks((EV_LED, 1, 1), SYN, (EV_LED, 5, 1), (0x14, 0, 250))
    assert twin.requests() == [(EV_LED, 1, 1)]


def test_it_has_the_name_of_its_original_or_another(kernel: Kernel) -> None:
    with VirtualInput(DESCRIPTION, "Ä" * 60) as twin:
        assert twin.name == "Ä" * 39, "as long as the kernel takes"
        twin.close()


def test_without_uinput(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(uinput, "PATH", str(tmp_path / "uinput"))
    with pytest.raises(NotFound, match="modprobe uinput"):
        VirtualInput(DESCRIPTION)
    monkeypatch.setattr(uinput, "PATH", str(tmp_path))
    with pytest.raises(HardwareError, match="cannot be opened"):
        VirtualInput(DESCRIPTION)
    (tmp_path / "file").touch()
    monkeypatch.setattr(uinput, "PATH", str(tmp_path / "file"))
    with pytest.raises(Unsupported, match="does not make such a device"):
        VirtualInput(DESCRIPTION)


def test_names_of_events() -> None:
    assert [type_name(kind) for kind in (1, 99)] == ["EV_KEY", "99"]
    known = [(1, 30), (1, 272), (3, 0), (17, 1), (5, 0), (1, 767), (99, 1)]
    assert [code_name(*each) for each in known] == [
        "KEY_A", "BTN_LEFT", "ABS_X", "LED_CAPSL", "SW_LID", "767", "1",
    ]  # fmt: skip
