"""Bit timing of a simulated controller, chosen as the kernel chooses it for a real one."""

from __future__ import annotations

import errno

from .backend import BitTiming

LONGEST_SEGMENT_1, LONGEST_SEGMENT_2, LONGEST_PRESCALER = 256, 128, 512
"""Those of Bosch's M_CAN, a common controller."""
SHORTEST_BIT = 4
LARGEST_ERROR = 0.05


def calculate(clock: int, bitrate: int, sample_point: int = 0) -> BitTiming:
    """The timing nearest to ``bitrate`` with a sample point, in tenths of a percent, nearest to the wish.

    0 wishes for what CAN in Automation recommends: 75 % above 800 kbit/s, 80 % above 500, else 87.5 %.
    Raises OSError EINVAL when the bit rate cannot be made within 5 %.
    """
    wish = sample_point or (750 if bitrate > 800_000 else 800 if bitrate > 500_000 else 875)
    best: tuple[tuple[float, int, int], BitTiming] | None = None
    for brp in range(1, LONGEST_PRESCALER + 1):
        quanta = round(clock / (brp * bitrate))
        if not SHORTEST_BIT <= quanta <= 1 + LONGEST_SEGMENT_1 + LONGEST_SEGMENT_2:
            continue
        segment_2 = min(max(quanta - round(quanta * wish / 1000), 1), LONGEST_SEGMENT_2)
        segment_1 = quanta - 1 - segment_2
        if not 2 <= segment_1 <= LONGEST_SEGMENT_1:
            continue
        actual = clock / (brp * quanta)
        point = 1000 * (1 + segment_1) // quanta
        quality = (abs(actual - bitrate) / bitrate, abs(point - wish), brp)
        if best is None or quality < best[0]:
            prop = segment_1 // 2
            tq = round(brp * 1e9 / clock)
            timing = BitTiming(
                round(actual), point, tq, prop, segment_1 - prop, segment_2, max(segment_2 // 2, 1), brp
            )
            best = (quality, timing)
    if best is None or best[0][0] > LARGEST_ERROR:
        raise OSError(errno.EINVAL, f"a clock of {clock} Hz makes no {bitrate} bit/s")
    return best[1]
