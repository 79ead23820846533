import pytest

from albu_diffusemix.backends import backend_names, create_backend, register_backend, shared_backend


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
    register_backend("absent", "absent_package:Class", extra="albu-diffusemix[absent]")
    with pytest.raises(ValueError, match=r"'absent' needs .*absent_package.*: pip install 'albu-diffusemix\[absent\]'"):
        create_backend("absent")


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
