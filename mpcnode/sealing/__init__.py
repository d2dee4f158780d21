"""Who can read or vouch for bytes: keys, boxes, envelopes, pseudonyms, commitments, signed messages.

Nothing here draws randomness or reads a clock: both are arguments.
"""
