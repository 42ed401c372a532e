"""USB/IP on the wire (Documentation/usb/usbip_protocol.rst of the kernel); bytes and structures, no I/O."""
