"""From devices' messages to rows, and from rows to what a run trains on."""
