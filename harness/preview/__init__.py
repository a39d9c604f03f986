"""Previews a run: what is cached, how long it takes, what is transferred."""
