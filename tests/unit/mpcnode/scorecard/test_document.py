import pytest

from mpcnode.errors import ModelError
from mpcnode.scorecard import encode_model, model_hash, parse
from mpcnode.types import AuditMode
from tests.support.models import CREDIT, credit, credit_with


def test_document_becomes_a_model() -> None:
    model = credit()
    assert model.name == "credit-rating"
    assert model.audit is AuditMode.AFTER_RELEASE
    assert model.purposes == ("loan-origination", "limit-review")
    assert model.classes == ("accounts", "insurance", "savings")
    assert model.cuts == (10, 35, 60)
    assert model.attributes[3].thresholds == (-100_000, 0, 200_000)
    assert model.attributes[1].steps == (-10, -15)
    assert model.row_layout(["savings", "accounts"]) == (0, 1, 3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 1\n", "version = 1\nverison = 2\n", "model.verison: expected no such key"),
        ("version = 1\n", "", "model.version: expected an integer, got nothing"),
        ("version = 1\n", "version = true\n", "model.version: expected an integer, got True"),
        ("version = 1\n", "version = 0\n", "model.version: expected an integer from 1 to"),
        ('name = "credit-rating"', 'name = "Credit rating"', "model.name: expected a code of 1 to 32"),
        ('title = "Joint credit rating"', 'title = "a\\nb"', "model.title: expected a text of 1 to 100"),
        ("minimum_coverage = 2", "minimum_coverage = 129", "model.minimum_coverage: expected an integer from 1 to 128"),
        ('audit = "after release"', 'audit = "later"', 'model.audit: expected "before release" or "after release"'),
        ('"limit-review"', '"LIMIT"', r"model.purposes\[1\]: expected a code"),
        ('"limit-review"', '"loan-origination"', r"model.purposes\[1\]: expected a name of its own"),
        ('["loan-origination", "limit-review"]', "[]", "model.purposes: expected 1 to 16 codes, got 0"),
        ('"B", from = 35', '"B", from = 60', r"model.grades\[1\].from: expected less than 60, got 60"),
        ('"B", from = 35', '"A", from = 35', r"model.grades\[1\].grade: expected a name of its own"),
        ('{ grade = "D" }', '{ grade = "D", from = 0 }', r"model.grades\[3\].from: expected no such key"),
        ('{ grade = "C", from = 10 }', '{ grade = "C" }', r"model.grades\[2\].from: expected an integer, got nothing"),
        ("coverage_bands = [2, 3]", "coverage_bands = [1, 3]", r"model.coverage_bands\[0\]: .* from 2 to 128, got 1"),
        ("coverage_bands = [2, 3]", "coverage_bands = [3, 3]", r"model.coverage_bands\[1\]: expected more than 3"),
        ('name = "claims"', 'name = "income"', r"attribute\[2\].name: expected a name of its own"),
        ("scale = 0\nmin = 0\nmax = 366", "scale = 0\nmin = 0\nmax = -1", r"attribute\[1\].max: .* from 0 to"),
        ("max = 366\nweight = 1", "max = 366\nweight = 0", r"attribute\[1\].weight: expected an integer from 1"),
        ("max = 366\nweight = 1", "max = 366\nweight = 1.5", r"attribute\[1\].weight: expected an integer, got 1.5"),
        ("missing = -1", "missing = -1\nmising = 1", r"attribute\[3\].mising: expected no such key"),
        (
            "{ from = 4, points",
            "{ form = 4, points",
            r"attribute\[2\].bins\[2\].from: expected an integer, got nothing",
        ),
        ("{ from = 4, points", "{ from = 51, points", r"attribute\[2\].bins\[2\].from: .* at most max 50, got 51"),
        ("{ from = 1, points", "{ from = 0, points", r"attribute\[2\].bins\[1\].from: .* more than min 0"),
        ("{ from = 4, points", "{ from = 1, points", r"attribute\[2\].bins\[2\].from: expected more than 1, got 1"),
        ("[{ points = 15 }", "[{ from = 0, points = 15 }", r"attribute\[1\].bins\[0\].from: expected no such key"),
        ("[{ points = 15 }", "[3", r"attribute\[1\].bins\[0\]: expected a table, got 3"),
        ("[model]", "[extra]\na = 1\n[model]", "extra: expected no such key"),
        ("[model]", "[modle]", "model: expected a table, got nothing"),
        ("[model]", "[model", "expected a TOML document, got one with a mistake: .*line 2"),
    ],
)
def test_error_names_the_place(old: str, new: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse(credit_with(old, new))


CLAIMS = "bins = [{ points = 10 }, { from = 1, points = 6 }, { from = 4, points = -5 }]"


def test_an_attribute_may_earn_its_value() -> None:
    found = parse(credit_with(CLAIMS, 'points = "value"')).attributes[2]
    assert found.earns_value
    assert (found.bins, found.thresholds, found.steps, found.base) == ((), (), (), 0)
    assert [found.points_of(value) for value in (0, 7, None)] == [0, 7, 2]
    assert not credit().attributes[2].earns_value


def test_only_an_attribute_that_earns_its_value_counts_down_by_its_weight() -> None:
    counting = credit_with(CLAIMS, 'points = "value"').replace(b"max = 50\nweight = 1", b"max = 50\nweight = -3")
    assert parse(counting).attributes[2].weight == -3
    with pytest.raises(ModelError, match=r"attribute\[2\].weight: expected an integer other than 0, got 0"):
        parse(counting.replace(b"weight = -3", b"weight = 0"))
    with pytest.raises(ModelError, match=r"attribute\[2\].weight: expected an integer from 1 to"):
        parse(credit_with("max = 50\nweight = 1", "max = 50\nweight = -3"))


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("", r'attribute\[2\].bins: expected a list of tables, or points = "value" in place of it, got nothing'),
        ("bins = []", r"attribute\[2\].bins: expected 2 to 65 entries, got 0"),
        ('points = "values"', r'attribute\[2\].points: expected "value", or bins in place of points, got \'values\''),
        ("points = 3", r'attribute\[2\].points: expected "value", or bins in place of points, got 3'),
        (f'{CLAIMS}\npoints = "value"', r"attribute\[2\].bins: expected no bins .* points of its own, got some"),
    ],
)
def test_exactly_one_of_bins_and_points_is_demanded(new: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse(credit_with(CLAIMS, new))


def test_a_wrong_answer_is_not_released_unless_the_model_says_otherwise() -> None:
    assert parse(credit_with('audit = "after release"\n', "")).audit is AuditMode.BEFORE_RELEASE


def test_file_that_is_no_text_or_too_long_is_refused() -> None:
    with pytest.raises(ModelError, match="expected a TOML document"):
        parse(b"\xff\xfe")
    with pytest.raises(ModelError, match="at most 262144 bytes"):
        parse(b"#" * 262145)


def test_65_thresholds_or_65_attributes_are_refused() -> None:
    bins = ", ".join(f"{{ from = {i}, points = 1 }}" for i in range(1, 66))
    old = "bins = [{ points = 15 }, { from = 10, points = 5 }, { from = 60, points = -10 }]"
    with pytest.raises(ModelError, match=r"attribute\[1\].bins: expected 2 to 65 entries, got 66"):
        parse(credit_with(old, f"bins = [{{ points = 15 }}, {bins}]"))
    head, _, body = CREDIT.partition("[[attribute]]")
    one = body.split("[[attribute]]", maxsplit=1)[0]
    many = "".join("[[attribute]]" + one.replace('"income"', f'"income{i}"') for i in range(65))
    with pytest.raises(ModelError, match="attribute: expected 1 to 64 entries, got 65"):
        parse((head + many).encode())


def test_hash_ignores_layout_and_comments_only() -> None:
    plain = "\n".join(line.split("#")[0].strip() for line in CREDIT.splitlines() if line.strip())
    assert plain != CREDIT
    assert model_hash(parse(plain.encode())) == model_hash(credit())
    changes = [
        ("missing = -1", "missing = -2"),
        ("{ from = 4, points = -5 }", "{ from = 4, points = 5 }"),
        ('"C", from = 10', '"C", from = 11'),
        ("coverage_bands = [2, 3]", "coverage_bands = [2, 4]"),
        ('audit = "after release"', 'audit = "off"'),
        ('unit = "claims"', 'unit = "claim"'),
        ('"limit-review"', '"limit-reviews"'),
        ("version = 1\n", "version = 2\n"),
    ]
    hashes = {model_hash(parse(credit_with(*change))) for change in changes}
    assert len(hashes | {model_hash(credit())}) == len(changes) + 1


def test_hash_is_the_one_written_down() -> None:
    """The encoding is a format: a change of it changes every registered model's name."""
    assert len(encode_model(credit())) == 707
    assert model_hash(credit()).hex() == "7fa7d3037ad7260135bfde44f18ed540da7c1635ddca8d809b43c3462460f198"


def test_hash_of_an_attribute_that_earns_its_value_is_the_one_written_down() -> None:
    """It has no bins, which no other attribute may have: two models of one hash would be one model."""
    model = parse(credit_with(CLAIMS, 'points = "value"'))
    assert len(encode_model(model)) == 707 - (1 + 8) - 2 * (1 + 8 + 8)
    assert model_hash(model).hex() == "0e6ed93100c35eabd3061c4881ea2e2b06a848d108a1e52544880bf5fa1e86dc"
    assert model_hash(model) != model_hash(credit())
