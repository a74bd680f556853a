"""What every test may rely on: PyTorch-parity tests are skipped or required as the environment says."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator

import pytest

# Before NumPy or PyTorch is imported: results don't depend on the machine's cores, and the waiting threads of the two
# libraries don't take the cores from each other.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

TORCH_INSTALLED = importlib.util.find_spec("torch") is not None
TORCH_REQUIRED = os.environ.get("GRADCLI_REQUIRE_TORCH") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `parity` where PyTorch is missing; refuse to start where it is required."""
    if TORCH_INSTALLED:
        return
    if TORCH_REQUIRED:
        raise pytest.UsageError("GRADCLI_REQUIRE_TORCH=1 but PyTorch is not installed")
    skip = pytest.mark.skip(reason="PyTorch is not installed")
    for item in items:
        if item.get_closest_marker("parity"):
            item.add_marker(skip)


@pytest.fixture(autouse=True, scope="session")
def empty_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test, and no process that one starts, sees weights that were downloaded outside of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("GRADCLI_HOME", "TORCH_HOME"):
            patch.setenv(variable, str(tmp_path_factory.mktemp(variable.lower())))
        yield


@pytest.fixture(autouse=True)
def same_settings_for_every_test() -> Iterator[None]:
    """Start every test with gradcli's generator at seed 0, and fail one that leaves a setting of the process changed.

    Tests that never load the engine don't load it here either.
    """
    if "gradcli.ops.random" in sys.modules:
        sys.modules["gradcli.ops.random"].manual_seed(0)
    threads = sys.modules.get("gradcli.kernels.threads")
    count = threads and threads.get_num_threads()
    yield
    if threads and threads.get_num_threads() != count:
        threads.set_num_threads(count)
        pytest.fail("the test left another number of threads")
    if "gradcli.kernels.policy" in sys.modules:
        policy = sys.modules["gradcli.kernels.policy"]
        if policy.get_kernels() != "exact":
            policy.set_kernels("exact")
            pytest.fail("the test left fast kernels switched on")
    if "gradcli.autograd.grad_mode" in sys.modules:
        grad_mode = sys.modules["gradcli.autograd.grad_mode"]
        if not grad_mode.is_grad_enabled():
            grad_mode.set_grad_enabled(True)
            pytest.fail("the test left gradients switched off")
