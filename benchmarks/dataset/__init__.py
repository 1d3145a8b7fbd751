"""`dev.py bench dataset`: what making a data set costs beyond sampling."""
