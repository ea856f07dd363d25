"""Data to learn from, and splitting it: the contents of the folder data by their public name.

>>> from microgrid.datasets import load_digits
>>> len(load_digits()[0])
1797
"""

from .data import load_digits as load_digits
from .data import train_test_split as train_test_split
