"""The user's YAML, read and checked, and the plan that it makes."""
