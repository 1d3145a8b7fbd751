"""theta-schedules: how the weight of the entity text rises over the sampling steps.

Without torch or the host.
"""

from .families import FAMILIES, arctan, constant, family, sin, step01
from .files import from_json, read_schedule, to_json, write_schedule
from .schedule import ThetaSchedule
from .table import from_curve, from_values, parse_values, project

__all__ = [
    "FAMILIES",
    "ThetaSchedule",
    "arctan",
    "constant",
    "family",
    "from_curve",
    "from_json",
    "from_values",
    "parse_values",
    "project",
    "read_schedule",
    "sin",
    "step01",
    "to_json",
    "write_schedule",
]
