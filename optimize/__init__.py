"""Learning theta: the schedule that makes the combined score of training sets as high as it gets
(Eq. 12).
"""

from .learn import Learning
from .meter import Meter, ModelMeter
from .painter import Painter, Settings
from .sets import parse_sets
from .storage import STUDY_URL, open_storage
from .task import Task

__all__ = [
    "STUDY_URL",
    "Learning",
    "Meter",
    "ModelMeter",
    "Painter",
    "Settings",
    "Task",
    "open_storage",
    "parse_sets",
]
