"""Pictures: functions that draw, and return the axes that they drew on.

They need matplotlib, from the extra `plot`, and only once a picture is asked for. Figures are made
without pyplot: nothing is shown, no global state changes, no display is needed. Every function
takes `ax=`, the axes to draw on; without it there is a new figure, `axes.figure`.

>>> import microgrid as mg
>>> axes = mg.plot.op("relu")
>>> axes.figure.savefig("relu.png")  # doctest: +SKIP
"""

from .canvas import require_matplotlib as require_matplotlib
from .components import representation as representation
from .curves import history as history
from .distributions import activations as activations
from .flow import gradient_flow as gradient_flow
from .graphs import op as op
from .hidden import hidden as hidden
from .movie import DecisionMovie as DecisionMovie
from .paths import Path as Path
from .regions import decision_regions as decision_regions
from .reports import FORMATS as FORMATS
from .reports import misread as misread
from .reports import save_report as save_report
from .surface import loss_surface as loss_surface
from .weights import weights as weights
