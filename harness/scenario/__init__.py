"""Reads and checks the user's YAML, and makes the plan."""
