"""The ReLU doctor: which units of a network are dead, and what to do about it."""

from .callback import ReLUDoctor as ReLUDoctor
from .diagnosis import diagnose as diagnose
from .report import ActivationRow as ActivationRow
from .report import Finding as Finding
from .report import Report as Report
from .report import WeightRow as WeightRow
from .revival import revive as revive
