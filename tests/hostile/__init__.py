"""Whoever bench has to do with and cannot trust: one file for each kind of attacker."""
