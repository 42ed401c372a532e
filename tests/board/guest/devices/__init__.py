"""USB devices in Python. A model speaks USB/IP; the kernel's vhci_hcd plugs it in and its real driver binds.

descriptors.py    device, configuration, interface and endpoint descriptors
device.py         what all devices do: standard requests, halted endpoints
usbip.py          the device's end of USB/IP
vhci.py           plugging in and unplugging
i2c_tiny_usb.py, ds2490.py, modem.py, gs_usb.py, isochronous.py   the devices
"""
