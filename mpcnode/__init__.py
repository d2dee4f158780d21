"""The node of a joint credit query network: one daemon, four roles."""
