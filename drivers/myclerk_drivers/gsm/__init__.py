"""Cellular modems: SIM, network, short messages, USSD, GNSS, voice calls (draft section 6.4.8).

A modem is spoken to with AT commands over a tty of the serial driver's kind. ``at.py`` has the dialogue, ``channel.py``
carries it, ``modem.py`` keeps the modem; what is built on that has a file each.
"""

from .driver import GsmDriver

__all__ = ["GsmDriver"]
