"""What `dev.py` and the tests share: set-up, a running host and its client, workflows in API form,
the demo.
"""
