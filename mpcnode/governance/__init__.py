"""Who belongs to the consortium now and what the companies decide about it, as the ledger has it."""
