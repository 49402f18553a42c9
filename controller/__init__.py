"""The daemon in the middle: schedule, data, registry, deployments, HTTP."""
