"""A learning problem without pictures: how far theta lies from a known curve.

Run as a program it is a worker.
"""

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

STEPS = 8
TARGET = (0.0, 0.0, 0.0, 0.4, 0.5, 0.55, 0.8, 0.8)  # no family has this course

GONE = 2.2  # below this sum the entity is gone


def toy_task(sets=6, candidates=40, log=None, pause=0.0, **settings):
    """A Task whose "images" are theta itself; each measurement adds a line to the file `log`."""
    import torch

    from coupled.optimize import Task
    from coupled.optimize.meter import Measured
    from coupled.optimize.painter import Calls
    from coupled.prompts.split import SplitPrompts

    class ToyPainter:
        def __init__(self):
            self.sets = [
                SplitPrompts("there", (f"A {i}", f"B {i}"), (f"A {i}", f"B {i}"))
                for i in range(sets)
            ]
            self.seeds, self.settings, self.calls = [1], SimpleNamespace(steps=STEPS), Calls()
            self.identity = f"toy {sets}"
            self.instances = [(i, 0) for i in range(sets)]

        def paint(self, instance, theta, callback=None):
            time.sleep(pause)
            self.calls.made += STEPS
            callback()
            return torch.tensor([instance[0], *theta.values(STEPS)])

    class ToyMeter:
        identity = "toy"

        def __call__(self, images, prompts):
            place, *theta = images.tolist()
            if log is not None:
                with open(log, "a", encoding="utf-8") as file:
                    file.write(
                        json.dumps([os.getpid(), int(place), [round(v, 6) for v in theta]]) + "\n"
                    )
            reason = "The entity is gone." if sum(theta) < GONE else None
            error = sum((a - b) ** 2 for a, b in zip(theta, TARGET, strict=True)) / STEPS
            return Measured(-0.01 * error * (1 + 0.2 * place), 30.0 + place, 0.8, reason)

    return Task(ToyPainter(), ToyMeter(), **{"candidates": candidates, **settings})


def work(place: str, worker: int, log: str, pause: float, heartbeat: int, grace: int) -> None:
    from coupled.optimize import Learning, open_storage

    task = toy_task(sets=4, candidates=11, log=log, pause=pause)
    Learning(task, open_storage(place, heartbeat, grace), "shared", worker).run()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from devtools.pack import load_pack

    load_pack(Path(sys.argv[1]), cpu=True)
    work(
        sys.argv[2],
        int(sys.argv[3]),
        sys.argv[4],
        float(sys.argv[5]),
        int(sys.argv[6]),
        int(sys.argv[7]),
    )
