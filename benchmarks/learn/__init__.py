"""`dev.py optimize`: theta learned on the mini model, measured on held-out sets."""
