"""no_grad, enable_grad and set_grad_enabled: as context manager and decorator, nested, after errors, per thread."""

from __future__ import annotations

import threading

import pytest

import gradcli
from gradcli.autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled


def leaf():
    return gradcli.ones(2, requires_grad=True)


def test_nothing_is_recorded_inside():
    x = leaf()
    with no_grad():
        y = x * 2
    assert (y.requires_grad, y.grad_fn, y.is_leaf) == (False, None, True)
    assert (x * 2).requires_grad


def test_a_leaf_made_inside_may_require_gradients():
    with no_grad():
        x = leaf()
    assert x.requires_grad


def test_nesting():
    with no_grad():
        with enable_grad():
            assert is_grad_enabled()
            with set_grad_enabled(False):
                assert not is_grad_enabled()
            assert is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_one_scope_used_inside_of_itself():
    scope = no_grad()
    with scope:
        with scope:
            assert not is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()


@pytest.mark.parametrize("make_scope", [no_grad, enable_grad, lambda: set_grad_enabled(False)])
def test_the_former_mode_comes_back_after_an_error(make_scope):
    def fail():
        raise KeyError

    for outside in (True, False):
        with set_grad_enabled(outside):
            with pytest.raises(KeyError), make_scope():
                fail()
            assert is_grad_enabled() is outside


def test_set_grad_enabled_without_with_holds_until_changed():
    try:
        set_grad_enabled(False)
        assert not is_grad_enabled()
    finally:
        set_grad_enabled(True)
    assert is_grad_enabled()


@pytest.mark.parametrize(
    ("decorator", "inside"),
    [(no_grad, False), (no_grad(), False), (enable_grad, True), (enable_grad(), True)],
    ids=["no_grad", "no_grad()", "enable_grad", "enable_grad()"],
)
def test_decorator(decorator, inside):
    @decorator
    def mode(first, *, second):
        """Documented."""
        return is_grad_enabled(), first, second

    for outside in (True, False):
        with set_grad_enabled(outside):
            assert mode(1, second=2) == (inside, 1, 2)
            assert is_grad_enabled() is outside
    assert (mode.__name__, mode.__doc__) == ("mode", "Documented.")


def test_decorated_functions_may_recurse_and_fail():
    @no_grad()
    def countdown(n):
        assert not is_grad_enabled()
        if n == 0:
            raise KeyError
        countdown(n - 1)

    with pytest.raises(KeyError):
        countdown(3)
    assert is_grad_enabled()


def test_set_grad_enabled_as_decorator_holds_inside_only():
    @set_grad_enabled(False)
    def mode():
        return is_grad_enabled()

    assert is_grad_enabled()
    assert mode() is False
    assert is_grad_enabled()


def test_generators():
    log = []

    @no_grad()
    def generate():
        try:
            log.append(is_grad_enabled())
            sent = yield 1
            log.append((sent, is_grad_enabled()))
            try:
                yield 2
            except KeyError:
                log.append(("caught", is_grad_enabled()))
            yield 3
            return "result"
        finally:
            log.append(("closed", is_grad_enabled()))

    generator = generate()
    assert next(generator) == 1
    assert is_grad_enabled()
    assert generator.send("value") == 2
    assert generator.throw(KeyError()) == 3
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "result"
    assert log == [False, ("value", False), ("caught", False), ("closed", False)]
    assert is_grad_enabled()


def test_closing_a_generator_runs_its_cleanup_and_leaves_the_mode():
    closed = []

    @no_grad
    def generate():
        try:
            yield 1
        finally:
            closed.append(True)

    generator = generate()
    next(generator)
    generator.close()
    assert closed == [True]
    assert is_grad_enabled()


def test_the_mode_is_per_thread():
    modes = {}
    inside, done = threading.Event(), threading.Event()

    def work():
        modes["fresh"] = is_grad_enabled()
        with no_grad():
            inside.set()
            done.wait(10)
            modes["still"] = is_grad_enabled()

    with no_grad():
        thread = threading.Thread(target=work)
        thread.start()
        assert inside.wait(10)
        modes["here"] = is_grad_enabled()
    modes["here after"] = is_grad_enabled()
    done.set()
    thread.join()
    assert modes == {"fresh": True, "here": False, "here after": True, "still": False}


def test_backward_works_inside_of_no_grad_and_leaves_the_mode():
    x = leaf()
    y = (x * x).sum()
    with no_grad():
        y.backward(create_graph=True)
        assert not is_grad_enabled()
    assert x.grad.requires_grad
    x.grad = None


def test_a_failing_backward_leaves_the_mode():
    y = (leaf() * leaf()).sum()
    y.backward()
    with no_grad():
        with pytest.raises(RuntimeError, match="second time"):
            y.backward(create_graph=True)
        assert not is_grad_enabled()


def test_one_scope_may_be_entered_again():
    scope = gradcli.set_grad_enabled(False)
    for _ in range(2):
        with scope:
            assert not gradcli.is_grad_enabled()
        assert gradcli.is_grad_enabled()
