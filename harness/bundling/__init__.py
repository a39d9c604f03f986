"""Builds bundles: a relocatable tree with its own loader, libraries, Python and one runtime.

`harness/bundling/bundle.py` is the entry point. Nothing here runs on a device or is
emulated.
"""
