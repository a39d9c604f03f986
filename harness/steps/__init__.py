"""The steps of a cell in running order, each a function of its inputs."""
