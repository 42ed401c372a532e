"""The operations that this driver brings along, for both ends: registry rows and their CDDL."""

from __future__ import annotations

from importlib.resources import files

from myclerk_protocol.operations import Operation

FIRST_CODE = 0xF010
"""Of a block of sixteen in the vendor range 0xF000-0xFFFE; 0xF350-0xF37A are taken by aliases."""

_DESCRIPTIONS = {
    "HEALTH_READ": "Load, memory and uptime",
    "HEALTH_TEMPERATURES": "Temperatures of all thermal zones",
    "HEALTH_MONITOR_OPEN": "Begin to measure the processor's use",
    "HEALTH_MONITOR_READ": "The processor's use since the last look",
    "HEALTH_MONITOR_WATCH": "Stream of the processor's use",
    "HEALTH_MONITOR_CLOSE": "End a measurement",
}

OPERATIONS = tuple(
    Operation(code, name, family="health", minimum_tier=3, response=code, legacy=None, description=text)
    for code, (name, text) in enumerate(_DESCRIPTIONS.items(), start=FIRST_CODE)
)

SCHEMA = files(__package__).joinpath("health.cddl").read_text("utf-8")
