"""What a request names: a bus or one address on it, and whether that address may be used."""

from __future__ import annotations

import re
from dataclasses import dataclass

from myclerk_protocol.status import BadRequest

FIRST, LAST = 0x08, 0x77
"""Addresses that the I2C specification does not reserve."""

_NAME = re.compile(r"i2c:(0|[1-9][0-9]{0,8})(?:/0x([0-9a-fA-F]{1,2}))?")


@dataclass(frozen=True, slots=True)
class Target:
    """The bus of a number, or one ``address`` on it (0x00-0x7f)."""

    number: int
    address: int | None = None

    @property
    def bus(self) -> str:
        """The bus's resource name, ``i2c:1``."""
        return f"i2c:{self.number}"

    @property
    def name(self) -> str:
        """The resource name, ``i2c:1/0x48``."""
        return self.bus if self.address is None else f"{self.bus}/0x{self.address:02x}"

    @classmethod
    def parse(cls, name: str) -> Target | None:
        """What a resource name means, or None if it is none of this driver's."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        address = None if match[2] is None else int(match[2], 16)
        return None if address is not None and address > 0x7F else cls(int(match[1]), address)

    def resolve(self, address: int | None, *, force: bool) -> int:
        """The address to use: ``address`` or, where a request gives none, the resource's own.

        Raises BadRequest when there is none, when it contradicts the resource, or when it is reserved.
        """
        if address is None:
            address = self.address
            if address is None:
                raise BadRequest(f"`address` is missing, and {self.name} names none", key="address")
        self.check(address, force=force)
        return address

    def check(self, address: int, *, force: bool, ten_bit: bool = False, key: str = "address") -> None:
        """Raise BadRequest if ``address`` is not the resource's, or is reserved and ``force`` is not set."""
        if self.address is not None and (address != self.address or ten_bit):
            raise BadRequest(f"0x{address:02x} is not the address that {self.name} names", key=key)
        if not (FIRST <= address <= LAST or force or ten_bit):
            raise BadRequest(
                f"the I2C specification reserves 0x{address:02x}; `force` uses it nevertheless", key=key
            )
