"""MyClerk: the hardware of a remote board as if it were here. Everything of ``myclerk_client``, by a short name."""

from myclerk_client import *  # noqa: F403
from myclerk_client import __all__ as __all__
