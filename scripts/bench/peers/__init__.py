"""Other systems for joint computation, on the same work as `make bench ONLY=score`: `make bench-peers`."""
