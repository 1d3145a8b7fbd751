"""Lets a torchvision that was built for CUDA be imported beside a CPU build of torch.

`dev.py setup` copies this file into its environment's site-packages where it is needed, with a
`.pth` line that imports it at every start of Python (well under a millisecond). torchvision's
compiled part cannot load there, and `torchvision/_meta_registrations.py` then fails, since it
registers shapes for two operators that nobody declared. Just before that module is imported, the
operators are declared here; then this finder steps aside. The pure Python part of torchvision
(transforms, models), all that the host needs, works; box operators do not.
"""

import sys

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class OperatorDeclarer:
    """Meta-path finder that finds nothing: it acts once, when torchvision reaches its
    registrations.
    """

    library = None  # kept alive: declarations vanish with their torch.library.Library

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision._meta_registrations":
            sys.meta_path.remove(self)
            if not sys.modules["torchvision.extension"]._has_ops():
                self.declare()
        return None

    @classmethod
    def declare(cls):
        import torch

        cls.library = torch.library.Library("torchvision", "DEF")
        for schema in OPERATORS:
            cls.library.define(schema)


sys.meta_path.insert(0, OperatorDeclarer())
