"""The kernel's virtual host controller, as its files are."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from myclerk_client.usb import vhci
from myclerk_client.usb.vhci import Port, VirtualController
from myclerk_protocol.status import Conflict, LocalError, NotFound

HEAD = "hub port sta spd dev      sockfd local_busid\n"
STATUS = (
    HEAD
    + "hs  0000 006 003 00010002 000004 3-1\n"
    + "hs  0001 004 000 00000000 000000 0-0\n"
    + "ss  0002 005 005 00010003 000005 0-0\n"
)
SECOND = HEAD + "hs  0003 004 000 00000000 000000 0-0\nss  0005 004 000 00000000 000000 0-0\n"


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    directory = tmp_path / "devices/platform/vhci_hcd.0"
    directory.mkdir(parents=True)
    (directory / "status").write_text(STATUS)
    (directory / "status.1").write_text(SECOND)
    for name in ("attach", "detach"):
        (directory / name).write_text("")
    return tmp_path


def written(sysfs: Path, name: str) -> str:
    return (sysfs / "devices/platform/vhci_hcd.0" / name).read_text()


def test_ports_of_all_controllers(sysfs: Path) -> None:
    controller = VirtualController(sysfs)
    assert controller.present
    assert controller.ports() == [
        Port(0, "hs", 6, 3, "3-1"),
        Port(1, "hs", 4, 0, None),
        Port(2, "ss", 5, 5, None),
        Port(3, "hs", 4, 0, None),
        Port(5, "ss", 4, 0, None),
    ]
    assert [port.free for port in controller.ports()] == [False, True, False, True, True]


@pytest.mark.parametrize(("speed", "port"), [(1, 1), (2, 1), (3, 1), (5, 5)])
def test_a_device_goes_into_a_free_port_of_its_hub(sysfs: Path, speed: int, port: int) -> None:
    with socket.socket() as connection:
        assert VirtualController(sysfs).attach(connection, speed, 0x10002) == port
        assert written(sysfs, "attach") == f"{port} {connection.fileno()} 65538 {speed}"


def test_another_port_is_taken_if_somebody_was_quicker(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def write(path: Path, text: str) -> int:
        tried.append(text.split()[0])
        if tried == ["1"]:
            raise OSError(16, "busy")
        return 0

    monkeypatch.setattr(Path, "write_text", write)
    with socket.socket() as connection:
        assert VirtualController(sysfs).attach(connection, 3, 1) == 3
    assert tried == ["1", "3"]


def test_all_ports_in_use(sysfs: Path) -> None:
    for name in ("status", "status.1"):
        path = sysfs / "devices/platform/vhci_hcd.0" / name
        path.write_text(path.read_text().replace(" 004 ", " 006 "))
    with socket.socket() as connection, pytest.raises(Conflict, match="USB 3 ports"):
        VirtualController(sysfs).attach(connection, 5, 1)


def test_pulling_out(sysfs: Path) -> None:
    controller = VirtualController(sysfs)
    controller.detach(2)
    assert written(sysfs, "detach") == "2"
    for empty in (1, 4, 99):
        with pytest.raises(NotFound, match="nothing is plugged into port"):
            controller.detach(empty)


def test_without_permission_it_says_what_to_do(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, text: str) -> int:
        raise PermissionError(13, "denied", str(path))

    monkeypatch.setattr(Path, "write_text", write)
    controller = VirtualController(sysfs)
    with socket.socket() as connection:
        for action in (lambda: controller.attach(connection, 3, 1), lambda: controller.detach(0)):
            with pytest.raises(LocalError, match="root"):
                action()


def fake_modprobe(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = directory / "modprobe"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def test_the_module_is_loaded_if_it_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = tmp_path / "devices/platform/vhci_hcd.0/status"
    made = f'mkdir -p "{status.parent}"; cd "{status.parent}"'
    script = f'{made}; echo "{HEAD.strip()}" >status; >attach'
    fake_modprobe(tmp_path, script, monkeypatch)
    controller = VirtualController(tmp_path)
    with pytest.raises(LocalError, match="not loaded"):
        controller.ports()
    controller.prepare()
    assert controller.ports() == []
    controller.prepare()


def test_who_may_not_write_is_told_so_beforehand(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    controller = VirtualController(sysfs)
    controller.prepare()
    monkeypatch.setattr(vhci.os, "access", lambda path, mode: False)
    with pytest.raises(LocalError, match="root"):
        controller.prepare()


@pytest.mark.parametrize(("user", "said"), [(0, "Module vhci-hcd not found"), (1000, "needs root")])
def test_a_module_that_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, said: str
) -> None:
    fake_modprobe(tmp_path, "echo 'Module vhci-hcd not found' >&2; exit 1", monkeypatch)
    monkeypatch.setattr(vhci.os, "geteuid", lambda: user)
    with pytest.raises(LocalError, match=said):
        VirtualController(tmp_path).prepare()


def test_what_the_kernel_made_of_a_device(sysfs: Path) -> None:
    device = sysfs / "bus/usb/devices/3-1"
    for node in (
        "3-1:1.0/host6/target6:0:0/6:0:0:0/block/sda/sda1",
        "3-1:1.1/tty/ttyACM0",
        "3-1:1.2/0003:1/input/input7/event3",
    ):
        (device / node).mkdir(parents=True)
    controller = VirtualController(sysfs)
    used, empty, *_ = controller.ports()
    assert controller.nodes(used) == ["event3", "sda", "ttyACM0"]
    assert controller.nodes(empty) == []


def test_a_port_in_which_the_kernel_still_has_the_last_device_is_left_alone(sysfs: Path) -> None:
    for controller, bus, speed in (
        (0, "usb3", "480"),
        (0, "usb4", "5000"),
        (1, "usb5", "480"),
        (1, "usb6", "20000"),
    ):
        directory = sysfs / f"devices/platform/vhci_hcd.{controller}" / bus
        directory.mkdir(parents=True)
        (directory / "speed").write_text(speed + "\n")
    controller = VirtualController(sysfs)
    assert [port.place for port in controller.ports()] == ["3-1", "3-2", "4-1", "5-1", "6-1"]
    left_behind = sysfs / "bus/usb/devices/3-2"
    left_behind.mkdir(parents=True)
    with socket.socket() as connection:
        assert controller.attach(connection, 3, 1) == 3
        assert controller.attach(connection, 5, 1) == 5
        left_behind.rmdir()
        assert controller.attach(connection, 3, 1) == 1


def test_the_port_used_last_is_taken_last(sysfs: Path) -> None:
    controller = VirtualController(sysfs)
    with socket.socket() as connection:
        assert [controller.attach(connection, 3, 1) for _ in range(4)] == [1, 3, 1, 3]
