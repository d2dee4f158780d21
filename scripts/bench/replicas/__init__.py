"""What the ledger's benchmark runs: a consortium, its replicas as processes of their own, and stores made in one."""
