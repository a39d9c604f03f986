"""Where cells run: this machine, or a device at the other end of a transport."""
