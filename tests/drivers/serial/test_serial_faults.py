"""What the kernel's errors become."""

from __future__ import annotations

import errno
import os

import pytest
from ptys import Pty

from myclerk_drivers.serial.faults import fault, opening_fault
from myclerk_protocol.status import (
    DeviceGone,
    HardwareError,
    NotFound,
    OperationError,
    Unsupported,
)


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "kind", "sentence"),
    [
        (errno.ENOENT, NotFound, "plugged in"),
        (errno.EACCES, HardwareError, "dialout"),
        (errno.EPERM, HardwareError, "dialout"),
        (errno.ENXIO, DeviceGone, "no device behind"),
        (errno.ENODEV, DeviceGone, "no device behind"),
        (errno.EIO, HardwareError, "Input/output error"),
    ],
)
def test_opening(number: int, kind: type[OperationError], sentence: str) -> None:
    failure = opening_fault("/dev/ttyUSB7", error(number))
    assert type(failure) is kind
    assert "/dev/ttyUSB7" in failure.message
    assert sentence in failure.message
    assert failure.details["errno"] == errno.errorcode[number]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENODEV, DeviceGone),
        (errno.ENXIO, DeviceGone),
        (errno.ENOTTY, Unsupported),
        (errno.EINVAL, Unsupported),
        (errno.EIO, HardwareError),
        (errno.EPIPE, HardwareError),
        (errno.ETIMEDOUT, HardwareError),
    ],
)
def test_using_a_port_that_is_there(pty: Pty, number: int, kind: type[OperationError]) -> None:
    fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
    try:
        failure = fault(fd, "serial:demo", "a break", error(number))
    finally:
        os.close(fd)
    assert type(failure) is kind
    assert "serial:demo" in failure.message
    assert failure.details["errno"] == errno.errorcode[number]


def test_an_input_output_error_after_a_hang_up_means_gone(pty: Pty) -> None:
    fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
    try:
        pty.hang_up()
        assert type(fault(fd, "serial:demo", "a break", error(errno.EIO))) is DeviceGone
    finally:
        os.close(fd)
