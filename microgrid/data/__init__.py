"""Data to learn from, and splitting it: `mg.datasets`."""

from .digits import load_digits as load_digits
from .split import train_test_split as train_test_split
