"""The API of :mod:`myclerk_client` without ``await``, for scripts, shells and threads.

>>> from myclerk.blocking import Board
>>> with Board.connect("bench") as board, board.serial.open("ttyUSB0", baud=115200) as port:
...     port.write(b"AT\\r")
...     print(port.read_until(b"\\r\\n", timeout=1))

Every asynchronous class has its twin here under the same name (:mod:`myclerk_client.twins`); errors and
plain classes are the same objects. All calls share one background thread, may come from many threads at once,
and can be interrupted with Ctrl-C. What ``batch.add`` returns has its answer in ``result()`` once the block
has ended. Type checkers read ``blocking.pyi``, which ``python -m myclerk_client.stubs`` writes.
"""

import myclerk_client as _client

from .background import at_end
from .link import close_all
from .twins import Pending, twin

at_end.append(close_all)  # a script that forgot to close a board holds nothing of it for its linger

__all__ = sorted([*_client.__all__, Pending.__name__])

globals().update({name: twin(getattr(_client, name)) for name in _client.__all__})
