"""Disk usage of runs, images and the cache, and how to free it."""
