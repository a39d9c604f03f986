"""Statistics: from raw samples to results. Pure: nothing here reads a clock or a device."""
