"""`dev.py bench quality`: the paper's tables."""
