"""A board that is delivered with a label: its static QR code admits the first device (docs/trust.md).

``preconfiguration.json`` in the state directory notes the PIN of the label, salted. The PIN holds for ever, and
only while the board has admitted nobody; it holds again when the board is reset (``agent.db`` removed).
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from myclerk_drivers.base import Access
from myclerk_protocol.environment import Environment
from myclerk_protocol.mesh import pin, preconfiguration, udf
from myclerk_protocol.mesh.link import DEFAULT_PORT, Link
from myclerk_protocol.mesh.messages import MessagePin
from myclerk_protocol.mesh.preconfiguration import Preconfiguration
from myclerk_protocol.status import Conflict, NotFound, OperationError

from .config_checks import Address
from .keys import AgentKeys
from .state import StateError, read_private, write_private
from .store import Store

NAME = "preconfiguration.json"
DESCRIPTION = "first administrator"


def preconfigure(
    directory: Path, keys: AgentKeys, store: Store, environment: Environment, address: Address
) -> Link:
    """Note a new label for this board and give its link, PIN included; a label before holds no more.

    ``address`` is where the board will be found. Raises Conflict when the board has admitted a device.
    """
    if store.devices():
        raise Conflict("this board has admitted devices already: use `myclerk-agent invite`")
    withdraw_pin(directory, keys, store)
    identity = keys.identity
    secret = pin.new_pin(environment.random)
    link = Link(address.host, identity.fingerprint, secret, address.port or DEFAULT_PORT)
    noted = MessagePin.issue(secret, udf.grouped(identity.fingerprint))
    envelope = noted.envelope(keys.administrator, environment.wall())
    record = Preconfiguration(identity.profile, replace(link, pin=None), noted, envelope)
    write_private(directory / NAME, record.to_bytes())
    arm(directory, keys, store)
    return link


def arm(directory: Path, keys: AgentKeys, store: Store) -> None:
    """Let the PIN of the label admit, if there is a label and nobody was admitted yet.

    Raises StateError for a record that is damaged or belongs to another board.
    """
    record = read(directory, keys)
    if record is None or store.devices() or store.find_pin(udf.compact(record.pin.pin_id)) is not None:
        return
    store.add_pin(
        udf.compact(record.pin.pin_id),
        udf.parse(record.pin.salted)[1],
        access=int(Access.READ_WRITE),
        administrator=True,
        description=DESCRIPTION,
        lifetime=math.inf,
    )


def withdraw(directory: Path, keys: AgentKeys, store: Store) -> None:
    """Let the label hold no more. Raises NotFound when there is none."""
    if read(directory, keys) is None:
        raise NotFound("this board has no label")
    withdraw_pin(directory, keys, store)
    (directory / NAME).unlink(missing_ok=True)


def withdraw_pin(directory: Path, keys: AgentKeys, store: Store) -> None:
    """Forget the PIN of the label there is, if it is still unused."""
    record = read(directory, keys)
    if record is not None:
        store.withdraw_pin(udf.compact(record.pin.pin_id))


def read(directory: Path, keys: AgentKeys) -> Preconfiguration | None:
    """The board's label as noted, without its PIN; None where there is none. Raises StateError."""
    path = directory / NAME
    try:
        record = preconfiguration.parse(read_private(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from None
    except OperationError as error:
        raise StateError(f"{path} is damaged, remove it: {error.message}") from None
    if record.host.fingerprint != keys.identity.fingerprint:
        raise StateError(f"{path} belongs to another board, remove it")
    return record
