"""The handwritten digits that come with the package (digits.txt says from whom)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BRIGHTEST = 16


def load_digits(*, scale: bool = False) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return 1797 handwritten digits: images of 8x8 pixels, and the digit that each shows.

    The values and their order are those of scikit-learn's `load_digits`. A digit of each kind is
    about as frequent as any other. Every call returns arrays of its own.

    Args:
        scale: divide the pixels by 16, so that they lie in 0 ... 1 and suit the usual
            initialisations and learning rates; otherwise they are whole numbers from 0 to 16.

    Returns:
        x: float32[1797, 64], the pixels row by row; 0 is paper, the greatest value ink.
        y: int64[1797], the digits 0 to 9.

    Source: E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0; as scikit-learn ships it.

    >>> import microgrid as mg
    >>> x, y = mg.datasets.load_digits(scale=True)
    >>> x.shape, y[:10]
    ((1797, 64), array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]))
    >>> for row in x[0].reshape(8, 8):
    ...     print("".join("-.:*#"[int(4 * ink)] for ink in row))
    --.*:---
    --**:*.-
    --*--::-
    -.*--::-
    -.:--::-
    -.:--*.-
    --*.:*--
    --.*:---
    """
    from importlib import resources  # here, since it takes a third of the whole import's time

    with (
        resources.files(__package__).joinpath("digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as archive,
    ):
        x = archive["x"].astype(np.float32)
        y = archive["y"].astype(np.int64)
    if scale:
        x /= BRIGHTEST  # a power of two: exact
    return x, y
