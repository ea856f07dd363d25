"""Data to learn from, reading, splitting and scaling it: `mg.datasets`."""

from .digits import load_digits as load_digits
from .idx import load_idx as load_idx
from .points import make_circles as make_circles
from .points import make_moons as make_moons
from .points import make_spirals as make_spirals
from .scaling import Standardizer as Standardizer
from .scaling import standardise as standardise
from .split import train_test_split as train_test_split
