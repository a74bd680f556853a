"""Graphs of a million nodes and of 2^60 paths: no recursion, memory in proportion, every node visited once."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

import gradcli

MILLION = 1_000_000
MOST_BYTES_PER_NODE = 1536
# A stack of 512 KiB and a hundred Python frames: neither the pass nor the end of the graph goes down node by node.
LONG_CHAIN = """
import json, sys, threading
import gradcli

def peak():
    try:
        lines = open("/proc/self/status").read().splitlines()
    except OSError:
        return 0
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

def chain(x, count):
    y = x
    for _ in range(count // 2):
        y = (y + 1.0) * 1.0
    return y

def run(count):
    x = gradcli.tensor([3.0, 1.0], requires_grad=True, dtype=gradcli.float64)
    before = peak()
    y = chain(x, count)
    y.sum().backward()
    found = [y.tolist(), x.grad.tolist(), peak() - before]
    del y
    z = chain(x * x, count // 50)
    (first,) = gradcli.autograd.grad(z.sum(), x, create_graph=True)
    (second,) = gradcli.autograd.grad(first.sum(), x)
    found += [first.tolist(), second.tolist()]
    del z, first, second
    if count > 1000:
        print(json.dumps(found))

run(1000)  # imports what is imported when first needed
threading.stack_size(512 * 1024)
sys.setrecursionlimit(100)
thread = threading.Thread(target=run, args=(int(sys.argv[1]),))
thread.start()
thread.join()
"""


def test_a_chain_of_a_million_nodes_needs_no_recursion_and_memory_in_proportion() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", LONG_CHAIN, str(MILLION)], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    result, gradient, growth, first, second = json.loads(finished.stdout)
    assert result == [500_003.0, 500_001.0]
    assert gradient == [1.0, 1.0]
    assert (first, second) == ([6.0, 2.0], [2.0, 2.0])  # of the squares at the beginning of a chain
    assert growth < MOST_BYTES_PER_NODE * MILLION


LEVELS = 60


def test_a_diamond_of_two_to_the_sixty_paths_is_visited_node_by_node() -> None:
    x = gradcli.tensor(1.0, dtype=gradcli.float64, requires_grad=True)
    visited = []
    y = x
    for _ in range(LEVELS):
        y = y + y
        y.grad_fn.register_hook(lambda inputs, outputs: visited.append(None))
    y.backward()
    assert x.grad.item() == 2.0**LEVELS
    assert len(visited) == LEVELS
    (gradient,) = gradcli.autograd.grad(y, x)
    assert gradient.item() == 2.0**LEVELS
    assert len(visited) == 2 * LEVELS


def test_derivatives_of_every_order_through_a_diamond() -> None:
    """Each level takes the one before twice: f = sin(f) + f * 0.5, whose derivatives follow from the chain rule."""
    start = gradcli.tensor(0.7, dtype=gradcli.float64, requires_grad=True)
    y = start
    value, first, second = 0.7, 1.0, 0.0
    for _ in range(LEVELS):
        y = y.sin() + y * 0.5
        slope, curvature = math.cos(value) + 0.5, -math.sin(value)
        value, first, second = (
            math.sin(value) + value * 0.5,
            slope * first,
            slope * second + curvature * first * first,
        )
    (gradient,) = gradcli.autograd.grad(y, start, create_graph=True)
    (again,) = gradcli.autograd.grad(gradient, start)
    assert y.item() == pytest.approx(value, rel=1e-13)
    assert gradient.item() == pytest.approx(first, rel=1e-11)
    assert again.item() == pytest.approx(second, rel=1e-11)
