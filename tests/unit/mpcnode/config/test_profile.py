"""An inquirer's profile and the model documents that it relies on."""

import pytest

from mpcnode.config.consortium import load_consortium
from mpcnode.config.models import load_model
from mpcnode.config.profile import load_profile
from mpcnode.errors import ConfigError, ModelError


def test_means_what_it_says(network):
    profile = load_profile(network.profile)
    assert profile.inquirer.name == "lender-desk"
    assert profile.purpose == "credit-application"
    assert (profile.contribute_by_ms, profile.deadline_ms) == (5000, 30000)
    assert profile.answers_dir == network.inquirer / "answers"
    assert profile.key_file.exists()
    assert profile.subject_key_file.exists()
    assert profile.operator_certificate.startswith("-----BEGIN CERTIFICATE-----\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "lender-desk"', 'name = "thief"', r"inquirer: expected one of lender-desk, got 'thief'"),
        (
            "deadline_ms = 30000",
            "deadline_ms = 5000",
            r"defaults\.deadline_ms: expected more than contribute_by_ms \(5000\), got 5000",
        ),
        ("deadline_ms = 30000", "deadline_ms = 3600001", r"defaults\.deadline_ms: .*got 3600001"),
        ("-----BEGIN", "-----START", r"operator\.tls: expected a text that matches"),
        ("[operator]", "[operator]\nverify = false", r"operator\.verify: expected no such key"),
    ],
)
def test_a_mistake_is_named_with_its_place(own_network, old, new, message):
    text = own_network.profile.read_text()
    assert old in text
    own_network.profile.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        load_profile(own_network.profile)


def test_a_model_is_the_one_that_the_consortium_lists(network):
    consortium = load_consortium(network.consortium)
    assert load_model(consortium, consortium.models[0]).name == "credit-rating"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("from = 150", "from = 151", r"credit-rating\.toml: hash: expected [0-9a-f]{64} as in .*consortium\.toml"),
        ('audit = "before release"', 'audit = "off"', r"credit-rating\.toml: audit: expected BEFORE_RELEASE .*got OFF"),
        ('"limit-review"', '"curiosity"', r"credit-rating\.toml: purposes: expected credit-application, limit-review"),
    ],
)
def test_a_changed_model_is_refused(own_network, old, new, message):
    consortium = load_consortium(own_network.consortium)
    path = consortium.models[0].file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        load_model(consortium, consortium.models[0])


def test_a_broken_model_is_named_with_its_file(own_network):
    consortium = load_consortium(own_network.consortium)
    consortium.models[0].file.write_text("[model]\n")
    with pytest.raises(ModelError, match=r"credit-rating\.toml: "):
        load_model(consortium, consortium.models[0])
