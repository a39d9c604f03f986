"""The order of the steps, one device's share of a run, and what is written."""
