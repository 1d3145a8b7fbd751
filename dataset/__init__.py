"""Data sets of coupled images: records in, pictures with their plate, masks and measures out, in
shards.
"""
