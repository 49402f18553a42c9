"""What this machine's tasks cost in energy and CO2e, where codecarbon is installed."""
