"""The line of every key, for errors that a user can act on."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_agent.toml_source import ConfigError, key_lines, parse_toml

EVERY_SHAPE = '''\
# a comment with [brackets] and = signs
top = 1

[server]  # with a comment
listen = [
  "not = a key",  # ] not the end
  '[nor.this]',
]
a.b = { x = 1, y = [2, 3] }
"quoted key" = 3.14
'literal.key' = 1979-05-27T07:32:00Z
text = """
inside = "no"
[inside]
"""
more = \'\'\'
inside = 1\'\'\'
empty = """"""
quotes = """"two quotes""\\""""

[ deep . "er.table" ]
key = true
[[array]]
one = 1
[[array]]
two = 2
'''


def test_lines_of_every_shape_of_key():
    assert key_lines(EVERY_SHAPE) == {
        ("top",): 2,
        ("server",): 4,
        ("server", "listen"): 5,
        ("server", "a"): 9,
        ("server", "a", "b"): 9,
        ("server", "quoted key"): 10,
        ("server", "literal.key"): 11,
        ("server", "text"): 12,
        ("server", "more"): 16,
        ("server", "empty"): 18,
        ("server", "quotes"): 19,
        ("deep",): 21,
        ("deep", "er.table"): 21,
        ("deep", "er.table", "key"): 22,
        ("array",): 23,
        ("array", "one"): 24,
        ("array", "two"): 26,
    }


def test_windows_line_ends():
    assert key_lines("[a]\r\nb = 1\r\n\r\nc = 2\r\n") == {("a",): 1, ("a", "b"): 2, ("a", "c"): 4}


def test_what_stands_in_an_inline_table_has_the_line_of_that_table():
    _, source = parse_toml("\n\nlimits = { depth = { most = 3 } }\n", "here")
    assert str(source.error(("limits", "depth", "most"), "is too deep")) == "here:3: is too deep"


def test_an_error_about_the_whole_names_no_line():
    _, source = parse_toml("", "here")
    assert str(source.error(("absent",), "is missing")) == "here: is missing"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = \n", "here:2: invalid value"),
        ("a = 1\na = 2\n", "here:2: cannot overwrite a value"),
        ('a = 1\n\nb = "open', "here:3: "),
        ("[a]\nb = [1,\n", "here:3: "),
    ],
)
def test_text_that_is_no_toml_is_refused_with_its_line(text, message):
    with pytest.raises(ConfigError) as refused:
        parse_toml(text, "here")
    assert str(refused.value).startswith(message)
    assert "(at " not in str(refused.value)


def quoted(value):
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


keys = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.one_of(st.integers(-(2**40), 2**40), st.booleans(), st.text(st.characters(codec="utf-8")))


@given(st.lists(st.tuples(st.integers(0, 3), keys, values), unique_by=lambda row: row[1]))
def test_each_key_is_found_on_the_line_it_was_written_on(rows):
    text, expected, line = "", {}, 1
    for blank_lines, key, value in rows:
        text += "\n" * blank_lines + f"{quoted(key)} = {quoted(value)} # ] = [ '\n"
        line += blank_lines
        expected[(key,)] = line
        line += 1
    tomllib.loads(text)
    assert key_lines(text) == expected
