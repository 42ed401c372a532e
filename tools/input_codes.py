"""Make client/myclerk_client/input_codes.txt from the kernel's linux/input-event-codes.h: names of types and codes.

``python tools/input_codes.py [HEADER]``. Ends of ranges, counts and second names of a number are left out.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HEADER = Path("/usr/include/linux/input-event-codes.h")
TABLE = Path(__file__).parent.parent / "client" / "myclerk_client" / "input_codes.txt"
TYPES = {
    "EV_SYN": "SYN_", "EV_KEY": "KEY_ BTN_", "EV_REL": "REL_", "EV_ABS": "ABS_", "EV_MSC": "MSC_", "EV_SW": "SW_",
    "EV_LED": "LED_", "EV_SND": "SND_", "EV_REP": "REP_",
}  # fmt: skip
NO_CODES = re.compile(
    r"_(MAX|CNT)$|^(KEY_MIN_INTERESTING|BTN_(MISC|MOUSE|JOYSTICK|GAMEPAD|DIGI|WHEEL|TRIGGER_HAPPY))$"
)
DEFINITION = re.compile(r"^#define\s+([A-Z0-9_]+)\s+(0x[0-9a-fA-F]+|[0-9]+)\b", re.MULTILINE)


def render(header: str) -> str:
    """The table: a line TYPE CODE NAME for each code, sorted by number."""
    found = {name: int(number, 0) for name, number in DEFINITION.findall(header) if not NO_CODES.search(name)}
    lines = {}
    for kind, prefixes in TYPES.items():
        for name, number in found.items():
            if name.startswith(tuple(prefixes.split())):
                lines.setdefault((found[kind], number), f"{kind} {number} {name}")
    return "".join(f"{line}\n" for _, line in sorted(lines.items()))


if __name__ == "__main__":
    TABLE.write_text(render((Path(sys.argv[1]) if sys.argv[1:] else HEADER).read_text()))
