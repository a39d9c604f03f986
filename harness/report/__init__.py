"""Turns a finished or unfinished run into a folder of pages that open from disk.

Records in, HTML out: it measures nothing, judges nothing, and changes nothing in the run's folder.
"""
