"""Drivers: one module per bus, each mapping operations onto one kernel interface."""
