"""The runner on the device: `job.json` in, `events.jsonl`, `result.json` and arrays out.

Needs only Python 3.8, numpy and one runtime. `python -m harness.runner JOB_DIR`.
"""
