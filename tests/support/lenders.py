"""A consortium with a second inquirer, who would like to know what the first one asks."""

import dataclasses

from ledger.types import Millis
from mpcnode.client.asking import Question, about_one, prepare
from mpcnode.config.consortium import ListedInquirer
from mpcnode.sealing.keys import SigningKey
from mpcnode.types import CompanyIndex
from tests.support.consortium import ALICE, PURPOSE, SUBJECT_KEY, Setting, seed

RIVAL = SigningKey(seed("rival"))


@dataclasses.dataclass(frozen=True)
class Lenders(Setting):
    """A second inquirer of another company, and a quota."""

    quota: int = 1_000

    def consortium(self):
        made = super().consortium()
        first = dataclasses.replace(made.inquirers[0], quota_per_day=self.quota)
        rival = ListedInquirer(name="rival", company=CompanyIndex(0), key=RIVAL.public, quota_per_day=self.quota)
        return dataclasses.replace(made, inquirers=(first, rival))


def prepared_by(flow, key):
    """A question of another inquirer of the consortium."""
    now = flow.clock.now_ms()
    question = Question(
        model=flow.consortium.models[0],
        purpose=PURPOSE,
        consent=b"consent",
        contribute_by=Millis(now + 2_000),
        deadline=Millis(now + 30_000),
    )
    return prepare(flow.consortium, key, about_one(ALICE, SUBJECT_KEY, flow._random), question, flow._random)
