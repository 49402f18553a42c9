"""The engine's speed: against runnable peers on one broker, and what it costs beyond the work of its nodes."""
