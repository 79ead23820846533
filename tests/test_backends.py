import pickle
import re
from pathlib import Path

import pytest

import albu_diffusemix
from albu_diffusemix.backends import Request, backend_names, create_backend, register_backend, shared_backend
from albu_diffusemix.backends.precomputed import Precomputed
from albu_diffusemix.store import Recipe, Store


def test_a_name_and_a_mapping_with_that_name_are_the_same():
    assert create_backend("inverting").fingerprint == create_backend({"name": "inverting"}).fingerprint


def test_options_reach_the_backend():
    assert create_backend({"name": "inverting", "status": "blank"}).fingerprint == "inverting-blank"


def test_a_missing_option_is_named_with_the_form_of_the_spec():
    with pytest.raises(
        ValueError, match=r"'precomputed' needs the option 'store': {'name': 'precomputed', 'store': ...}"
    ):
        create_backend("precomputed")


def test_equal_specs_share_one_instance_and_others_do_not():
    spec = {"name": "inverting", "status": "blank"}
    assert shared_backend(spec) is shared_backend(dict(reversed(spec.items())))
    assert shared_backend(spec) is not shared_backend("inverting")


def test_each_process_has_a_shared_backend_of_its_own(monkeypatch):
    ours = shared_backend("inverting")
    monkeypatch.setattr("albu_diffusemix.backends.os.getpid", lambda: -1)
    assert shared_backend("inverting") is not ours
    assert shared_backend("inverting") is shared_backend("inverting")


def test_an_unknown_name_lists_the_known_ones_and_the_nearest():
    with pytest.raises(
        ValueError, match=r"unknown backend 'procedual'; known: .*procedural.*; did you mean 'procedural'"
    ):
        create_backend("procedual")


def test_a_name_like_no_other_gets_no_suggestion():
    with pytest.raises(ValueError, match=r"unknown backend 'xyz'; known: [\w, ]+$"):
        create_backend("xyz")


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    register_backend("absent", "absent_package:Class", extra="absent-package other[more]")
    with pytest.raises(ValueError, match=r"needs .*absent_package.*: pip install absent-package 'other\[more\]'$"):
        create_backend("absent")


def test_no_hint_names_an_extra_of_ours_which_would_bring_the_other_host():
    package = Path(albu_diffusemix.__file__).parent
    hints = [line for path in package.rglob("*.py") for line in path.read_text().splitlines() if "pip install" in line]
    assert len(hints) > 5
    assert not [hint for hint in hints if re.search("pip install .*albu.diffusemix", hint)]
    pages = [package.parent / "README.md", *(package.parent / "docs").glob("*.md")]
    assert not [path for path in (*package.rglob("*.py"), *pages) if "albu-diffusemix[" in path.read_text()]
    assert not [
        path for path in pages if re.search(r"pip install (?!.*--no-index)[^#\n]*albu-diffusemix", path.read_text())
    ]


@pytest.mark.parametrize("name", ["flowers.dm", "/data/flowers.dm", "made"])
def test_the_path_of_a_store_as_a_name_suggests_the_spec_that_reads_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Store.create("made", Recipe("procedural", "f00d", ("snowy",)))
    spec = re.escape(str({"name": "precomputed", "store": name}))
    with pytest.raises(ValueError, match=rf"unknown backend '{name}'; known: .*; for a store write {spec}$"):
        create_backend(name)


@pytest.mark.parametrize("spec", [Path("flowers.dm"), {"name": "precomputed", "store": Path("flowers.dm")}])
def test_a_path_object_is_refused_with_the_string_to_give(spec):
    with pytest.raises(ValueError, match=r"'store': str\(path\)"):
        create_backend(spec)


def test_a_precomputed_backend_asks_for_the_string_of_a_path_object():
    with pytest.raises(ValueError, match=r"got PosixPath\('flowers.dm'\): give str\(path\)$"):
        Precomputed(Path("flowers.dm"))


def test_a_request_without_a_box_means_the_whole_image(photograph):
    whole = Request(photograph, "snow", 7)
    assert whole == Request(photograph, "snow", 7, None, (0, 0, 128, 96))
    assert pickle.loads(pickle.dumps(whole)).box == whole.box  # noqa: S301  it is ours
    [counterpart] = create_backend("procedural").generate([whole])
    assert counterpart.image.shape == photograph.shape


def test_a_request_of_what_is_not_an_image_is_refused_by_the_backend():
    with pytest.raises(ValueError, match="image must be a uint8 array"):
        create_backend("procedural").generate([Request("flowers.jpg", "snow", 7)])


def test_a_missing_class_is_named():
    register_backend("classless", "conftest:Nothing")
    with pytest.raises(ValueError, match="registered as 'conftest:Nothing', but there is no 'Nothing'"):
        create_backend("classless")


def test_a_name_can_be_registered_again_for_the_same_class_only():
    register_backend("inverting", "conftest:Inverting")
    with pytest.raises(ValueError, match="'inverting' is registered already, as 'conftest:Inverting'"):
        register_backend("inverting", "conftest:Other")


@pytest.mark.parametrize("target", ["conftest", "conftest:", ":Class"])
def test_a_target_that_names_no_class_is_refused(target):
    with pytest.raises(ValueError, match=f"must be 'module:Class'; got '{target}'"):
        register_backend("new", target)


def test_the_built_in_names_are_known():
    assert "procedural" in backend_names()
