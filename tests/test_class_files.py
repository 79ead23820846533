"""YAML files that say something of each class."""

from pathlib import Path

import pytest

from albu_diffusemix.generate.class_files import read_class_names, read_prompts_by_class


@pytest.fixture
def read(tmp_path):
    def read(text, reader=read_prompts_by_class):
        (tmp_path / "classes.yaml").write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
        return reader(tmp_path / "classes.yaml")

    return read


def test_prompts_are_one_text_or_a_list(read):
    assert read('rose: sunset\ndaisy:\n  - snowy\n  - "a {label}"\n') == {
        "rose": ("sunset",),
        "daisy": ("snowy", "a {label}"),
    }


def test_labels_and_prompts_are_text_whatever_yaml_takes_them_for(read):
    assert read("001: [1990, yes]\nno: null\n2024-01-01: 1e3\n") == {
        "001": ("1990", "yes"),
        "no": ("null",),
        "2024-01-01": ("1e3",),
    }


def test_names_of_classes_are_read(read):
    assert read("n11939491: daisy\n'12': tea rose # a comment\n", read_class_names) == {
        "n11939491": "daisy",
        "12": "tea rose",
    }


def test_a_list_that_is_used_twice_is_read(read):
    assert read("rose: &warm [sunset, autumn]\ndaisy: *warm\n")["daisy"] == ("sunset", "autumn")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"classes.yaml' has no labels: give a line for each, such as `rose: \[sunset, snowy\]`"),
        ("{}", "has no labels"),
        ("- snowy\n", "has no labels"),
        ("snowy", "has no labels"),
        ("rose: [sunset\n", "is not valid YAML: "),
        ("rose: *warm\n", "is not valid YAML: "),
        ("rose: &a [*a]\n", "is not valid YAML: it has over 100,000 values"),
        ("rose: [" * 101, "is not valid YAML: "),
        ("rose: a\n---\nrose: b\n", "is not valid YAML: "),
        ("rose: sunset\n\nrose: snowy\n", "line 3 has 'rose' for the second time: leave one out"),
        ("rose: []\n", "line 1, 'rose': there are no prompts; give one, or leave the label out"),
        ("rose:\n", "line 1, 'rose': here must be one prompt or a list of them; it is empty"),
        ("rose: ['']\n", "line 1, 'rose': here must be text; it is empty"),
        ("a: b\nrose: [[sunset]]\n", "line 2, 'rose': here must be text, not a list"),
        ("rose: {sunset: 1}\n", "line 1, 'rose': here must be one prompt or a list of them, not a mapping"),
        ("[rose]: sunset\n", "line 1: here must be a label, not a list"),
        (b"rose: \xff\n", "is not UTF-8"),
    ],
)
def test_a_wrong_file_is_named_with_the_line_and_what_is_allowed(read, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_a_class_has_one_name(read):
    with pytest.raises(ValueError, match="'rose': here must be one name, not a list"):
        read("rose: [tea rose]", read_class_names)


def test_tags_make_no_objects(read):
    assert read("rose: !!python/object/apply:os.mkdir [made]\n") == {"rose": ("made",)}
    assert not Path("made").exists()
