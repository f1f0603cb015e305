"""Versions and machine, on which a bitwise repetition depends."""

import platform

import numpy

from upswing.run.versions import LIBRARIES, changes, cpu_model, machine, versions


def test_versions_are_those_of_the_installed_libraries():
    found = versions()
    assert found["numpy"] == numpy.__version__ and found["python"] == platform.python_version()
    assert all(found[name] for name in LIBRARIES)


def test_the_machine_is_described():
    about = machine()
    assert about["cpu"] == cpu_model() != "" and about["cores"] >= 1 and about["platform"]


def test_nothing_has_changed_since_now():
    assert changes({"versions": versions(), "machine": machine()}) == []
    assert changes({}) == changes({"versions": None, "machine": None}) == []


def test_each_change_is_a_sentence():
    then = {"versions": {"numpy": "1.0", "torch": None, "gone": "3"}, "machine": {"cpu": "an abacus"}}
    assert changes(then) == [
        f"numpy was 1.0 and is now {numpy.__version__}.",
        f"torch was missing and is now {versions()['torch']}.",
        f"The processor was an abacus and is now {cpu_model()}.",
    ]
