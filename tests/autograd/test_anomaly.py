"""detect_anomaly: which operation gave the first NaN or infinity, where it was called, and in which module."""

from __future__ import annotations

import threading

import pytest
from programs import Programs

import gradcli
from gradcli import nn
from gradcli.autograd import detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from gradcli.autograd.anomaly import Watcher, watched_operations

programs = Programs()


def leaf(torch, *values):
    return torch.tensor(values or (0.0, 1.0), requires_grad=True)


# --- what PyTorch does as well ----------------------------------------------------------------------------------------


@programs.raises(RuntimeError, "Function 'SqrtBackward0' returned nan values in its 0th output")
def a_gradient_that_is_nan(torch):
    with torch.autograd.detect_anomaly():
        (leaf(torch).sqrt() * 0).sum().backward()


@programs.raises(RuntimeError, "Function 'MulBackward0' returned nan values in its 1th output")
def the_number_of_the_input_is_told(torch):
    x, y = leaf(torch, float("inf")), leaf(torch, 2.0)
    with torch.autograd.detect_anomaly(True):
        (x * y).backward(torch.zeros(1))


@programs.gives("[nan, 0.0]")
def without_it_nothing_is_said(torch):
    x = leaf(torch)
    (x.sqrt() * 0).sum().backward()
    return str(x.grad.tolist())


@programs.gives([0.5, 0.25])
def what_is_fine_passes(torch):
    x = leaf(torch, 1.0, 4.0)
    with torch.autograd.detect_anomaly():
        x.sqrt().sum().backward()
    return x.grad


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@programs.each
def test_program(program):
    program.check(gradcli)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled", "ignore:Error detected in")
@programs.each
def test_parity(program):
    program.check(pytest.importorskip("torch"))


# --- forward ----------------------------------------------------------------------------------------------------------


def message_of(function, **options):
    """What detect_anomaly says of a function; None if nothing."""
    try:
        with detect_anomaly(**options):
            function()
    except RuntimeError as error:
        return str(error)
    finally:
        assert not is_anomaly_enabled()
    return None


FORWARD = [
    ("nan", lambda: gradcli.tensor([-1.0]).log(), "Function 'log' returned nan values in its forward pass"),
    ("infinity", lambda: gradcli.tensor([0.0]).log(), "Function 'log' returned inf values in its forward pass"),
    ("without gradients", lambda: gradcli.zeros(1) / gradcli.zeros(1), "Function 'true_divide' returned nan"),
    ("with gradients", lambda: leaf(gradcli, -1.0).sqrt(), "Function 'sqrt' returned nan"),
    ("overflow", lambda: gradcli.tensor([100.0]).exp(), "Function 'exp' returned inf"),
    ("in place", lambda: gradcli.tensor([-1.0]).log_(), "Function 'log' returned nan"),
    ("one of many", lambda: gradcli.arange(-1.0, 100.0).sqrt(), "Function 'sqrt' returned nan"),
    ("nan from infinities", lambda: gradcli.full((1,), float("inf")) - float("inf"), "Function 'sub' returned nan"),
]


@pytest.mark.parametrize(("function", "message"), [row[1:] for row in FORWARD], ids=[row[0] for row in FORWARD])
def test_the_first_operation_that_gives_it_is_named(function, message):
    assert message_of(function).startswith(message)


PASSED = [
    ("finite", lambda: leaf(gradcli, 1.0).log()),
    ("infinity from infinity", lambda: gradcli.tensor([float("inf")]) * 2),
    ("infinity made finite", lambda: 1 / gradcli.tensor([float("inf")])),
    ("nan as a value of its own", lambda: gradcli.tensor([float("nan")])),
    ("integers", lambda: gradcli.arange(3) * 2),
    ("masked away", lambda: gradcli.tensor([0.0, float("inf")])[:1] + 1),
]


@pytest.mark.parametrize("function", [row[1] for row in PASSED], ids=[row[0] for row in PASSED])
def test_what_is_no_anomaly(function):
    assert message_of(function) is None


def test_infinity_may_be_allowed():
    assert message_of(lambda: gradcli.zeros(1).log(), check_inf=False) is None
    assert "returned nan" in message_of(lambda: gradcli.zeros(1).log() * 0, check_inf=False)


def test_nan_may_be_allowed():
    assert message_of(lambda: (-gradcli.ones(1)).sqrt(), check_nan=False) is None
    assert "returned inf" in message_of(lambda: gradcli.zeros(1).log(), check_nan=False)


def test_an_argument_that_had_it_already_is_told():
    message = message_of(lambda: gradcli.ones(2) * gradcli.tensor([float("nan"), 1.0]))
    assert message.startswith("Function 'mul' returned nan")
    assert message.endswith("its argument 1 had them already")


def test_the_line_of_the_callers_code_is_told():
    def compute():
        return gradcli.zeros(1).log()  # the culprit

    message = message_of(compute)
    assert f"{__file__}:" in message
    assert "in compute: return gradcli.zeros(1).log()  # the culprit" in message
    assert "\n" not in message


# --- backward ---------------------------------------------------------------------------------------------------------


def test_the_line_that_recorded_the_operation_is_told():
    def compute(x):
        return x.sqrt()  # recorded here

    x = leaf(gradcli, 0.0)
    message = message_of(lambda: (compute(x) * 0).sum().backward())
    assert message.startswith("Function 'SqrtBackward0' returned nan values in its 0th output, the gradient of a leaf")
    assert "of shape [1]" in message
    assert "in compute: return x.sqrt()  # recorded here" in message


def test_an_infinite_gradient():
    x = leaf(gradcli, 0.0)
    assert message_of(lambda: x.sqrt().sum().backward()).startswith("Function 'SqrtBackward0' returned inf")
    assert message_of(lambda: x.sqrt().sum().backward(), check_inf=False) is None


def test_a_gradient_given_with_nan_is_told():
    x = leaf(gradcli, 1.0)
    message = message_of(lambda: (x * 2).backward(gradcli.tensor([float("nan")])))
    assert message.startswith("Function 'MulBackward0' returned nan")
    assert message.endswith("the gradient that it was given had them already")


def test_a_graph_recorded_before_is_checked_but_has_no_place():
    y = (leaf(gradcli, 0.0).sqrt() * 0).sum()
    message = message_of(y.backward)
    assert message.startswith("Function 'SqrtBackward0' returned nan")
    assert "it was recorded while detect_anomaly was off" in message


def test_with_a_graph_of_the_gradient():
    x = leaf(gradcli, 0.0)
    message = message_of(lambda: gradcli.autograd.grad((x**1.5).sum(), x, create_graph=True)[0].sum().backward())
    assert "returned inf" in message


def test_a_function_of_ones_own_is_named():
    class Broken(gradcli.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            return grad / 0

    message = message_of(lambda: Broken.apply(leaf(gradcli, 1.0)).sum().backward())
    assert message.startswith("Function '")
    assert "inf" in message

    class BrokenForward(gradcli.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return gradcli.tensor([float("nan")])

    assert message_of(lambda: BrokenForward.apply(leaf(gradcli, 1.0))).startswith(
        "Function 'BrokenForward' returned nan"
    )


def test_a_gradient_of_one_of_several_results():
    x = gradcli.zeros(2, 2, requires_grad=True)

    def compute():
        first, _ = x.unbind()
        (first.sqrt() * 0).sum().backward()

    assert message_of(compute).startswith("Function 'SqrtBackward0' returned nan")


# --- modules and parameters -------------------------------------------------------------------------------------------


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(gradcli.zeros(2))

    def forward(self, x):
        return x * self.scale.log()


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 2), Head())

    def forward(self, x):
        return self.body(x)


def test_the_module_is_named_by_its_path():
    message = message_of(lambda: Network()(gradcli.ones(1, 2)))
    assert message.startswith("Function 'log' returned inf")
    assert "in module body.1 (Head)" in message


def test_a_parameter_with_nan_is_named():
    network = Network()
    with gradcli.no_grad():
        network.body[0].weight.fill_(float("nan"))
    message = message_of(lambda: network(gradcli.ones(1, 2)))
    assert "in module body.0 (Linear)" in message
    assert "(parameter body.0.weight) had them already" in message


def test_the_parameter_whose_gradient_is_wrong_is_named():
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Module()
            self.weight = nn.Parameter(gradcli.zeros(2))

        def forward(self, x):
            return x * self.weight.sqrt()

    message = message_of(lambda: (Root()(gradcli.ones(2)) * 0).sum().backward())
    assert message.startswith("Function 'SqrtBackward0' returned nan")
    assert "the gradient of parameter weight of shape [2]" in message
    assert "in module Root" in message


def test_what_is_called_outside_of_modules_has_no_module():
    Network()  # another network existing doesn't matter
    assert "in its forward pass, called at " in message_of(lambda: gradcli.zeros(1).log())


def test_modules_are_left_after_an_error():
    assert message_of(lambda: Network()(gradcli.ones(1, 2))) is not None
    assert "in its forward pass, called at " in message_of(lambda: gradcli.zeros(1).log())


# --- switching --------------------------------------------------------------------------------------------------------


def test_as_a_context_manager_nested():
    with detect_anomaly():
        with set_detect_anomaly(False):
            gradcli.zeros(1).log()
            assert not is_anomaly_enabled()
        with detect_anomaly(check_inf=False):
            gradcli.zeros(1).log()
        with pytest.raises(RuntimeError, match="returned inf"):
            gradcli.zeros(1).log()
        assert is_anomaly_enabled()
    assert not is_anomaly_enabled()


def test_as_a_decorator():
    @detect_anomaly()
    def compute(values):
        """Documented."""
        return gradcli.tensor(values).log()

    assert compute([1.0]).tolist() == [0.0]
    with pytest.raises(RuntimeError, match="returned inf"):
        compute([0.0])
    assert not is_anomaly_enabled()
    assert (compute.__name__, compute.__doc__) == ("compute", "Documented.")


def test_switched_on_until_switched_off():
    try:
        set_detect_anomaly(True)
        assert is_anomaly_enabled()
    finally:
        set_detect_anomaly(False)
    assert not is_anomaly_enabled()


def test_set_detect_anomaly_as_a_context_manager():
    with set_detect_anomaly(True, check_inf=False):
        assert is_anomaly_enabled()
        gradcli.zeros(1).log()
    assert not is_anomaly_enabled()


def test_an_error_of_another_kind_leaves_it_as_it_was():
    with pytest.raises(KeyError), detect_anomaly():
        raise KeyError
    assert not is_anomaly_enabled()


def test_values_and_gradients_are_the_same_with_it():
    results = []
    for mode in (False, True):
        gradcli.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        with set_detect_anomaly(mode):
            loss = nn.functional.cross_entropy(network(gradcli.randn(5, 3)), gradcli.tensor([0, 1, 0, 1, 1]))
            loss.backward()
        results.append([loss.tolist(), *(parameter.grad.tolist() for parameter in network.parameters())])
    assert results[0] == results[1]


def test_it_holds_in_all_threads_as_in_pytorch():
    messages = []

    def work():
        try:
            gradcli.zeros(1).log()
        except RuntimeError as error:
            messages.append(str(error))

    with detect_anomaly():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(messages) == 1
    assert messages[0].startswith("Function 'log' returned inf")


def test_modules_of_one_thread_are_not_those_of_another():
    network = Network()
    inside, done = threading.Event(), threading.Event()
    messages = []

    class Waiting(nn.Module):
        def forward(self, x):
            inside.set()
            done.wait(10)
            return x

    def work():
        nn.Sequential(Waiting())(gradcli.ones(1))

    with detect_anomaly():
        thread = threading.Thread(target=work)
        thread.start()
        assert inside.wait(10)
        try:
            network(gradcli.ones(1, 2))
        except RuntimeError as error:
            messages.append(str(error))
        finally:
            done.set()
            thread.join()
    assert "in module body.1 (Head)" in messages[0]


class Listener(Watcher):
    """Writes down the operations that it is told of."""

    def __init__(self):
        self.heard = []

    def forward(self, name, arguments, results, origin):
        self.heard.append((name, [result.tolist() for result in results], origin.module_path()))

    def backward(self, node, gradients, shares):
        self.heard.append((node.name(), [g.tolist() for g in gradients], [share.tolist() for _, share in shares]))


def test_a_watcher_is_told_of_every_operation_and_no_anomaly_is_an_error():
    a = gradcli.tensor([1.0, -1.0], requires_grad=True)
    listener = Listener()
    with watched_operations(listener):
        assert is_anomaly_enabled()
        b = a.log()
        nn.ReLU()(b).sum().backward()
    assert not is_anomaly_enabled()
    (log, relu, *_), backward = listener.heard[:3], listener.heard[3:]
    assert log[0] == "log"
    assert str(log[1]) == "[[0.0, nan]]"
    assert log[2] is None
    assert relu[0] == "relu"
    assert relu[2] == "ReLU"
    assert [name for name, _, _ in backward] == ["SumBackward0", "ReluBackward0", "LogBackward0", "AccumulateGrad"]
    assert backward[0][1:] == ([1.0], [[1.0, 1.0]])


def test_a_watcher_is_left_after_an_error_and_detection_goes_on_as_before():
    with detect_anomaly():
        with pytest.raises(KeyError), watched_operations(Listener()):
            raise KeyError
        with pytest.raises(RuntimeError, match="returned nan values"):
            gradcli.tensor([-1.0]).log()
