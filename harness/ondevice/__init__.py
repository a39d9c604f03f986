"""bench's files on a device: its lease and its content-addressed store."""
