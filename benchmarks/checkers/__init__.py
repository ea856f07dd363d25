"""Right and wrong gradients, written once for every library, and the checkers that judge them."""

from .cases import Case as Case
from .cases import Fault as Fault
from .cases import Right as Right
from .faults_arrays import FAULTS as _ARRAYS
from .faults_graph import FAULTS as _GRAPH
from .faults_kinks import FAULTS as _KINKS
from .faults_smooth import FAULTS as _SMOOTH
from .right_functions import RIGHT as _FUNCTIONS
from .right_nets import RIGHT as _NETS

FAULTS = [*_KINKS, *_ARRAYS, *_SMOOTH, *_GRAPH]
RIGHT = [*_FUNCTIONS, *_NETS]
