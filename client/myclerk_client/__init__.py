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

from .access import Access
from .batch import Batch
from .board import Board
from .can import CanBus, CanInterfaces
from .can_errors import CanError
from .can_frames import CanFilter, Frame
from .clients import Clients
from .devices import DeviceEvents
from .errors import AgentNotTrusted, ConnectionLost, NotPaired, SessionLost
from .gpio import Gpio, Lines, PwmOutput
from .gsm import Call, GsmModem, GsmModems, SmsInbox
from .hid import HidDevice, HidDevices
from .i2c import I2cBus, I2cBuses, I2cMessage
from .known import KnownBoard, KnownBoards
from .locks import Lock
from .onewire import OneWire, OneWireBus, OneWireSelection
from .pairing import pair
from .requests import DeviceRequests
from .serial import SerialPort, SerialPorts
from .shared import Routes, SharedStream, Streams
from .spi import SpiDevice, SpiDevices, SpiSegment
from .streams import ByteStream, EventStream
from .usb import IsochronousPoll, IsochronousResult, UrbResult, UsbDevice, UsbDevices, UsbPoll, UsbTransfer

__all__ = [
    "Access",
    "AgentNotTrusted",
    "BadRequest",
    "Batch",
    "Board",
    "ByteStream",
    "Call",
    "CanBus",
    "CanError",
    "CanFilter",
    "CanInterfaces",
    "Clients",
    "Conflict",
    "ConnectionLost",
    "DeviceEvents",
    "DeviceGone",
    "DeviceRequests",
    "EventStream",
    "Forbidden",
    "Frame",
    "Gpio",
    "GsmModem",
    "GsmModems",
    "HardwareError",
    "HidDevice",
    "HidDevices",
    "I2cBus",
    "I2cBuses",
    "I2cMessage",
    "InternalError",
    "InvalidSession",
    "IsochronousPoll",
    "IsochronousResult",
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
    "Routes",
    "SerialPort",
    "SerialPorts",
    "ServiceUnavailable",
    "SessionLost",
    "SharedStream",
    "SmsInbox",
    "SpiDevice",
    "SpiDevices",
    "SpiSegment",
    "Streams",
    "TooLarge",
    "TooMany",
    "Unauthorized",
    "Unsupported",
    "UrbResult",
    "UsbDevice",
    "UsbDevices",
    "UsbPoll",
    "UsbTransfer",
    "pair",
]
