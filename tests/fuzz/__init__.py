"""A million wrong inputs to everything that reads what others have made; see docs/fuzzing.md."""
