"""What the mini models can do: `python3 dev.py bench mini`."""
