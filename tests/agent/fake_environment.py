"""A world whose clocks stand still until they are set, and whose randomness is a counter."""

import hashlib

from myclerk_protocol.environment import Environment


class World:
    """``wall_time`` and ``boottime`` in seconds; :meth:`pass_time` advances both."""

    def __init__(self):
        self.wall_time = 1_775_000_000.0
        self.boottime = 100.0
        self.drawn = 0
        self.environment = Environment(self.random, lambda: self.wall_time, lambda: self.boottime)

    def random(self, count):
        self.drawn += 1
        return hashlib.shake_256(self.drawn.to_bytes(8, "big")).digest(count)

    def pass_time(self, seconds):
        self.wall_time += seconds
        self.boottime += seconds
