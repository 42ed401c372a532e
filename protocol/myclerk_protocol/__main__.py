"""``python -m myclerk_protocol operations`` prints the registry of operations as CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import TextIO

from .operations import OPERATIONS

COLUMNS = ("code", "name", "family", "min_tier", "legacy_code", "description")


def print_operations(output: TextIO) -> None:
    """Write the registry as CSV: a header line, then one row per operation, lines ending in a line feed."""
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(COLUMNS)
    for operation in OPERATIONS:
        writer.writerow(
            (
                f"0x{operation.code:04X}",
                operation.name,
                operation.family,
                operation.minimum_tier,
                "" if operation.legacy is None else f"0x{operation.legacy:04X}",
                operation.description,
            )
        )


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return its exit status: 0 when printed, 2 when asked for anything else."""
    if list(arguments) != ["operations"]:
        print("usage: python -m myclerk_protocol operations", file=sys.stderr)
        return 2
    print_operations(sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
