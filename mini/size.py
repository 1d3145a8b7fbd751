"""The side of the pictures that the mini models know, in pixels."""

SIZE = 256
