"""The MyClerk agent: shares this machine's hardware with the devices that an administrator admitted."""
