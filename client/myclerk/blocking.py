"""The same without ``await``: everything of ``myclerk_client.blocking``, by a short name."""

from myclerk_client.blocking import *  # noqa: F403
from myclerk_client.blocking import __all__ as __all__
