"""compile: programs of one structure share a plan, whatever their angles and matrices; nothing else does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from qsim_core import Precision, Program, ProgramBuilder
from qsim_core.compiler import clear_plan_cache, compile_program, plan_cache_info
from qsim_core.errors import ParameterError, PrecisionError, UnsupportedError


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    clear_plan_cache()
    yield
    clear_plan_cache()


def program(angle: float = 0.1, target: int = 0, matrix: Any = ((0, 1j), (1, 0)), table: Any = (1, 0)) -> Program:
    builder = ProgramBuilder(2)
    builder.rotation("X", angle, (target,))
    builder.dense(np.array(matrix), (1,))
    builder.permutation(table, (0,))
    return builder.finish()


def test_values_do_not_enter_the_key() -> None:
    plan = compile_program(program())
    assert compile_program(program(angle=2.0)) is plan
    assert compile_program(program(matrix=((0, -1), (1j, 0)))) is plan
    assert plan_cache_info() == {"hits": 2, "misses": 1, "size": 1}


def test_structure_and_arguments_do() -> None:
    plans = [
        compile_program(program()),
        compile_program(program(target=1)),
        compile_program(program(table=(0, 1))),
        compile_program(program(matrix=np.array([[1, 1], [1, -1]]) / 2**0.5)),
        compile_program(program(), precision="single"),
        compile_program(program(), initial="given"),
        compile_program(program(), target="numba_cpu"),
    ]
    assert len(set(map(id, plans))) == len(plans) == plan_cache_info()["misses"]
    assert plans[4].precision is Precision.SINGLE


def test_the_cache_is_bounded_and_can_be_cleared() -> None:
    for width in range(300):
        builder = ProgramBuilder(1)
        for _ in range(width):
            builder.rotation("X", 0.1, (0,))
        compile_program(builder.finish())
    assert plan_cache_info()["size"] <= 256
    clear_plan_cache()
    assert plan_cache_info() == {"hits": 0, "misses": 0, "size": 0}


def test_threads_may_compile_at_once() -> None:
    programs, problems = [program(angle=k) for k in range(8)], list[BaseException]()

    def work() -> None:
        try:
            for p in programs:
                compile_program(p)
                clear_plan_cache()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="'zero' or 'given', got 'one'"):
        compile_program(program(), initial="one")
    with pytest.raises(PrecisionError, match="got 'half'"):
        compile_program(program(), precision="half")
    with pytest.raises(UnsupportedError, match=r"entry permutation.*\(1, 0\)"):
        compile_program(program(), permutation=(1, 0))
    assert compile_program(program(), permutation=(0, 1)).num_qubits == 2
