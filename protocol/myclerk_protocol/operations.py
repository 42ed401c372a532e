"""The registry of operations: one table, from which constants, lookups and the printed registry come.

Source: draft section 6, as far as the profile has it in scope; ``python -m myclerk_protocol operations``
prints it as CSV.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Self

from .status import LocalError

VENDOR_CODES = range(0xF000, 0xFFFF)
"""Codes for the drivers of third parties: 0xF000-0xFFFE."""

_LEGACY_OFFSET = 0xF350 - 0x0B50
_ALIASED_CODES = range(0x0B50, 0x0B7B)
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


@unique
class Opcode(IntEnum):
    """The table: operation = code, family, minimum tier, description. Each member is its code, an int.

    The minimum tier is the lowest that may carry the operation in a session; sessions start at tier 3.
    """

    family: str
    minimum_tier: int
    description: str

    def __new__(cls, code: int, family: str, minimum_tier: int, description: str) -> Self:
        """Make the member an int that also carries its row."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.family = family
        member.minimum_tier = minimum_tier
        member.description = description
        return member

    NOP = 0x0000, "session", 1, "No operation"
    KEEPALIVE = 0x0001, "session", 1, "Session keepalive"
    KEEPALIVE_ACK = 0x0002, "session", 1, "Keepalive acknowledgment"
    SESSION_INIT = 0x0003, "session", 4, "Initialize session"
    SESSION_ACK = 0x0004, "session", 4, "Session acknowledgment"
    SESSION_CLOSE = 0x0005, "session", 3, "Close session"
    SESSION_CLOSE_ACK = 0x0006, "session", 3, "Close acknowledgment"
    SESSION_RESUME = 0x0007, "session", 4, "Resume session with ticket"
    SESSION_RESUMED = 0x0008, "session", 4, "Session resumed"

    KEY_EXCHANGE_INIT = 0x0010, "key", 4, "Initiate key exchange"
    KEY_EXCHANGE_RESPONSE = 0x0011, "key", 4, "Key exchange response"
    KEY_EXCHANGE_COMPLETE = 0x0012, "key", 4, "Key exchange complete"
    SESSION_ROTATE = 0x0016, "key", 4, "Rotate session key"
    SESSION_REVOKE = 0x0017, "key", 4, "Revoke session key"

    DEVICE_LIST = 0x0200, "device", 3, "List available devices"
    DEVICE_INFO = 0x0201, "device", 3, "Get device information"
    DEVICE_SUBSCRIBE = 0x0202, "device", 3, "Subscribe to device events"
    DEVICE_UNSUBSCRIBE = 0x0203, "device", 3, "Unsubscribe from device"
    DEVICE_LOCK = 0x0204, "device", 3, "Lock device for exclusive use"
    DEVICE_UNLOCK = 0x0205, "device", 3, "Release device lock"
    DEVICE_CONFIGURE = 0x0206, "device", 3, "Configure device parameters"
    DEVICE_CAPABILITIES = 0x0207, "device", 3, "Query device capabilities"
    DEVICE_DISCOVER = 0x020B, "device", 3, "List all connected devices (including unshared)"

    STREAM_START = 0x0210, "stream", 3, "Start data stream"
    STREAM_STOP = 0x0211, "stream", 3, "Stop data stream"
    STREAM_DATA = 0x0212, "stream", 3, "Stream data payload"
    STREAM_CONFIGURE = 0x0213, "stream", 3, "Configure stream parameters"
    STREAM_QUALITY = 0x0214, "stream", 3, "Adjust quality settings"
    STREAM_PAUSE = 0x0215, "stream", 3, "Pause stream"
    STREAM_RESUME = 0x0216, "stream", 3, "Resume paused stream"

    ROUTE_CREATE = 0x0240, "routing", 3, "Create device route"
    ROUTE_DELETE = 0x0241, "routing", 3, "Delete device route"
    ROUTE_LIST = 0x0242, "routing", 3, "List active routes"
    ROUTE_MODIFY = 0x0243, "routing", 3, "Modify existing route"
    ACL_SET = 0x0244, "routing", 3, "Set access control"
    ACL_GET = 0x0245, "routing", 3, "Get access control"
    ACL_GRANT = 0x0246, "routing", 3, "Grant client access"
    ACL_REVOKE = 0x0247, "routing", 3, "Revoke client access"
    ROUTE_PRIORITY = 0x0248, "routing", 3, "Set routing priority"

    CLIENT_REGISTER = 0x0250, "client", 3, "Register client with server"
    CLIENT_HEARTBEAT = 0x0251, "client", 3, "Client keepalive"
    CLIENT_ASSIGN = 0x0252, "client", 3, "Assign device to client"
    CLIENT_REVOKE = 0x0253, "client", 3, "Revoke device from client"
    CLIENT_STATUS = 0x0254, "client", 3, "Query client status"
    CLIENT_LIST = 0x0255, "client", 3, "List registered clients"
    CLIENT_INFO = 0x0256, "client", 3, "Get client information"
    DEVICE_REQUEST_CREATE = 0x0257, "client", 3, "Create device sharing request"
    DEVICE_REQUEST_LIST = 0x0258, "client", 3, "List pending device requests"
    DEVICE_REQUEST_DETAILS = 0x0259, "client", 3, "Get request details"
    DEVICE_REQUEST_RESPOND = 0x025A, "client", 3, "Approve/reject device request"
    DEVICE_REQUEST_CANCEL = 0x025B, "client", 3, "Cancel pending request"

    USB_DEVICE_LIST = 0x0600, "usb", 3, "List USB devices"
    USB_DEVICE_ATTACH = 0x0601, "usb", 3, "Attach USB device"
    USB_DEVICE_DETACH = 0x0602, "usb", 3, "Detach USB device"
    USB_CONTROL_TRANSFER = 0x0603, "usb", 3, "USB control transfer"
    USB_BULK_TRANSFER = 0x0604, "usb", 3, "USB bulk transfer"
    USB_INTERRUPT_TRANSFER = 0x0605, "usb", 3, "USB interrupt transfer"
    USB_ISOCHRONOUS_TRANSFER = 0x0606, "usb", 3, "USB isochronous transfer"
    USB_GET_DESCRIPTOR = 0x0607, "usb", 3, "Get USB descriptor"
    USB_SET_CONFIGURATION = 0x0608, "usb", 3, "Set USB configuration"
    USB_SET_INTERFACE = 0x0609, "usb", 3, "Set USB interface"
    USB_CLEAR_HALT = 0x060A, "usb", 3, "Clear endpoint halt"
    USB_RESET = 0x060B, "usb", 3, "Reset USB device"

    SERIAL_PORT_LIST = 0x0610, "serial", 3, "List serial ports"
    SERIAL_PORT_OPEN = 0x0611, "serial", 3, "Open serial port"
    SERIAL_PORT_CLOSE = 0x0612, "serial", 3, "Close serial port"
    SERIAL_PORT_CONFIGURE = 0x0613, "serial", 3, "Configure baud, parity, etc."
    SERIAL_DATA_WRITE = 0x0614, "serial", 3, "Write to serial port"
    SERIAL_DATA_READ = 0x0615, "serial", 3, "Read from serial port"
    SERIAL_CONTROL_SET = 0x0616, "serial", 3, "Set control lines (DTR, RTS)"
    SERIAL_CONTROL_GET = 0x0617, "serial", 3, "Get control line status"
    SERIAL_BREAK = 0x0618, "serial", 3, "Send break condition"

    GPIO_CHIP_LIST = 0x0620, "gpio", 3, "List GPIO chips"
    GPIO_LINE_INFO = 0x0621, "gpio", 3, "Get line information"
    GPIO_LINE_REQUEST = 0x0622, "gpio", 3, "Request GPIO line"
    GPIO_LINE_RELEASE = 0x0623, "gpio", 3, "Release GPIO line"
    GPIO_LINE_SET = 0x0624, "gpio", 3, "Set line value"
    GPIO_LINE_GET = 0x0625, "gpio", 3, "Get line value"
    GPIO_LINE_WATCH = 0x0626, "gpio", 3, "Watch for edge events"
    GPIO_EVENT = 0x0627, "gpio", 3, "GPIO edge event notification"
    GPIO_PWM_CONFIGURE = 0x0628, "gpio", 3, "Configure PWM output"
    GPIO_PWM_SET = 0x0629, "gpio", 3, "Set PWM duty cycle"

    I2C_BUS_LIST = 0x0630, "i2c", 3, "List I2C buses"
    I2C_BUS_SCAN = 0x0631, "i2c", 3, "Scan for devices on bus"
    I2C_TRANSFER = 0x0632, "i2c", 3, "I2C read/write transfer"
    I2C_WRITE_BYTE = 0x0633, "i2c", 3, "Write single byte"
    I2C_READ_BYTE = 0x0634, "i2c", 3, "Read single byte"
    I2C_WRITE_BLOCK = 0x0635, "i2c", 3, "Write data block"
    I2C_READ_BLOCK = 0x0636, "i2c", 3, "Read data block"
    I2C_SMBUS_COMMAND = 0x0637, "i2c", 3, "SMBus protocol command"

    SPI_BUS_LIST = 0x0640, "spi", 3, "List SPI buses"
    SPI_DEVICE_OPEN = 0x0641, "spi", 3, "Open SPI device"
    SPI_DEVICE_CLOSE = 0x0642, "spi", 3, "Close SPI device"
    SPI_CONFIGURE = 0x0643, "spi", 3, "Configure mode, speed, bits"
    SPI_TRANSFER = 0x0644, "spi", 3, "Full-duplex SPI transfer"
    SPI_WRITE = 0x0645, "spi", 3, "SPI write-only"
    SPI_READ = 0x0646, "spi", 3, "SPI read-only"

    CAN_INTERFACE_LIST = 0x0650, "can", 3, "List CAN interfaces"
    CAN_INTERFACE_OPEN = 0x0651, "can", 3, "Open CAN interface"
    CAN_INTERFACE_CLOSE = 0x0652, "can", 3, "Close CAN interface"
    CAN_CONFIGURE = 0x0653, "can", 3, "Configure bitrate, mode"
    CAN_FRAME_SEND = 0x0654, "can", 3, "Send CAN frame"
    CAN_FRAME_RECEIVE = 0x0655, "can", 3, "Receive CAN frame"
    CAN_FILTER_SET = 0x0656, "can", 3, "Set receive filter"
    CAN_ERROR_STATUS = 0x0657, "can", 3, "Get error counters"

    ONEWIRE_BUS_LIST = 0x0660, "onewire", 3, "List 1-Wire buses"
    ONEWIRE_SEARCH = 0x0661, "onewire", 3, "Search for devices"
    ONEWIRE_RESET = 0x0662, "onewire", 3, "Reset bus"
    ONEWIRE_READ_ROM = 0x0663, "onewire", 3, "Read device ROM"
    ONEWIRE_MATCH_ROM = 0x0664, "onewire", 3, "Select device by ROM"
    ONEWIRE_SKIP_ROM = 0x0665, "onewire", 3, "Skip ROM (single device)"
    ONEWIRE_READ = 0x0666, "onewire", 3, "Read bytes"
    ONEWIRE_WRITE = 0x0667, "onewire", 3, "Write bytes"

    GSM_MODEM_INIT = 0x0670, "gsm", 3, "Initialize GSM modem"
    GSM_MODEM_STATUS = 0x0671, "gsm", 3, "Get modem status"
    GSM_NETWORK_REG = 0x0672, "gsm", 3, "Network registration status"
    GSM_SIGNAL_QUALITY = 0x0673, "gsm", 3, "Signal quality (RSSI, BER)"
    GSM_SMS_SEND = 0x0674, "gsm", 3, "Send SMS via AT commands"
    GSM_SMS_RECEIVE = 0x0675, "gsm", 3, "Receive SMS notification"
    GSM_SMS_LIST = 0x0676, "gsm", 3, "List SMS messages"
    GSM_SMS_DELETE = 0x0677, "gsm", 3, "Delete SMS from SIM"
    GSM_USSD_SEND = 0x0678, "gsm", 3, "Send USSD command"
    GSM_USSD_RESPONSE = 0x0679, "gsm", 3, "USSD response"
    GSM_GNSS_ENABLE = 0x067A, "gsm", 3, "Enable/disable GNSS module"
    GSM_GNSS_POSITION = 0x067B, "gsm", 3, "Get GNSS position fix"
    GSM_GNSS_CONFIG = 0x067C, "gsm", 3, "Configure GNSS"
    GSM_VOICE_DIAL = 0x067D, "gsm", 3, "Initiate voice call"
    GSM_VOICE_HANGUP = 0x067E, "gsm", 3, "Hangup voice call"
    GSM_VOICE_ANSWER = 0x067F, "gsm", 3, "Answer incoming call"

    SMS_CREATE = 0x0B50, "sms", 3, "Create outgoing SMS"
    SMS_SEND = 0x0B51, "sms", 3, "Send SMS via gateway"
    SMS_RECEIVE = 0x0B52, "sms", 3, "Incoming SMS notification"
    SMS_STATUS = 0x0B53, "sms", 3, "Query message delivery status"
    SMS_LIST = 0x0B54, "sms", 3, "List messages in gateway"
    SMS_DELETE = 0x0B55, "sms", 3, "Delete message from gateway"
    SMS_ROUTE_ADD = 0x0B56, "sms", 3, "Add routing rule"
    SMS_ROUTE_REMOVE = 0x0B57, "sms", 3, "Remove routing rule"
    SMS_ROUTE_LIST = 0x0B58, "sms", 3, "List routing rules"
    SMS_GATEWAY_STATUS = 0x0B59, "sms", 3, "Gateway health status"

    SMS_PARSED = 0x0B60, "sms-parsing", 3, "Parsed SMS event"
    SMS_CLASSIFY = 0x0B61, "sms-parsing", 3, "Classify SMS type"
    SMS_TAN_RECEIVED = 0x0B62, "sms-parsing", 3, "TAN/OTP received event"
    SMS_TAN_ANNOUNCE = 0x0B63, "sms-parsing", 3, "Announce TAN to family"
    SMS_TAN_CLAIM = 0x0B64, "sms-parsing", 3, "Claim TAN ownership"
    SMS_TAN_EXPIRE = 0x0B65, "sms-parsing", 3, "TAN expiration notification"
    SMS_DELIVERY_RECEIVED = 0x0B66, "sms-parsing", 3, "Delivery notification received"
    SMS_APPOINTMENT_RECEIVED = 0x0B67, "sms-parsing", 3, "Appointment SMS received"
    SMS_SPAM_DETECTED = 0x0B68, "sms-parsing", 3, "Spam SMS detected"
    SMS_ALERT_RECEIVED = 0x0B69, "sms-parsing", 3, "Alert/warning SMS received"

    EMERGENCY_GATEWAY_STATUS = 0x0B70, "emergency", 3, "Gateway health status"
    EMERGENCY_INTERNET_DOWN = 0x0B71, "emergency", 3, "Internet outage detected"
    EMERGENCY_INTERNET_UP = 0x0B72, "emergency", 3, "Internet restored"
    EMERGENCY_SMS_ALERT = 0x0B73, "emergency", 3, "Emergency alert via SMS"
    EMERGENCY_SMS_COMMAND = 0x0B74, "emergency", 3, "Emergency command via SMS"
    EMERGENCY_LOCATION_REQUEST = 0x0B75, "emergency", 3, "Request device location"
    EMERGENCY_LOCATION_RESPONSE = 0x0B76, "emergency", 3, "Device location response"
    EMERGENCY_HEALTH_CHECK = 0x0B77, "emergency", 3, "Remote health check request"
    EMERGENCY_HEALTH_RESPONSE = 0x0B78, "emergency", 3, "Health check response"
    EMERGENCY_MODE_ACTIVATE = 0x0B79, "emergency", 3, "Activate emergency mode"
    EMERGENCY_MODE_DEACTIVATE = 0x0B7A, "emergency", 3, "Deactivate emergency mode"


# The draft's own request and answer pairs; every other operation is answered under its own code.
_ANSWERS = {
    Opcode.KEEPALIVE: Opcode.KEEPALIVE_ACK,
    Opcode.SESSION_INIT: Opcode.SESSION_ACK,
    Opcode.SESSION_CLOSE: Opcode.SESSION_CLOSE_ACK,
    Opcode.SESSION_RESUME: Opcode.SESSION_RESUMED,
    Opcode.KEY_EXCHANGE_INIT: Opcode.KEY_EXCHANGE_RESPONSE,
}

ANSWER_OPCODES: frozenset[int] = frozenset(int(answer) for answer in _ANSWERS.values())
"""Codes that are only ever answers; from a client they are dropped and counted (docs/protocol.md)."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One row: what is known of an operation before its payload is looked at.

    ``response`` is the code of a successful answer; ``legacy`` is the alias (0xF350-0xF37A) or None, and a
    request under it is answered under it.
    """

    code: int
    name: str
    family: str
    minimum_tier: int
    response: int
    legacy: int | None
    description: str


def _row(opcode: Opcode) -> Operation:
    return Operation(
        code=int(opcode),
        name=opcode.name,
        family=opcode.family,
        minimum_tier=opcode.minimum_tier,
        response=int(_ANSWERS.get(opcode, opcode)),
        legacy=opcode + _LEGACY_OFFSET if opcode in _ALIASED_CODES else None,
        description=opcode.description,
    )


OPERATIONS: tuple[Operation, ...] = tuple(map(_row, Opcode))
"""Every operation of the profile, in order of code."""


class Registry:
    """Operations by code and by name. Immutable; :meth:`extended` makes a larger one."""

    __slots__ = ("_by_code", "_by_name", "by_code")

    by_code: Callable[[int], Operation | None]
    """The operation with this code or legacy alias, or None; asked for each request, hence the bare method."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        """Raise :class:`LocalError` if two operations share a name, a code or an alias."""
        self._by_code: dict[int, Operation] = {}
        self._by_name: dict[str, Operation] = {}
        for operation in operations:
            self._add(operation)
        self.by_code = self._by_code.get

    def _add(self, operation: Operation) -> None:
        if operation.name in self._by_name:
            raise LocalError(f"there are two operations named {operation.name}")
        self._by_name[operation.name] = operation
        codes = [operation.code] if operation.legacy is None else [operation.code, operation.legacy]
        for code in codes:
            if code in self._by_code:
                raise LocalError(f"{operation.name} has code 0x{code:04X}, as {self._by_code[code].name} has")
            self._by_code[code] = operation

    def __iter__(self) -> Iterator[Operation]:
        """Iterate over the operations in the order given."""
        return iter(self._by_name.values())

    def __len__(self) -> int:
        """Count the operations; aliases do not count."""
        return len(self._by_name)

    def by_name(self, name: str) -> Operation:
        """Return the operation of this exact name ("GPIO_LINE_SET"); raise :class:`LocalError` for others."""
        try:
            return self._by_name[name]
        except KeyError:
            raise LocalError(f"there is no operation named {name!r}") from None

    def extended(self, operations: Iterable[Operation]) -> Registry:
        """Return a registry that also holds a third party's operations.

        Their codes lie in 0xF000-0xFFFE, they answer under their own code, have no alias and need tier 3-5.
        Raise :class:`LocalError` for anything else and for a clash.
        """
        additions = tuple(operations)
        for operation in additions:
            _check_addition(operation)
        return Registry((*self, *additions))


def _check_addition(operation: Operation) -> None:
    if not _NAME.fullmatch(operation.name):
        raise LocalError(f"{operation.name!r} is no operation name: capitals, digits and underscores only")
    if operation.code not in VENDOR_CODES:
        raise LocalError(f"{operation.name} needs a code from 0xF000 to 0xFFFE, not 0x{operation.code:04X}")
    if operation.response != operation.code or operation.legacy is not None:
        raise LocalError(f"{operation.name} must answer under its own code and have no alias")
    if not 3 <= operation.minimum_tier <= 5:
        raise LocalError(f"{operation.name} must have minimum tier 3, 4 or 5, not {operation.minimum_tier}")


REGISTRY = Registry(OPERATIONS)
"""The profile's operations, without any of third parties."""
