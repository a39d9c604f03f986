"""Runs a plan: the order of the steps, the work per device, and the results written."""
