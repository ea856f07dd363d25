"""What tests of strategies share: collecting what is drawn, and comparing it bit by bit."""

from fractions import Fraction
from random import Random

import numpy as np
from hypothesis import Phase, find, given, settings

import microgrid as mg

NAMES = {**vars(mg.testing.strategies), "np": np, "mg": mg, "Fraction": Fraction}


def collected(strategy, examples=300):
    """Return what the strategy draws, the same in every run."""
    found = []

    @settings(max_examples=examples, database=None, derandomize=True, phases=[Phase.generate])
    @given(strategy)
    def collect(x):
        found.append(x)

    collect()
    return found


def simplest(strategy, wanted):
    """Return what an example that is wanted shrinks to."""
    # Without a database: hypothesis would take up what another test found with the same lambda.
    without = settings(database=None, max_examples=2000)
    # A start of its own: where hypothesis starts by itself hangs on the constants in all files.
    return find(strategy, lambda x: bool(wanted(x)), settings=without, random=Random(0))


def pasted(drawn):
    """Return what the repr evaluates to."""
    return eval(repr(drawn), dict(NAMES))


def alike(a, b):
    """Return whether two arrays have the same bits, and the same strides where these matter."""
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    if a.dtype.hasobject:
        same = [(type(x), x) for x in a.flat] == [(type(x), x) for x in b.flat]
    else:
        same = a.tobytes() == b.tobytes()
    strides = [[s for n, s in zip(x.shape, x.strides, strict=True) if n > 1] for x in (a, b)]
    return same and (a.size == 0 or strides[0] == strides[1])
