"""Height-wise Simplex: one agreement for each height, every block with its own certificate (docs/ledger.md, Consensus).

The shell feeds events to `Machine.step` and carries out the effects that it returns, in order.
"""

from ledger.consensus.committee import Signer
from ledger.consensus.effects import (
    Broadcast,
    BuildBlock,
    Commit,
    Effect,
    Evidence,
    Persist,
    Send,
    SendDecided,
    SendRecorded,
    SetTimer,
    ValidateBlock,
)
from ledger.consensus.events import (
    BlockBuilt,
    BlockValidated,
    Committed,
    Event,
    MessageReceived,
    PeerReached,
    Started,
    TimerFired,
    WorkArrived,
    WorkGone,
)
from ledger.consensus.machine import Machine
from ledger.consensus.messages import (
    BlockMessage,
    Decided,
    GetBlock,
    Message,
    Record,
    Status,
    decode_message,
    encode_message,
    height_of,
)
from ledger.consensus.timing import Timing

__all__ = [
    "BlockBuilt",
    "BlockMessage",
    "BlockValidated",
    "Broadcast",
    "BuildBlock",
    "Commit",
    "Committed",
    "Decided",
    "Effect",
    "Event",
    "Evidence",
    "GetBlock",
    "Machine",
    "Message",
    "MessageReceived",
    "PeerReached",
    "Persist",
    "Record",
    "Send",
    "SendDecided",
    "SendRecorded",
    "SetTimer",
    "Signer",
    "Started",
    "Status",
    "TimerFired",
    "Timing",
    "ValidateBlock",
    "WorkArrived",
    "WorkGone",
    "decode_message",
    "encode_message",
    "height_of",
]
