"""bench: measure a model in every format, at every precision, on every device.

This file stays empty of imports: the runner ships it to devices with Python 3.8 and numpy only.
"""

__version__ = "0.1.0"
