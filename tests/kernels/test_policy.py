"""The choice between exact and fast kernels."""

from __future__ import annotations

import pytest

from gradcli.kernels.policy import KERNELS, get_kernels, set_kernels, using_kernels


def test_exact_unless_somebody_chose_otherwise():
    assert get_kernels() == "exact"
    assert KERNELS == ("exact", "fast")


def test_the_choice_ends_with_the_block():
    with using_kernels("fast"):
        assert get_kernels() == "fast"
        with using_kernels("exact"):
            assert get_kernels() == "exact"
        assert get_kernels() == "fast"
    with pytest.raises(ZeroDivisionError), using_kernels("fast"):
        raise ZeroDivisionError
    assert get_kernels() == "exact"


def test_other_names_are_refused():
    with pytest.raises(ValueError, match="'quick'"):
        set_kernels("quick")
    assert get_kernels() == "exact"
