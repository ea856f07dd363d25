"""Data to learn from, reading, splitting and scaling it: the folder data by its public name.

>>> from microgrid.datasets import load_digits
>>> len(load_digits()[0])
1797
"""

from .data import Standardizer as Standardizer
from .data import load_digits as load_digits
from .data import load_idx as load_idx
from .data import make_circles as make_circles
from .data import make_moons as make_moons
from .data import make_spirals as make_spirals
from .data import standardise as standardise
from .data import train_test_split as train_test_split
