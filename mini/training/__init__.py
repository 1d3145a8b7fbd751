"""Makes the mini models from a seed: everything that users do not need at run time."""
