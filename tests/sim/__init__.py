"""A deterministic simulator of the consensus: real core, real bytes, symbolic signatures and execution."""
