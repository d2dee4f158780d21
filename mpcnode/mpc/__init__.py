"""Joint computation on shared values with dealt randomness, without I/O (docs/computation.md)."""

from mpcnode.mpc.arithmetic import BitTimesValue, Product
from mpcnode.mpc.batch import CHUNK_SUBJECTS, WINDOW, Batch, corrections_size, cut_batch
from mpcnode.mpc.bits import AndBits, BitsToIntegers, OutputMask, ZeroIntegers, ZeroShares
from mpcnode.mpc.chunked import ChunkedSession, ChunkOutput, Ended, Step
from mpcnode.mpc.comparison import Comparison
from mpcnode.mpc.conjunction import AllBits
from mpcnode.mpc.correlations import Array, Arrays, Correlation, Field, Material
from mpcnode.mpc.dealer import Dealer, Expander, deal, expand, total
from mpcnode.mpc.division import Division
from mpcnode.mpc.equality import Equality
from mpcnode.mpc.extreme import Extreme
from mpcnode.mpc.linear import interval_bits, linear, weighted
from mpcnode.mpc.lookup import Lookup
from mpcnode.mpc.openings import Opening, Protocol, Width, open_one, parallel
from mpcnode.mpc.prg import SEED_BYTES, Streams, keystream
from mpcnode.mpc.program import Body, Party, Program, compile_body
from mpcnode.mpc.ranking import TopSet
from mpcnode.mpc.ratio import MeanComparison, RatioComparison
from mpcnode.mpc.rehearsal import Part, rehearse, rehearse_chunks
from mpcnode.mpc.replay import Replay, join_replays, replay, replay_chunks
from mpcnode.mpc.ring import RINGS, Bits, Lanes, Words
from mpcnode.mpc.session import Finished, Payload, Session
from mpcnode.mpc.sharing import Row, RowContext, RowShape, expand_share, join_output, join_row, split_row
from mpcnode.mpc.transcript import ChunkTranscript, Transcript, chunk_hash, session_hash

__all__ = [
    "CHUNK_SUBJECTS",
    "RINGS",
    "SEED_BYTES",
    "WINDOW",
    "AllBits",
    "AndBits",
    "Array",
    "Arrays",
    "Batch",
    "BitTimesValue",
    "Bits",
    "BitsToIntegers",
    "Body",
    "ChunkOutput",
    "ChunkTranscript",
    "ChunkedSession",
    "Comparison",
    "Correlation",
    "Dealer",
    "Division",
    "Ended",
    "Equality",
    "Expander",
    "Extreme",
    "Field",
    "Finished",
    "Lanes",
    "Lookup",
    "Material",
    "MeanComparison",
    "Opening",
    "OutputMask",
    "Part",
    "Party",
    "Payload",
    "Product",
    "Program",
    "Protocol",
    "RatioComparison",
    "Replay",
    "Row",
    "RowContext",
    "RowShape",
    "Session",
    "Step",
    "Streams",
    "TopSet",
    "Transcript",
    "Width",
    "Words",
    "ZeroIntegers",
    "ZeroShares",
    "chunk_hash",
    "compile_body",
    "corrections_size",
    "cut_batch",
    "deal",
    "expand",
    "expand_share",
    "interval_bits",
    "join_output",
    "join_replays",
    "join_row",
    "keystream",
    "linear",
    "open_one",
    "parallel",
    "rehearse",
    "rehearse_chunks",
    "replay",
    "replay_chunks",
    "session_hash",
    "split_row",
    "total",
    "weighted",
]
