"""What a run is going to do, before it does it: what is cached, how long it takes, what moves."""
