"""The I/O that both daemons need: MQTT, blobs, signatures."""
