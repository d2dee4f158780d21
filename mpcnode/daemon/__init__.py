"""The composition root: a configuration and keys become a running node. The one place that chooses implementations."""

from mpcnode.daemon.run import run

__all__ = ["run"]
