"""Setting a development network up: keys, consortium document, one file for each daemon, models, data, a profile."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ledger.store import create_directory
from ledger.types import Millis, PublicKey
from mpcnode.adapters.durable import make_private_directory
from mpcnode.adapters.key_making import (
    NewMember,
    PublicKeys,
    make_member_keys,
    make_opening_key,
    make_signing_key,
)
from mpcnode.adapters.keystore import key_path, store_key
from mpcnode.adapters.randomness import random_bytes
from mpcnode.config.consortium import load_consortium
from mpcnode.config.models import load_model
from mpcnode.config.node import LEDGER_DIRECTORY, load_node
from mpcnode.config.profile import load_profile
from mpcnode.devnet.plan import (
    CLASSES,
    COMPANIES,
    INQUIRER,
    INQUIRER_COMPANY,
    MEMBERS,
    QUOTA_PER_DAY,
    Layout,
)
from mpcnode.devnet.ports import choose_ports
from mpcnode.devnet.rendering import (
    MemberText,
    NodeText,
    ProfileText,
    render_member,
    render_node,
    render_profile,
    text_list,
)
from mpcnode.errors import ConfigError
from mpcnode.scorecard import Model, model_hash, parse
from mpcnode.sealing.keyfile import KeyKind, StoredKey
from mpcnode.types import CorrelationSource, SealingKey

EPOCH = 1

_HEAD = """\
# Who belongs to the consortium. Its SHA-256 names the chain: one changed byte is another ledger.
# Members, companies and classes are known by their place in here.
"""

_CONSORTIUM = """\
[consortium]
name = "devnet"
classes = {classes}
committee_companies_min = 3
correlations = "{correlations}"
"""

_INQUIRER = """\
[[inquirer]]
name = "{name}"
company = "{company}"
key = "{key}"
quota_per_day = {quota}
"""


def demo_files() -> Path:
    """Return where models and data of the demo lie in a clone of the repository."""
    return Path(__file__).resolve().parent.parent.parent / "configs" / "demo"


def create(root: Path, demo: Path, now: Millis, correlations: CorrelationSource = CorrelationSource.DEALER) -> Layout:
    """Make a development network's files; all of them, or none.

    Args:
        root: a directory that is not there yet, or is empty.
        demo: models/ and one CSV for each participant.
        now: the beginning of the certificates' lives.
        correlations: who makes them; models that would be audited before release are audited after it if nobody deals.

    Raises:
        ConfigError: root holds something, or demo does not hold what is needed.
        StorageError: the disk failed.
    """
    root = root.absolute()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConfigError(f"{root}: expected no such directory yet or an empty one, got one with files in it")
    needed = [demo / "models", *(demo / member.data for member in MEMBERS if member.data)]
    for path in needed:
        if not path.exists():
            raise ConfigError(f"{path}: expected the demo's models and data, got none; name their place with --demo")
    aside = root.with_name(f".{root.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _Creation(Layout(aside), demo, now, choose_ports(root, len(MEMBERS) + 1), correlations).run()
        if root.exists():
            root.rmdir()
        aside.rename(root)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    layout = Layout(root)
    check(layout)
    return layout


def check(layout: Layout) -> None:
    """Read everything back as daemons and the inquirer do.

    Raises:
        ConfigError: a file has a mistake.
    """
    consortium = load_consortium(layout.consortium)
    for listed in consortium.models:
        load_model(consortium, listed)
    for name in layout.daemons():
        load_node(layout.node(name).config)
    load_profile(layout.profile)


@dataclass(frozen=True, slots=True)
class _Creation:
    layout: Layout
    demo: Path
    now: Millis
    ports: tuple[int, ...]
    """One for each member, then the inquirers'."""
    correlations: CorrelationSource

    def run(self) -> None:
        make_private_directory(self.layout.root)
        subject_key = random_bytes(32)
        keys = {member.name: self._member(index, subject_key) for index, member in enumerate(MEMBERS)}
        self._copy_models()
        inquirer = self._inquirer(subject_key)
        make_private_directory(self.layout.offline)
        archive = make_opening_key(key_path(self.layout.offline, KeyKind.ARCHIVE), KeyKind.ARCHIVE, None)
        models = [(path, parse(path.read_bytes())) for path in sorted(self.layout.models.glob("*.toml"))]
        self.layout.consortium.write_text(_render_consortium(keys, inquirer, archive, models, self.correlations))
        profile = ProfileText(
            name=INQUIRER,
            consortium="../../consortium.toml",
            operator_port=self.ports[-1],
            operator_certificate=keys[MEMBERS[0].name].certificate,
            purpose=models[0][1].purposes[0],
        )
        self.layout.profile.write_text(render_profile(profile))

    def _copy_models(self) -> None:
        shutil.copytree(self.demo / "models", self.layout.models)
        if self.correlations.is_joint:
            for path in self.layout.models.glob("*.toml"):
                path.write_text(path.read_text().replace('audit = "before release"', 'audit = "after release"'))

    def _member(self, index: int, subject_key: bytes) -> PublicKeys:
        member = MEMBERS[index]
        place = self.layout.node(member.name)
        for directory in (place.root, place.data, place.run, place.keys):
            make_private_directory(directory)
        create_directory(place.data / LEDGER_DIRECTORY)
        others = {other.name: self.ports[at] for at, other in enumerate(MEMBERS) if at != index}
        node = NodeText(
            name=member.name,
            role=member.role,
            consortium="../../consortium.toml",
            listen_port=self.ports[index],
            inquiry_port=self.ports[-1] if index == 0 else None,
            peers=others,
            records=f"data/{member.data}" if member.data else None,
        )
        place.config.write_text(render_node(node))
        if member.data:
            shutil.copyfile(self.demo / member.data, place.data / member.data)
            (place.data / member.data).chmod(0o600)
        new = NewMember(name=member.name, roles=member.role, validator=member.validator)
        return make_member_keys(place.keys, new, self.now, subject_key, None)

    def _inquirer(self, subject_key: bytes) -> PublicKey:
        directory = self.layout.inquirer
        make_private_directory(directory)
        make_private_directory(directory / "answers")
        subject = StoredKey(kind=KeyKind.SUBJECT, public=b"", secret=subject_key)
        store_key(key_path(directory, KeyKind.SUBJECT), subject, None)
        return make_signing_key(key_path(directory, KeyKind.INQUIRER), KeyKind.INQUIRER, None)


def _render_consortium(
    keys: dict[str, PublicKeys],
    inquirer: PublicKey,
    archive: SealingKey,
    models: list[tuple[Path, Model]],
    correlations: CorrelationSource,
) -> str:
    audit = next(member.audit for member in keys.values() if member.audit is not None)
    parts = [
        _HEAD,
        _CONSORTIUM.format(classes=text_list(CLASSES), correlations=correlations),
        f'[supervisor]\nepoch = {EPOCH}\naudit_key = "{audit.hex()}"\narchive_key = "{archive.hex()}"\n',
        f'[subjects]\nscheme = "keyed"\nepoch = {EPOCH}\n',
        *(f'[[company]]\nname = "{company}"\n' for company in COMPANIES),
        *(
            render_member(
                MemberText(
                    name=member.name,
                    company=member.company,
                    role=member.role,
                    keys=keys[member.name],
                    classes=member.classes,
                )
            )
            for member in MEMBERS
        ),
        *(_render_model(path, model) for path, model in models),
        _INQUIRER.format(name=INQUIRER, company=INQUIRER_COMPANY, key=inquirer.hex(), quota=QUOTA_PER_DAY),
    ]
    return "\n".join(parts)


def _render_model(path: Path, model: Model) -> str:
    audit = model.audit.name.lower().replace("_", " ")
    return (
        f'[[model]]\nname = "{model.name}"\nfile = "models/{path.name}"\nhash = "{model_hash(model).hex()}"\n'
        f"classes = {text_list(model.classes)}\nminimum = {model.minimum_coverage}\n"
        f'audit = "{audit}"\npurposes = {text_list(model.purposes)}\n'
    )
