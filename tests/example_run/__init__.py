"""A made-up run with every kind of entry, for tests, the report benchmark and authors of pages."""
