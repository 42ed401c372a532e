"""The client of a MyClerk agent: boards, their buses, pairing. ``import myclerk`` gives the same names."""

from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    DeviceGone,
    Forbidden,
    HardwareError,
    InternalError,
    InvalidSession,
    LocalError,
    MyClerkError,
    NotFound,
    OperationError,
    OperationTimeout,
    ProtocolError,
    ServiceUnavailable,
    TooLarge,
    TooMany,
    Unauthorized,
    Unsupported,
)

from .batch import Batch
from .board import Board
from .can import CanBus, CanInterfaces
from .can_errors import CanError
from .can_frames import CanFilter, Frame
from .errors import AgentNotTrusted, ConnectionLost, NotPaired, SessionLost
from .gpio import Gpio, Lines, PwmOutput
from .i2c import I2cBus, I2cBuses, I2cMessage
from .known import KnownBoard, KnownBoards
from .locks import Lock
from .onewire import OneWire, OneWireBus, OneWireSelection
from .pairing import pair
from .serial import SerialPort, SerialPorts
from .spi import SpiDevice, SpiDevices, SpiSegment
from .streams import ByteStream, EventStream

__all__ = [
    "AgentNotTrusted",
    "BadRequest",
    "Batch",
    "Board",
    "ByteStream",
    "CanBus",
    "CanError",
    "CanFilter",
    "CanInterfaces",
    "Conflict",
    "ConnectionLost",
    "DeviceGone",
    "EventStream",
    "Forbidden",
    "Frame",
    "Gpio",
    "HardwareError",
    "I2cBus",
    "I2cBuses",
    "I2cMessage",
    "InternalError",
    "InvalidSession",
    "KnownBoard",
    "KnownBoards",
    "Lines",
    "LocalError",
    "Lock",
    "MyClerkError",
    "NotFound",
    "NotPaired",
    "OneWire",
    "OneWireBus",
    "OneWireSelection",
    "OperationError",
    "OperationTimeout",
    "ProtocolError",
    "PwmOutput",
    "SerialPort",
    "SerialPorts",
    "ServiceUnavailable",
    "SessionLost",
    "SpiDevice",
    "SpiDevices",
    "SpiSegment",
    "TooLarge",
    "TooMany",
    "Unauthorized",
    "Unsupported",
    "pair",
]
