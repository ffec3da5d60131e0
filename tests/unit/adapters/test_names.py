import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.aliases import engine_name
from adapters.errors import BadName
from adapters.format.names import parse_pinned, validate_alias, validate_digest


@pytest.mark.parametrize("alias", ["returns", "a", "0x", "team.returns-v2_b", "a" * 63, "a..b"])
def test_good_aliases_come_back_unchanged(alias: str) -> None:
    """Every alias within the grammar is accepted as it is."""
    assert validate_alias(alias) == alias


@pytest.mark.parametrize(
    "alias",
    [
        "",
        ".",
        "..",
        ".hidden",
        "-a",
        "_a",
        "A",
        "a/b",
        "a\\b",
        "a b",
        "a\n",
        "ä",
        "a" * 64,
        "a@b",
        "../a",
    ],
)
def test_bad_aliases_are_refused(alias: str) -> None:
    """Nothing that could leave a directory, collide by case or mean something else is an alias."""
    with pytest.raises(BadName) as refused:
        validate_alias(alias)
    assert refused.value.code == "bad-alias"
    assert refused.value.remedy


@pytest.mark.parametrize("digest", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n"])
def test_bad_digests_are_refused(digest: str) -> None:
    """A digest is exactly 64 lower-case hexadecimal digits."""
    with pytest.raises(BadName):
        validate_digest(digest)


def test_a_pinned_name_is_parsed_back() -> None:
    """What engine_name writes, parse_pinned reads."""
    assert parse_pinned(engine_name("returns", "0123456789abcdef" * 4)) == (
        "returns",
        "0123456789ab",
    )


@pytest.mark.parametrize(
    "name",
    [
        "returns",
        "returns@",
        "@0123456789ab",
        "returns@0123",
        "a@b@0123456789ab",
    ],
)
def test_other_names_are_not_pinned(name: str) -> None:
    """A name without an alias and twelve digits is refused with a typed error."""
    with pytest.raises(BadName):
        parse_pinned(name)


@given(st.text(max_size=100))
def test_no_text_is_an_alias_and_a_path(text: str) -> None:
    """Whatever passes as an alias is one plain path component."""
    try:
        alias = validate_alias(text)
    except BadName:
        return
    assert "/" not in alias
    assert "\\" not in alias
    assert not alias.startswith(".")
