"""`dev.py bench speed`: what coupling costs."""
