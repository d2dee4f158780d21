"""Coverage-guided fuzzing of everything that decodes bytes of others: `make fuzz` (docs/ledger.md, Fuzzing).

`targets` says what must hold for any bytes, `worker` runs one target under atheris, `__main__` runs them all, and
`test_corpus` holds every target to its seeds and to what was found once, without atheris.
"""
