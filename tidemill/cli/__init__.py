"""The `tidemill` command: one file for each noun. Importing it is quick, for what a command needs is imported by it."""
