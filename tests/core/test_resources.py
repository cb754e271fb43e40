"""Memory and threads: what the machine, the container and the environment allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsim_core import resources
from qsim_core.errors import MemoryBudgetError, ParameterError
from qsim_core.types import Precision


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(resources, "_CGROUP", tmp_path)
    monkeypatch.setattr(resources, "_OWN_CGROUPS", tmp_path / "own")
    resources._cgroups.cache_clear()
    monkeypatch.setattr(resources, "_cgroups", resources._cgroups.__wrapped__)  # nothing is kept
    for variable in ("QSIM_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def test_memory_of_a_container(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_meminfo_available", lambda: 2**40)
    free = 2**40 - resources.RESERVE_BYTES
    assert resources.available_memory() <= free
    (cgroup / "memory.max").write_text("max\n")
    (cgroup / "memory.current").write_text("0\n")
    assert resources.available_memory() <= free
    (cgroup / "memory.max").write_text(f"{2**30}\n")
    (cgroup / "memory.current").write_text(f"{2**29}\n")
    assert resources.available_memory() == 2**29 - resources.RESERVE_BYTES
    (cgroup / "memory.current").write_text(f"{2**30}\n")
    assert resources.available_memory() == 0


@pytest.mark.parametrize("version", [1, 2])
def test_memory_of_a_batch_job(version: int, cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch system limits a group far below the top, and any group above it may have a limit too."""
    monkeypatch.setattr(resources, "_meminfo_available", lambda: 2**40)
    top = cgroup if version == 2 else cgroup / "memory"
    job = top / "slurm" / "job_7"
    task = job / "step_0" / "task_0"
    task.mkdir(parents=True)
    name = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    controllers = "0::" if version == 2 else "12:cpu,cpuacct:/\n7:memory:"
    (cgroup / "own").write_text(f"1:name=systemd:/\n{controllers}/slurm/job_7/step_0/task_0\n")
    for folder, limit, used in ((task, "max" if version == 2 else str(2**63 - 4096), 2**20), (job, str(2**32), 2**31)):
        (folder / name[0]).write_text(f"{limit}\n")
        (folder / name[1]).write_text(f"{used}\n")
    assert resources.available_memory() == 2**31 - resources.RESERVE_BYTES
    cache = "inactive_file" if version == 2 else "total_inactive_file"
    (job / "memory.stat").write_text(f"anon 5\n{cache} {2**30}\nactive_file 7\n")  # files it has read
    assert resources.available_memory() == 3 * 2**30 - resources.RESERVE_BYTES
    if version == 2:
        (job / "cpu.max").write_text("300000 100000\n")
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
        assert resources.available_threads() == 3
    (cgroup / "own").write_text("0::/../elsewhere\n4:memory:/gone\n")  # not in what this container shows
    assert resources.available_memory() == 2**40 - resources.RESERVE_BYTES


def test_threads_of_a_container(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert resources.available_threads() == 8
    (cgroup / "cpu.max").write_text("250000 100000\n")
    assert resources.available_threads() == 2
    (cgroup / "cpu.max").write_text("max 100000\n")
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert resources.available_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "30")
    assert resources.available_threads() == 8
    monkeypatch.setenv("QSIM_NUM_THREADS", "16")
    assert resources.available_threads() == 16
    for wrong in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("QSIM_NUM_THREADS", wrong)
        with pytest.raises(ParameterError, match=f"QSIM_NUM_THREADS.*got '{wrong}'"):
            resources.available_threads()


def test_check_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "available_memory", lambda: 2**20)
    assert resources.check_memory(16, 1, Precision.DOUBLE) == 2**20
    assert resources.check_memory(16, 2, Precision.SINGLE) == 2**20
    assert resources.check_memory(15, 1, Precision.DOUBLE, scratch=2**19) == 2**20
    with pytest.raises(MemoryBudgetError, match=r"17 qubits in single precision needs 1\.0 MiB"):
        resources.check_memory(17, 1, Precision.SINGLE, scratch=1)
    with pytest.raises(MemoryBudgetError, match=r"precision='single' fits; 16 qubits fit in double"):
        resources.check_memory(17, 1, Precision.DOUBLE)
    with pytest.raises(
        MemoryBudgetError, match=r"4 states of 15 qubits.*2\.0 MiB, 1\.0 MiB are free.*batches of 2 fit"
    ):
        resources.check_memory(15, 4, Precision.DOUBLE)
    with pytest.raises(MemoryBudgetError, match="60 qubits"):
        resources.check_memory(60, 1, Precision.SINGLE)


@pytest.mark.parametrize("precision", Precision)
def test_the_largest_register_fits_and_the_next_does_not(precision: Precision) -> None:
    for free in (0, 15, 16, 1000, 2**20 - 1, 2**20, 2**40 + 5):
        largest = resources.largest_register(precision, free)
        assert largest == 0 or precision.bytes_per_amplitude << largest <= free
        assert precision.bytes_per_amplitude << largest + 1 > free


def test_units() -> None:
    assert [resources.format_bytes(n) for n in (0, 1023, 1024, 3 * 2**29, 2**61)] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 GiB", "2.0 EiB",
    ]  # fmt: skip
