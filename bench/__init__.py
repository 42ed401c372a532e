"""Measurements of a client and an agent beside other programs that do the same; see README.md."""
