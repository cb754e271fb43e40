"""Jobs: one thread runs them one after the other, since each uses all the cores it may; small ones run at once."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from qiskit.exceptions import QiskitError
from qiskit.providers import BackendV2, JobError, JobStatus, JobTimeoutError, JobV1
from qiskit.result import Result

from qsim_core.errors import InterruptedRunError

__all__ = ["QsimJob"]

_runner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="qsim-qiskit")


class QsimJob(JobV1):
    """A run of the backend: ``submit``, ``status``, ``cancel``, ``result``.

    Errors of a run are raised by :meth:`result`.
    """

    def __init__(self, backend: BackendV2, work: Callable[[str, threading.Event], Result]) -> None:
        super().__init__(backend, str(uuid.uuid4()))
        self._work = work
        self._stop = threading.Event()
        self._future: Future[Result] | None = None

    def submit(self, at_once: bool = False) -> None:
        """Queue the job, or run it here.

        Raises:
            JobError: if it has been submitted before.
        """
        if self._future is not None:
            raise JobError("This job has been submitted already.")
        if not at_once:
            self._future = _runner.submit(self._work, self.job_id(), self._stop)
            return
        self._future = Future()
        try:
            self._future.set_result(self._work(self.job_id(), self._stop))
        except QiskitError as error:
            self._future.set_exception(error)

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the job and return Qiskit's Result.

        Raises:
            QiskitError: what stopped the run.
            JobTimeoutError: after ``timeout`` seconds; the job goes on.
            JobError: if the job was cancelled.
        """
        try:
            return self._submitted().result(timeout)
        except FutureTimeoutError as error:
            raise JobTimeoutError(f"The job has not finished within {timeout} s.") from error
        except CancelledError as error:
            raise JobError("The job was cancelled before it ran.") from error

    def cancel(self) -> bool:
        """Stop the job, also while it runs; return False if it had ended before."""
        if self._submitted().done():
            return False
        self._stop.set()
        self._submitted().cancel()
        return True

    def status(self) -> JobStatus:
        """Return QUEUED, RUNNING, DONE, CANCELLED or ERROR; INITIALIZING before :meth:`submit`."""
        future = self._future
        if future is None:
            return JobStatus.INITIALIZING
        if future.cancelled():
            return JobStatus.CANCELLED
        if not future.done():
            return JobStatus.RUNNING if future.running() else JobStatus.QUEUED
        error = future.exception()
        if error is None:
            return JobStatus.DONE
        stopped = self._stop.is_set() and isinstance(error.__cause__, InterruptedRunError)
        return JobStatus.CANCELLED if stopped else JobStatus.ERROR

    def _submitted(self) -> Future[Any]:
        if self._future is None:
            raise JobError("This job has not been submitted yet.")
        return self._future
