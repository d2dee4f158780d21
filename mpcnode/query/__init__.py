"""What a query means and may do: requests, panel and committee rules, life cycle, views of the ledger, duties, audit.

Nothing here draws randomness, reads a clock or waits.
"""
