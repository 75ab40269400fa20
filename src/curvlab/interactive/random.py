"""Random numbers that Python and the page draw alike."""

import math
from collections.abc import Iterator

WORD = 0xFFFFFFFF


def uniforms(seed: int) -> Iterator[float]:
    """Uniform numbers in [0, 1) from a seed (mulberry32).

    >>> draws = uniforms(1)
    >>> 0 <= next(draws) < 1
    True
    """
    state = seed & WORD
    while True:
        state = (state + 0x6D2B79F5) & WORD
        t = ((state ^ (state >> 15)) * (state | 1)) & WORD
        t = ((t + (((t ^ (t >> 7)) * (t | 61)) & WORD)) ^ t) & WORD
        yield (t ^ (t >> 14)) / 4294967296


def normals(seed: int) -> Iterator[float]:
    """Standard normal numbers by the transform of Box and Muller (1958).

    >>> isinstance(next(normals(1)), float)
    True
    """
    uniform = uniforms(seed)
    while True:
        radius = math.sqrt(-2 * math.log(1 - next(uniform)))
        yield radius * math.cos(2 * math.pi * next(uniform))
