"""A data set of six sets with the mini model, small enough for tests."""

from coupled.dataset.settings import Settings

SETTINGS = Settings(steps=4, width=128, height=128, per_shard=2, uncoupled=True)
SUBJECTS = {"the fox": "a red fox runs", "the cat": "a cat sits", "the robot": "a robot stands"}
GRAMMAR = {"places": ["in a misty forest at dawn", "in a desert at sunset"], "subjects": SUBJECTS}
