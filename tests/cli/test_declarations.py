"""The file in which a user says what columns are."""

import pytest

from skhvae.cli._declarations import Declaration, declarations
from skhvae.cli._problems import Problem
from skhvae.features import FEATURE_TYPES

COLUMNS = ["age", "size", "born"]


def declared(tmp_path, text):
    path = tmp_path / "types.json"
    path.write_text(text, encoding="utf-8")
    return declarations(path, COLUMNS)


@pytest.mark.parametrize("kind", sorted(set(FEATURE_TYPES) - {"ordinal"}))
def test_feature_types(tmp_path, kind):
    assert declared(tmp_path, f'{{"age": "{kind}"}}') == {"age": Declaration(kind)}


def test_levels_and_formats(tmp_path):
    found = declared(
        tmp_path,
        '{"size": ["S", 2, "L"], "born": {"type": "datetime", "format": "%d.%m.%Y"}, "age": {"type": "count"}}',
    )
    assert found == {
        "size": Declaration("ordinal", levels=("S", "2", "L")),
        "born": Declaration("datetime", format="%d.%m.%Y"),
        "age": Declaration("count"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"age": "count",\n}', "line 2, column 1"),
        ('["age"]', 'expected an object such as {"age": "count"}, found \\["age"\\]'),
        ('{"agee": "count"}', "no column 'agee'. Did you mean 'age'?"),
        ('{"age": "cuont"}', "'age': \"cuont\" is no feature type. Did you mean 'count'?"),
        ('{"age": 3}', "'age': 3 is no feature type"),
        ('{"age": "ordinal"}', "needs its levels in order"),
        ('{"age": {"type": "real", "format": "%d"}}', "for dates alone"),
        ('{"age": {"type": "real", "unit": "m"}}', "knows 'type' and 'format', found \\['unit'\\]"),
        ('{"size": ["S"]}', "two or more levels"),
        ('{"size": ["S", null]}', "two or more levels"),
        ('{"size": ["S", "M", "S"]}', "level 'S' stands there more than once"),
    ],
)
def test_what_cannot_be(tmp_path, text, message):
    with pytest.raises(Problem, match=message) as caught:
        declared(tmp_path, text)
    assert "types.json" in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(Problem, match="No such file"):
        declarations(tmp_path / "none.json", COLUMNS)
    (tmp_path / "bytes.json").write_bytes(b'{"age": "\xff"}')
    with pytest.raises(Problem, match="UTF-8"):
        declarations(tmp_path / "bytes.json", COLUMNS)
