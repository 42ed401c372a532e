"""Render docs/operations.md: every operation, who serves it, how it is called, and what proved it.

Registry, drivers, schema and client are asked themselves; ``docs/evidence.json`` says what the end-to-end
tests drove through a running agent (``make operations`` writes both).
"""

from __future__ import annotations

import ast
import json
import sys
from collections import defaultdict
from pathlib import Path

from myclerk_agent.drivers import installed
from myclerk_agent.service import SYSTEM_OPERATIONS
from myclerk_drivers.base import Serving, served_by
from myclerk_protocol.operations import OPERATIONS, Operation
from myclerk_protocol.schema import Schema
from myclerk_protocol.status import LocalError

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "operations.md"
EVIDENCE = ROOT / "docs" / "evidence.json"
CLIENT = ROOT / "client" / "myclerk_client"

SESSION_LAYER = frozenset({"session", "key"})
COMMANDS = {
    "KEEPALIVE": "myclerk ping",
    "CLIENT_REGISTER": "myclerk pair",
    "CLIENT_HEARTBEAT": "myclerk clients heartbeat",
    "CLIENT_ASSIGN": "myclerk clients assign",
    "CLIENT_REVOKE": "myclerk clients revoke",
    "CLIENT_STATUS": "myclerk clients show",
    "CLIENT_LIST": "myclerk clients list",
    "CLIENT_INFO": "myclerk clients show",
    "DEVICE_REQUEST_CREATE": "myclerk requests create",
    "DEVICE_REQUEST_LIST": "myclerk requests list",
    "DEVICE_REQUEST_DETAILS": "myclerk requests show",
    "DEVICE_REQUEST_RESPOND": "myclerk requests approve",
    "DEVICE_REQUEST_CANCEL": "myclerk requests cancel",
    "ACL_SET": "myclerk access group",
    "ACL_GET": "myclerk access show",
    "ACL_GRANT": "myclerk access grant",
    "ACL_REVOKE": "myclerk access revoke",
    "DEVICE_CONFIGURE": "myclerk access share",
    "DEVICE_DISCOVER": "myclerk devices --all",
    "DEVICE_LIST": "myclerk devices",
    "DEVICE_SUBSCRIBE": "myclerk devices --watch",
    "DEVICE_UNSUBSCRIBE": "myclerk devices --watch",
    "DEVICE_CAPABILITIES": "myclerk operations",
    "DEVICE_LOCK": "myclerk lock",
    "DEVICE_UNLOCK": "myclerk unlock",
    "STREAM_START": "myclerk serial join",
    "STREAM_DATA": "myclerk serial join",
    "ROUTE_CREATE": "myclerk routes create",
    "ROUTE_DELETE": "myclerk routes delete",
    "ROUTE_LIST": "myclerk routes list",
    "ROUTE_MODIFY": "myclerk routes modify",
    "ROUTE_PRIORITY": "myclerk routes priority",
    "GPIO_CHIP_LIST": "myclerk gpio detect",
    "GPIO_LINE_INFO": "myclerk gpio info",
    "GPIO_LINE_REQUEST": "myclerk gpio set",
    "GPIO_LINE_RELEASE": "myclerk gpio set",
    "GPIO_LINE_SET": "myclerk gpio set",
    "GPIO_LINE_GET": "myclerk gpio get",
    "GPIO_LINE_WATCH": "myclerk gpio mon",
    "GPIO_EVENT": "myclerk gpio mon",
    "GPIO_PWM_CONFIGURE": "myclerk gpio pwm",
    "GPIO_PWM_SET": "myclerk gpio pwm",
    "CAN_INTERFACE_LIST": "myclerk can list",
    "CAN_INTERFACE_OPEN": "myclerk can dump",
    "CAN_INTERFACE_CLOSE": "myclerk can dump",
    "CAN_CONFIGURE": "myclerk can up",
    "CAN_FRAME_SEND": "myclerk can send",
    "CAN_FRAME_RECEIVE": "myclerk can dump",
    "CAN_ERROR_STATUS": "myclerk can status",
    "USB_DEVICE_LIST": "myclerk usb list",
    "USB_DEVICE_ATTACH": "myclerk usb attach",
    "USB_DEVICE_DETACH": "myclerk usb attach",
    "USB_CONTROL_TRANSFER": "myclerk usb attach",
    "USB_BULK_TRANSFER": "myclerk usb attach",
    "USB_INTERRUPT_TRANSFER": "myclerk usb attach",
    "USB_ISOCHRONOUS_TRANSFER": "myclerk usb attach",
    "USB_SET_CONFIGURATION": "myclerk usb attach",
    "USB_SET_INTERFACE": "myclerk usb attach",
    "USB_CLEAR_HALT": "myclerk usb attach",
    "USB_RESET": "myclerk usb attach",
    "SERIAL_PORT_LIST": "myclerk serial list",
    "SERIAL_PORT_OPEN": "myclerk serial console",
    "SERIAL_PORT_CLOSE": "myclerk serial console",
    "SERIAL_PORT_CONFIGURE": "myclerk serial link",
    "SERIAL_DATA_WRITE": "myclerk serial send",
    "SERIAL_DATA_READ": "myclerk serial read",
    "SERIAL_CONTROL_SET": "myclerk serial console",
    "SERIAL_CONTROL_GET": "myclerk serial lines",
    "SERIAL_BREAK": "myclerk serial break",
    "ONEWIRE_BUS_LIST": "myclerk w1 list",
    "ONEWIRE_SEARCH": "myclerk w1 search",
    "ONEWIRE_RESET": "myclerk w1 reset",
    "ONEWIRE_READ_ROM": "myclerk w1 rom",
    "ONEWIRE_MATCH_ROM": "myclerk w1 read --steps",
    "ONEWIRE_SKIP_ROM": "myclerk w1 read --steps",
    "ONEWIRE_READ": "myclerk w1 temp",
    "ONEWIRE_WRITE": "myclerk w1 write",
    "GSM_MODEM_INIT": "myclerk modem init",
    "GSM_MODEM_STATUS": "myclerk modem status",
    "GSM_NETWORK_REG": "myclerk modem network",
    "GSM_SIGNAL_QUALITY": "myclerk modem signal",
    "GSM_SMS_SEND": "myclerk sms send",
    "GSM_SMS_RECEIVE": "myclerk sms receive",
    "GSM_SMS_LIST": "myclerk sms list",
    "GSM_SMS_DELETE": "myclerk sms delete",
    "GSM_USSD_SEND": "myclerk modem ussd",
    "GSM_USSD_RESPONSE": "myclerk modem ussd",
    "GSM_GNSS_ENABLE": "myclerk gnss on",
    "GSM_GNSS_POSITION": "myclerk gnss position",
    "GSM_GNSS_CONFIG": "myclerk gnss config",
    "GSM_VOICE_DIAL": "myclerk call dial",
    "GSM_VOICE_HANGUP": "myclerk call hangup",
    "GSM_VOICE_ANSWER": "myclerk call answer",
    "I2C_BUS_LIST": "myclerk i2c list",
    "I2C_BUS_SCAN": "myclerk i2c detect",
    "I2C_TRANSFER": "myclerk i2c transfer",
    "I2C_WRITE_BYTE": "myclerk i2c set",
    "I2C_READ_BYTE": "myclerk i2c get",
    "I2C_WRITE_BLOCK": "myclerk i2c set",
    "I2C_READ_BLOCK": "myclerk i2c dump",
    "I2C_SMBUS_COMMAND": "myclerk i2c get",
    "SPI_BUS_LIST": "myclerk spi list",
    "SPI_DEVICE_OPEN": "myclerk spi transfer",
    "SPI_DEVICE_CLOSE": "myclerk spi transfer",
    "SPI_TRANSFER": "myclerk spi transfer",
    "SPI_WRITE": "myclerk spi write",
    "SPI_READ": "myclerk spi read",
}
"""The shortest command that drives an operation; a test checks that each exists."""

HEADER = """\
# Operations

Made by `make operations` from the registry and from what the end-to-end tests drove through a running agent.
Do not edit. An empty *proven on* means that no test has driven the operation yet; an operation without a
driver is answered UNSUPPORTED.

{proven} of {total} operations are proven.
"""
COLUMNS = ("code", "operation", "served by", "access", "schema", "client call", "command", "proven on")


def servings() -> dict[str, tuple[str, Serving]]:
    """Who serves each operation: name -> (driver or "agent", marking)."""
    own = (served for owner in SYSTEM_OPERATIONS for served in served_by(owner).items())
    found = {name: ("agent", serving) for name, (_, serving) in own}
    for driver_name, point in installed().items():
        driver = point.load()
        for owner in (driver, *driver.handles):
            for name, (_, serving) in served_by(owner).items():
                found[name] = (f"drivers/{driver_name}", serving)
    return found


def client_calls(directory: Path = CLIENT) -> dict[str, str]:
    """The public client method in which each operation's name stands: "SerialPort.write"."""
    calls: dict[str, str] = {}
    names = {operation.name for operation in OPERATIONS}
    for path in sorted((*directory.glob("*.py"), *directory.glob("usb/*.py"))):
        for owner in ast.walk(ast.parse(path.read_text())):
            if not isinstance(owner, ast.ClassDef):
                continue
            for method in owner.body:
                if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                for node in ast.walk(method):
                    if isinstance(node, ast.Constant) and node.value in names:
                        calls.setdefault(str(node.value), f"{owner.name}.{method.name}")
    return calls


def row(
    operation: Operation,
    served: dict[str, tuple[str, Serving]],
    calls: dict[str, str],
    evidence: dict[str, dict[str, str]],
) -> tuple[str, ...]:
    """One line of the table."""
    name = operation.name
    by, serving = served.get(name, ("", None))
    if operation.family in SESSION_LAYER or name == "CLIENT_REGISTER":
        by = by or "session layer"
    try:
        schema = Schema.load().source(name)
    except LocalError:
        schema = ""
    access = serving.access.name.lower().replace("_", "-") if serving else ""
    backends = ", ".join(sorted(evidence.get(name, {})))
    call, command = calls.get(name, ""), COMMANDS.get(name, "")
    return (
        f"0x{operation.code:04X}",
        name,
        by,
        access,
        schema,
        f"`{call}`" if call else "",
        f"`{command}`" if command else "",
        backends,
    )


def render(evidence: dict[str, dict[str, str]]) -> str:
    """The whole page."""
    served, calls = servings(), client_calls()
    families: dict[str, list[Operation]] = defaultdict(list)
    for operation in OPERATIONS:
        families[operation.family].append(operation)
    proven = sum(operation.name in evidence for operation in OPERATIONS)
    parts = [HEADER.format(proven=proven, total=len(OPERATIONS))]
    for family, operations in families.items():
        parts += [f"\n## {family}\n", "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
        parts += ["| " + " | ".join(row(op, served, calls, evidence)) + " |" for op in operations]
    return "\n".join(parts) + "\n"


def main() -> int:
    """Write the page, and the evidence with it."""
    evidence = json.loads(EVIDENCE.read_text())
    PAGE.write_text(render(evidence))
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}: {len(evidence)} operations proven\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
