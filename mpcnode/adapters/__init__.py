"""The node's side of the machine it runs on: keys, disk, clock, randomness, records, service manager."""
