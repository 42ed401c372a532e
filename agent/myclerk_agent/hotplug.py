"""Hot-plug: tells subscribers what comes, goes and changes (DEVICE_SUBSCRIBE; docs/protocol.md, section 17).

Uevents only say when to look. What is told is the difference between what the drivers offer then and what a
subscriber was told before. So bursts, lost uevents and subscribers without credit need no care: in the end each knows
what is there. While nobody subscribes nothing listens and nothing looks.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from myclerk_drivers.base import Access, Resource, Stream
from myclerk_drivers.context import StreamSink
from myclerk_protocol.status import BadRequest, HardwareError, NotFound

from .dispatch import Dispatcher

log = logging.getLogger("myclerk.hotplug")

BURST = 0.05
"""Seconds from the first uevent to a look at least: what comes together is told together."""
REST = 3
"""Times what the last look took, until the next one at least: however much comes, others are served."""
AFTERMATH = 0.5
"""Seconds from that look to a second one: drivers bind behind uevents."""
PATIENCE = 2.0
"""Seconds that a look waits at most until udev has done all that it has to do: a rule may run for minutes."""

Entry = dict[str, Any]
"""A ``resource-entry`` of the schema, by Python names."""


class Source(Protocol):
    """What :class:`HotPlug` needs of a source of uevents."""

    @property
    def settled(self) -> bool:
        """Whether what was announced is ready for use."""

    def close(self) -> None:
        """Stop calling back."""


class Listing:
    """What there is at one moment: each driver is asked once at most, and only if somebody wants to know."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._found: dict[str, list[Resource] | None] = {}

    def of(self, kind: str) -> list[Resource] | None:
        """All resources of a kind; None when its driver failed to say."""
        return self._ask(kind, lambda: list(self._dispatcher.drivers[kind].resources()))

    def named(self, name: str) -> list[Resource] | None:
        """The resource of that name if it is there; None when its driver failed to say."""
        return self._ask(name, lambda: [self._dispatcher.find(name)])

    def _ask(self, what: str, function: Callable[[], list[Resource]]) -> list[Resource] | None:
        if what not in self._found:
            try:
                self._found[what] = function()
            except (NotFound, BadRequest):  # it is gone, or its name has become ambiguous
                self._found[what] = []
            except Exception:
                log.warning("%s could not be looked for", what, exc_info=True)
                self._found[what] = None
        return self._found[what]


class Subscription(Stream):
    """Events {``action``: "add", "remove" or "change"; and the device's entry, for "remove" as it was told last}."""

    window = 512

    def __init__(
        self,
        watcher: HotPlug,
        show: Callable[[Resource], Entry],
        kinds: Collection[str],
        resource: str | None,
    ) -> None:
        self._watcher = watcher
        self._show = show
        self._kinds = kinds
        self._resource = resource
        self._sink: StreamSink | None = None
        self._told: dict[str, Entry] = {}

    def describe(self) -> Mapping[str, Any]:
        """What is there now; the first event comes behind that."""
        self._told = self._look(self._watcher.listing())
        return {"devices": list(self._told.values())}

    def start(self, sink: StreamSink) -> None:
        """Tell from now on."""
        self._sink = sink

    def resume(self) -> None:
        """Tell what happened while there was no credit."""
        self.update(self._watcher.listing())

    def close(self) -> None:
        """Tell nothing more."""
        self._sink = None
        self._watcher.forget(self)

    def update(self, listing: Listing) -> None:
        """Tell what differs, as far as the credit goes; the rest waits until there is more."""
        if self._sink is None or not self._sink.credit:
            return
        events: list[tuple[str, Entry]] = []
        now = self._look(listing)
        for name, entry in self._told.items():
            if name not in now:
                events.append(("remove", entry))
        for name, entry in now.items():
            if name not in self._told:
                events.append(("add", entry))
            elif _facts(entry) != _facts(self._told[name]):
                events.append(("change", entry))
        for action, entry in events[: self._sink.credit]:
            if action == "remove":
                del self._told[entry["name"]]
            else:
                self._told[entry["name"]] = entry
            self._sink.push_events([{"action": action, **entry}])

    def fail(self, error: Exception) -> None:
        """End with an error."""
        if self._sink is not None:
            self._sink.end(error)

    def _look(self, listing: Listing) -> dict[str, Entry]:
        """What the subscriber may see of what it asked for, by name; as before where a driver failed."""
        seen: dict[str, Entry] = {}
        for kind in self._kinds:
            found = listing.named(self._resource) if self._resource else listing.of(kind)
            if found is None:
                seen.update({name: entry for name, entry in self._told.items() if entry["kind"] == kind})
                continue
            for entry in map(self._show, found):
                if Access(entry["access"]).allows(Access.READ):
                    seen[entry["name"]] = entry
        return seen


class HotPlug:
    """Everybody who subscribed, and the one source of uevents that they share.

    ``open_source`` makes it, given what it shall call; None where nothing ever changes.
    """

    def __init__(
        self, dispatcher: Dispatcher, open_source: Callable[[Callable[[], None]], Source] | None
    ) -> None:
        self._dispatcher = dispatcher
        self._open_source = open_source
        self._source: Source | None = None
        self._patient_until = 0.0
        self._subscriptions: list[Subscription] = []
        self._timer: asyncio.TimerHandle | None = None
        self._soon = False
        self._took = 0.0

    def subscribe(
        self, show: Callable[[Resource], Entry], kinds: Collection[str] | None, resource: str | None
    ) -> Subscription:
        """A stream of what happens to ``kinds`` (None: all), or to one ``resource``, which need not be there.

        ``show`` makes an entry as the subscriber may see it. Raises NotFound for a resource of a kind that no
        driver serves, BadRequest for an ambiguous name, HardwareError when the kernel's uevents are not to be had.
        """
        served = self._dispatcher.drivers
        wanted = [kind for kind in served if kinds is None or kind in kinds]
        if resource is not None:
            kind = self._check(resource)
            wanted = [kind] if kind in wanted else []
        if self._source is None and self._open_source is not None:
            try:
                self._source = self._open_source(self._heard)
            except OSError as error:
                raise HardwareError(
                    f"the board's kernel does not say what is plugged in: {error.strerror}",
                    errno=errno.errorcode.get(error.errno or 0, "EIO"),
                ) from error
        subscription = Subscription(self, show, wanted, resource)
        self._subscriptions.append(subscription)
        return subscription

    def _check(self, resource: str) -> str:
        """The kind of a resource that is, or may come to be, here."""
        kind = resource.partition(":")[0]
        try:
            self._dispatcher.find(resource)
        except NotFound:
            if kind not in self._dispatcher.drivers:
                raise NotFound(f"nothing of kind {kind!r} can appear on this board", key="resource") from None
        return kind

    def forget(self, subscription: Subscription) -> None:
        """A subscription is over; the last one closes the source."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
        if not self._subscriptions:
            self._quiet()
            if self._source is not None:
                self._source.close()
                self._source = None

    def listing(self) -> Listing:
        """What there is now."""
        return Listing(self._dispatcher)

    def look(self) -> None:
        """Tell each subscriber what is otherwise than it was told; also when somebody's rights have changed."""
        started = time.monotonic()
        listing = self.listing()
        for subscription in list(self._subscriptions):
            try:
                subscription.update(listing)
            except Exception as error:
                subscription.fail(error)
        self._took = time.monotonic() - started

    def _heard(self) -> None:
        if not self._soon:
            self._quiet()
            self._soon = True
            self._patient_until = asyncio.get_running_loop().time() + PATIENCE
            self._call_later(max(BURST, REST * self._took), self._look_soon)

    def _look_soon(self) -> None:
        if not self._settled and asyncio.get_running_loop().time() < self._patient_until:
            self._call_later(BURST, self._look_soon)
            return
        self._soon = False
        self.look()
        if self._subscriptions:
            self._call_later(AFTERMATH, self._look_again)

    def _look_again(self) -> None:
        if self._settled:
            self.look()
        else:
            self._heard()

    @property
    def _settled(self) -> bool:
        return self._source is None or self._source.settled

    def _call_later(self, seconds: float, function: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, function)

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._soon = None, False


def _facts(entry: Entry) -> Entry:
    """What a change is told of: everything but who uses it at the moment."""
    properties = {key: value for key, value in entry["properties"].items() if key != "in-use"}
    return {**entry, "properties": properties, "held_by": None, "locked_by": None, "waiting": None}
