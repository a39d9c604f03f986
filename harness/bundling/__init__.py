"""Makes bundles: a relocatable tree with its own loader, libraries, Python and one runtime.

`harness/bundling/bundle.py` is the way in. Nothing here runs on a device, and nothing is emulated.
"""
