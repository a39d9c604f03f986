"""Runs where the model runs: `job.json` in, `events.jsonl`, `result.json` and arrays out.

Needs Python 3.8, numpy and one runtime, nothing else. `python -m harness.runner JOB_DIR`.
"""
