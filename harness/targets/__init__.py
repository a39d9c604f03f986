"""Where cells run: this machine, or a device behind a transport."""
