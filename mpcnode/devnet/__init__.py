"""A whole consortium on one machine for development: separate processes, real keys, real channels."""
