"""theta of a model call, from the sigma it is called with and the sigmas of the run."""

from collections.abc import Sequence

from ..schedules import ThetaSchedule

# of a step: a sigma that a sampler took through log and exp still counts as that step's
NEAR = 1e-3


def step_position(sigma: float, sigmas: Sequence[float]) -> float:
    """The step index of `sigma` among the run's `sigmas`, fractional between two, clamped.

    Of sigmas that stand twice in a row the last one counts: the step between them does nothing.
    """
    steps = len(sigmas) - 1
    for t in range(steps):
        here, there = sigmas[t], sigmas[t + 1]
        if here != there and min(here, there) <= sigma <= max(here, there):
            position = t + (here - sigma) / (here - there)
            break
    else:
        position = min(range(steps + 1), key=lambda t: abs(sigmas[t] - sigma))
    nearest = round(position)
    if abs(position - nearest) > NEAR:
        return position
    while nearest < steps and sigmas[nearest + 1] == sigmas[nearest]:
        nearest += 1
    return nearest


def check_theta(theta: float, where: str) -> float:
    """`theta` if it is a number in [0, 1]; ValueError otherwise."""
    if not 0 <= theta <= 1:  # NaN fails too
        raise ValueError(
            f"The theta-schedule gives {theta} {where}; theta must be a number from 0 to 1."
        )
    return float(theta)


def even(first: int, last: int, steps: int) -> list[float]:
    """The progress at the steps `first` to `last` of a run of so many steps."""
    return [t / steps for t in range(first, last + 1)]


def theta_at(schedule: ThetaSchedule, position: float, progress: Sequence[float]) -> float:
    """theta at a step index: the schedule's value at the steps' progress, linear in between."""
    low = int(position)
    theta = check_theta(schedule.at(progress[low]), f"at {progress[low]:.0%} of the sampling")
    if position > low:
        there = progress[low + 1]
        above = check_theta(schedule.at(there), f"at {there:.0%} of the sampling")
        theta += (position - low) * (above - theta)
    return theta
