"""From raw samples to what may be said of them. Pure: nothing here reads a clock or a device."""
