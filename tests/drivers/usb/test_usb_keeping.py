"""What is remembered of attached devices, and how it is given back."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from fake_usbfs import FakeUsbfs
from sysfs_tree import SysfsTree

from myclerk_drivers.usb import keeping
from myclerk_drivers.usb.claims import Claims
from myclerk_drivers.usb.keeping import Records, Taken, give_back
from myclerk_drivers.usb.listing import Listing
from myclerk_drivers.usb.usbfs import Usbfs

Run = Callable[[Coroutine[Any, Any, Any]], Any]
log = logging.getLogger("tests.drivers")


@pytest.fixture
def tree(tmp_path: Path) -> SysfsTree:
    return SysfsTree(tmp_path.resolve())


def test_a_record_is_there_until_it_is_forgotten(tmp_path: Path) -> None:
    records = Records(tmp_path / "below" / "usb", log)
    assert list(records.left()) == []
    taken = Taken("1-1.4", 7, 1, (0, 2))
    records.note(taken)
    records.note(Taken("1-2", 8, None, ()))
    assert list(records.left()) == [taken, Taken("1-2", 8, None, ())]
    records.forget("1-1.4")
    records.forget("1-1.4")
    assert [found.name for found in records.left()] == ["1-2"]
    assert list(Records(tmp_path / "below" / "usb", log, "another boot").left()) == []
    assert list(records.left()) == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"number": 1}', '{"boot": "b", "number": "x", "configuration": 1, "interfaces": []}'],
)
def test_a_damaged_record_is_thrown_away(tmp_path: Path, text: str) -> None:
    (tmp_path / "1-1").write_text(text)
    (tmp_path / "notes.txt").write_text("is left alone")
    assert list(Records(tmp_path, log, "b").left()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_directory_that_cannot_be_written_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    Records(tmp_path / "file" / "usb", log).note(Taken("1-1", 2, 1, (0,)))
    assert "after a crash of the agent 1-1 would stay without its driver" in caplog.text


def test_what_was_left_is_given_back_once(
    tmp_path: Path, tree: SysfsTree, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        usbfs = FakeUsbfs()
        monkeypatch.setattr(keeping, "Usbfs", lambda node: usbfs)
        tree.interface(tree.device("1-1"), configuration=1)  # number 2 on its bus
        tree.interface(tree.device("1-2"), configuration=1)
        tree.interface(tree.device("1-3"), configuration=1, driver="usbfs")
        records = Records(tmp_path / "records", log)
        records.note(Taken("1-1", 2, 1, (0,)))
        records.note(Taken("1-2", 99, 1, (0,)))  # another device by now
        records.note(Taken("1-3", 4, 1, (0,)))  # somebody has it
        records.note(Taken("1-9", 9, 1, (0,)))  # was unplugged
        records.restore(Listing(str(tree.root)))
        assert usbfs.calls == [("connect", 0), ("close",)]
        assert [taken.name for taken in records.left()] == ["1-3"]

    run(main())


def test_what_cannot_be_given_back_is_tried_again(
    tmp_path: Path, tree: SysfsTree, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        usbfs = FakeUsbfs()
        usbfs.failures["connect"] = errno.EIO
        monkeypatch.setattr(keeping, "Usbfs", lambda node: usbfs)
        tree.interface(tree.device("1-1"), configuration=1)
        records = Records(tmp_path / "records", log)
        records.note(Taken("1-1", 2, 1, (0,)))
        records.restore(Listing(str(tree.root)))
        assert [taken.name for taken in records.left()] == ["1-1"]

    run(main())


def test_an_interface_that_came_with_another_one_is_no_error(run: Run) -> None:
    async def main() -> None:
        usbfs = FakeUsbfs()
        usbfs.failures["connect"] = errno.EBUSY
        give_back(cast(Usbfs, usbfs), Taken("1-1", 2, 1, (0, 1)), 1, claimed=[0, 1])
        assert usbfs.calls == [("release", 0), ("release", 1), ("connect", 0), ("connect", 1)]
        other = FakeUsbfs()
        give_back(cast(Usbfs, other), Taken("1-1", 2, 1, (0,)), 2, claimed=[0])
        assert other.calls == [("release", 0), ("set_configuration", 1)]  # the kernel binds drivers itself

    run(main())


# -- claims --------------------------------------------------------------------------------------------------


def claims_of(tree: SysfsTree, usbfs: FakeUsbfs) -> Claims:
    listing = Listing(str(tree.root))
    (device,) = listing.devices()
    return Claims(cast(Usbfs, usbfs), device, listing, Taken("1-1", 2, 1, (0,)))


def test_claims_follow_the_settings(tree: SysfsTree, run: Run) -> None:
    async def main() -> None:
        path = tree.device("1-1")
        tree.interface(path)
        usbfs = FakeUsbfs()
        claims = claims_of(tree, usbfs)
        claims.take()
        assert list(claims.endpoints) == [0x81]
        tree.write(f"{path}/1-1:1.0/bAlternateSetting", " 1\n")
        claims.set_interface(0, 1)
        assert list(claims.endpoints) == [0x82]
        claims.reset()
        assert usbfs.calls == [
            ("claim", 0), ("set_interface", 0, 1), ("release", 0), ("reset",), ("claim", 0),
        ]  # fmt: skip

    run(main())


def test_a_change_that_the_device_refuses_leaves_it_in_hand(tree: SysfsTree, run: Run) -> None:
    async def main() -> None:
        tree.interface(tree.device("1-1"))
        usbfs = FakeUsbfs()
        claims = claims_of(tree, usbfs)
        claims.take()
        usbfs.failures["set_configuration"] = errno.EPIPE
        with pytest.raises(OSError, match="failed") as caught:
            claims.set_configuration(2)
        assert caught.value.errno == errno.EPIPE
        assert usbfs.calls[-1] == ("claim", 0)
        claims.give_back()
        assert usbfs.calls[-3:] == [("release", 0), ("connect", 0), ("close",)]

    run(main())


def test_an_interface_that_cannot_be_had_gives_the_others_back(tree: SysfsTree, run: Run) -> None:
    async def main() -> None:
        tree.interface(tree.device("1-1"))
        usbfs = FakeUsbfs()
        usbfs.failures["claim"] = errno.EBUSY
        with pytest.raises(OSError, match="failed"):
            claims_of(tree, usbfs).take()
        assert usbfs.calls == [("claim", 0), ("connect", 0)]

    run(main())
