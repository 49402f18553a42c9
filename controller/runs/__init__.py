"""The life of runs: their machine, the supervisor round it, and the work that each state asks for."""
