"""Which interfaces of an open device are ours, through everything that makes the kernel take them away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from myclerk_protocol.usb_descriptors import Endpoint

from .keeping import Taken, give_back
from .listing import Listing, UsbDevice
from .usbfs import Usbfs


class Claims:
    """Which interfaces of an open device are ours. Everything here may block: it is for one thread at a time.

    ``endpoints`` are those of the settings in force, by address; it is replaced, never changed. Raises OSError.
    """

    def __init__(self, usbfs: Usbfs, device: UsbDevice, listing: Listing, taken: Taken) -> None:
        self.usbfs = usbfs
        self._device = device
        self._listing = listing
        self._taken = taken
        self._claimed: list[int] = []
        self.endpoints: Mapping[int, Endpoint] = {}

    def take(self) -> None:
        """Claim every interface of the configuration in force, all or none."""
        try:
            for interface in self._listing.state(self._device).alternates:
                self.usbfs.claim(interface)
                self._claimed.append(interface)
        except OSError:
            self.give_back(close=False)
            raise
        self._note_endpoints()

    def give_back(self, *, close: bool = True) -> None:
        """Release everything, with the configuration as it was, and let the kernel's drivers bind."""
        try:
            claimed, self._claimed = self._claimed, []
            give_back(self.usbfs, self._taken, self._listing.state(self._device).configuration, claimed)
        finally:
            if close:
                self.usbfs.close()

    def set_configuration(self, value: int) -> None:
        """The kernel changes no configuration while an interface is claimed, and binds drivers to the new ones."""
        self._released(partial(self.usbfs.set_configuration, value))

    def reset(self) -> None:
        """A reset would unbind us, and bind the kernel's drivers."""
        self._released(self.usbfs.reset)

    def set_interface(self, interface: int, alternate: int) -> None:
        """Choose a setting."""
        self.usbfs.set_interface(interface, alternate)
        self._note_endpoints()

    def clear_halt(self, endpoint: int) -> None:
        """Clear an endpoint's halt."""
        self.usbfs.clear_halt(endpoint)

    def _released(self, function: Callable[[], None]) -> None:
        """Call ``function`` with nothing claimed; then claim what there is."""
        self._release(self._claimed)
        try:
            function()
        finally:
            self.take()

    def _release(self, claimed: Iterable[int]) -> None:
        for interface in list(claimed):
            self.usbfs.release(interface)
            self._claimed.remove(interface)

    def _note_endpoints(self) -> None:
        state = self._listing.state(self._device)
        configuration = self._device.descriptors.configuration(state.configuration or 0)
        settings = [
            configuration.setting(*setting)
            for setting in state.alternates.items()
            if configuration is not None
        ]
        self.endpoints = {
            e.address: e for setting in settings if setting is not None for e in setting.endpoints
        }
