"""Opening by somebody who has no share: what all parties sent makes what the parties opened."""

import numpy as np
import pytest

from mpcnode.mpc import Opening
from mpcnode.mpc.openings import encode_opened, encode_openings, open_all, open_payloads


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_what_all_sent_opens_to_what_each_of_them_opened(parties: int) -> None:
    draw = np.random.default_rng(7)
    kinds = [(4, 0), (3, 8), (5, 20), (2, 31), (1, 33), (6, 64)]
    shares = [
        tuple(Opening(draw.integers(0, 2**64, count, np.uint64), bits) for count, bits in kinds) for _ in range(parties)
    ]
    payloads = [encode_openings(of) for of in shares]
    widths = [opening.width for opening in shares[0]]
    opened = open_payloads(widths, payloads)
    for me, mine in enumerate(shares):
        others = [payload for place, payload in enumerate(payloads) if place != me]
        assert encode_opened(mine, open_all(mine, others)) == opened
    assert open_payloads(widths, payloads[1:] + payloads[:1]) == opened
    assert open_payloads([], []) == b""
