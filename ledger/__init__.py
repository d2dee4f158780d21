"""A BFT hash chain that runs a contract; it knows nothing of roles, queries' content or joint computation."""
