"""What bench keeps on a device: its lease, its content-addressed store."""
