"""The device: what PennyLane calls. It prepares circuits with PennyLane's transforms and hands them to the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.devices import Device, ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.devices.preprocess import (
    decompose,
    device_resolve_dynamic_wires,
    no_sampling,
    null_postprocessing,
    validate_adjoint_trainable_params,
    validate_device_wires,
    validate_measurements,
    validate_observables,
)
from pennylane.exceptions import DeviceError
from pennylane.measurements import ExpectationMP, SampleMeasurement, StateMeasurement
from pennylane.ops import MidMeasure
from pennylane.tape import QuantumScript
from pennylane.wires import Wires

from qsim_core.errors import QsimError, expected
from qsim_core.state import StateVector
from qsim_core.types import FloatArray, Precision

from . import gradients
from .engine import Engine, Register
from .measure import measure
from .mid_circuit import exact_values, sampled_values
from .observables import has_observable
from .sampling import is_shadow, sample_measurements, stacked
from .translate import Circuit, is_differentiable, is_native, measures

__all__ = ["QubitDevice"]

_MCM_METHODS = ("device", "tree-traversal", "one-shot", "deferred")
_POSTSELECT_MODES = (None, "hw-like", "fill-shots", "pad-invalid-samples")
_GRADIENTS = ("adjoint", "best", "device")


@simulator_tracking
@single_tape_support
class QubitDevice(Device):
    """State-vector simulator ``qsim.qubit``: ``qml.device("qsim.qubit", wires=…)``.

    Args:
        wires: number of wires, or their labels in order; None takes those of each circuit.
        shots: shots of circuits that don't set their own.
        seed: of all samples, anything :func:`numpy.random.default_rng` takes, or a JAX key; "global" draws one from
            NumPy's global generator, None from the operating system.
        c_dtype: precision of the amplitudes: ``np.complex128`` or ``np.complex64``.
        backend: "auto", or a name of :func:`qsim_core.kernels.registry.names`.
        threads: at most so many; None takes those available.

    Circuits of one structure in a batch, such as broadcast parameters or the shifted circuits of a gradient rule, are
    one native run. Raises PennyLane's ``DeviceError`` for what is not supported.
    """

    config_filepath = Path(__file__).parent / "capabilities.toml"

    def __init__(
        self,
        wires: Any = None,
        shots: Any = None,
        *,
        seed: Any = "global",
        c_dtype: Any = np.complex128,
        backend: str = "auto",
        threads: int | None = None,
    ) -> None:
        super().__init__(wires=wires, shots=shots)
        try:
            if np.dtype(c_dtype).kind != "c":
                raise DeviceError(expected("c_dtype", "complex128 or complex64", np.dtype(c_dtype).name))
            self._engine = Engine(backend, Precision.of(c_dtype), threads)
        except (QsimError, TypeError) as error:
            raise DeviceError(str(error)) from error
        self._rng = _generator(seed)
        self._registers: dict[tuple[Any, ...], Register] = {}
        #: Circuit, angles and final state of the last circuit that a gradient may be asked of.
        self._kept: tuple[Circuit, StateVector] | None = None

    @property
    def name(self) -> str:
        """Name of the device."""
        return "qsim.qubit"

    # --- preparation ------------------------------------------------------------------------------------------------

    def setup_execution_config(self, config: Any = None, circuit: Any = None) -> Any:
        """Fill in what the configuration leaves open: the gradient and the method of mid-circuit measurements."""
        config = config or ExecutionConfig()
        for option in config.device_options:
            raise DeviceError(f"Device option {option!r} is not known to qsim.qubit.")
        method = "adjoint" if config.gradient_method in ("best", "device") else config.gradient_method
        native = method == "adjoint"
        product = native if config.use_device_jacobian_product is None else config.use_device_jacobian_product
        # A product takes the state that the forward run left; a Jacobian is cheapest together with the forward run.
        together = native and not product if config.grad_on_execution is None else config.grad_on_execution
        return replace(
            config,
            gradient_method=method,
            use_device_gradient=native if config.use_device_gradient is None else config.use_device_gradient,
            use_device_jacobian_product=product,
            grad_on_execution=together,
            mcm_config=replace(config.mcm_config, mcm_method=_mcm_method(config.mcm_config, circuit)),
        )

    def preprocess_transforms(self, execution_config: Any = None) -> Any:
        """Return the transforms that turn any circuit into what :meth:`execute` takes."""
        config = execution_config or ExecutionConfig()
        deferred = config.mcm_config.mcm_method in ("deferred", None)
        pipeline = qml.CompilePipeline()
        if deferred:
            pipeline.add_transform(qml.defer_measurements, allow_postselect=False)
        pipeline.add_transform(
            decompose,
            stopping_condition=is_native,
            skip_initial_state_prep=True,
            device_wires=self.wires,
            target_gates=_GATE_SET,
            name=self.name,
        )
        pipeline.add_transform(_resolve_dynamic_wires, wires=self.wires, allow_resets=not deferred)
        pipeline.add_transform(validate_device_wires, self.wires, name=self.name)
        pipeline.add_transform(
            validate_measurements,
            analytic_measurements=lambda process: isinstance(process, StateMeasurement),
            sample_measurements=lambda process: isinstance(process, SampleMeasurement) or is_shadow(process),
            name=self.name,
        )
        pipeline.add_transform(validate_observables, has_observable, name=self.name)
        if config.mcm_config.mcm_method == "one-shot":
            pipeline.add_transform(qml.dynamic_one_shot, postselect_mode=config.mcm_config.postselect_mode)
        pipeline.add_transform(_expand_what_cannot_batch)
        if config.gradient_method == "adjoint":
            name = f"adjoint + {self.name}"
            pipeline.add_transform(no_sampling, name=name)
            pipeline.add_transform(qml.transforms.broadcast_expand)
            pipeline.add_transform(
                decompose,
                stopping_condition=_has_adjoint,
                skip_initial_state_prep=False,
                device_wires=self.wires,
                target_gates=_DIFFERENTIABLE,
                name=name,
            )
            pipeline.add_transform(
                validate_measurements,
                analytic_measurements=lambda process: isinstance(process, ExpectationMP),
                name=name,
            )
            pipeline.add_transform(validate_observables, gradients.has_gradient, name=name)
            pipeline.add_transform(validate_adjoint_trainable_params)
        return pipeline

    def supports_derivatives(self, execution_config: Any = None, circuit: Any = None) -> bool:
        """Return whether the adjoint method gives all derivatives of a circuit: exact expectation values of gates."""
        if execution_config is not None and execution_config.gradient_method not in _GRADIENTS:
            return False
        if circuit is None:
            return True
        if circuit.shots or not all(isinstance(process, ExpectationMP) for process in circuit.measurements):
            return False
        trains = qml.math.requires_grad
        return all(
            process.obs is not None and gradients.has_gradient(process.obs) and not any(map(trains, process.obs.data))
            for process in circuit.measurements
        ) and all(
            not isinstance(op, MidMeasure) and (_has_adjoint(op) or op.has_decomposition)
            for op in circuit.operations
            if not isinstance(op, qml.operation.StatePrepBase)
        )

    # --- execution --------------------------------------------------------------------------------------------------

    def execute(self, circuits: Any, execution_config: Any = None) -> Any:
        """Return the results of circuits: per circuit one value or a tuple, with a shot vector a tuple of those."""
        config = execution_config or ExecutionConfig()
        self._kept = None  # before anything is allocated
        try:
            return tuple(self._execute(circuits, config))
        except QsimError as error:
            raise DeviceError(str(error)) from error

    def _execute(self, circuits: Sequence[Any], config: Any) -> list[Any]:
        results: list[Any] = [None] * len(circuits)
        waiting: dict[tuple[Any, ...], list[tuple[int, Any, Circuit, Register]]] = {}
        for place, tape in enumerate(circuits):
            tape, register = self._standard(tape)
            if measures(tape.operations):
                results[place] = self._with_mid_circuit(tape, register, config)
                continue
            circuit = self._engine.translate(tape.operations, register.qubit_of)
            if tape.shots:
                results[place] = self._with_shots(tape, circuit, register)
                continue
            together = circuit.initial is None and not circuit.batched
            key = (circuit.structure, *map(id, tape.measurements)) if together else (place,)
            waiting.setdefault(key, []).append((place, tape, circuit, register))
        for group in waiting.values():
            for place, result in self._exactly(group, config):
                results[place] = result
        return results

    def _exactly(self, group: list[tuple[int, Any, Circuit, Register]], config: Any) -> list[tuple[int, Any]]:
        """Run circuits of one structure and the same measurements as one batch."""
        places = [place for place, *_ in group]
        _, tape, circuit, register = group[0]
        if circuit.batched:
            return [(places[0], _shaped([self._values(circuit, circuit.angles, tape, register, config)], tape))]
        angles = np.concatenate([member.angles for _, _, member, _ in group])
        columns = self._values(circuit, angles, tape, register, config)
        rows = [[column[b] for column in columns] for b in range(len(group))]
        return [(place, _shaped([row], tape)) for place, row in zip(places, rows, strict=True)]

    def _values(self, circuit: Circuit, angles: FloatArray, tape: Any, register: Register, config: Any) -> list[Any]:
        """Return the values of each measurement for all rows of angles."""
        engine, most = self._engine, self._engine.most_rows(register.num_qubits)
        parts = []
        for start in range(0, len(angles), most):
            state = engine.run(circuit, angles[start : start + most])
            parts.append([measure(process, state, register, engine) for process in tape.measurements])
            if config.use_device_jacobian_product and len(angles) == 1:
                self._kept = circuit, state
        return parts[0] if len(parts) == 1 else [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _with_shots(self, tape: Any, circuit: Circuit, register: Register) -> Any:
        """Sample a circuit without mid-circuit measurements."""
        engine, rows = self._engine, []
        most = engine.most_rows(register.num_qubits)
        for start in range(0, len(circuit.angles), most):
            states = engine.run(circuit, circuit.angles[start : start + most])
            for b in range(states.batch):
                state = states.row(b)
                rows.append(sample_measurements(tape.measurements, state, tape.shots, register, engine, self._rng))
        if not circuit.batched:
            return _shaped(rows[0], tape)
        bins = [
            tuple(stacked([row[k][place] for row in rows]) for place in range(len(tape.measurements)))
            for k in range(tape.shots.num_copies)
        ]
        return _shaped(bins, tape)

    def _with_mid_circuit(self, tape: Any, register: Register, config: Any) -> Any:
        engine, mode = self._engine, config.mcm_config.postselect_mode
        if not tape.shots:
            return _shaped([exact_values(tape, register, engine)], tape)
        if config.mcm_config.mcm_method == "one-shot":
            values = sampled_values(tape, register, engine, self._rng, mode, one_shot=True)
            return tuple(row[0] if len(row) == 1 else row for row in values)
        return _shaped(sampled_values(tape, register, engine, self._rng, mode), tape)

    def _standard(self, tape: Any) -> tuple[Any, Register]:
        """Return a circuit with the wires it is run on."""
        if self.wires is None:
            tape = tape.map_to_standard_wires()
            wires = Wires(range(tape.num_wires))
        else:
            wires = self.wires
        register = self._registers.get(wires.labels)
        if register is None:
            register = self._registers[wires.labels] = Register(wires)
        return tape, register

    # --- derivatives ------------------------------------------------------------------------------------------------

    def compute_derivatives(self, circuits: Any, execution_config: Any = None) -> Any:
        """Return the Jacobian of each circuit, entries [measurement][parameter], flat where there is one of either."""
        return tuple(_nested(jacobian) for jacobian, _ in map(self._jacobian, circuits))

    def execute_and_compute_derivatives(self, circuits: Any, execution_config: Any = None) -> Any:
        """Return results and Jacobians, one forward run for both."""
        pairs = [self._jacobian(tape) for tape in circuits]
        return tuple(result for _, result in pairs), tuple(_nested(jacobian) for jacobian, _ in pairs)

    def compute_jvp(self, circuits: Any, tangents: Any, execution_config: Any = None) -> Any:
        """Return Jacobian · tangents of each circuit."""
        return self.execute_and_compute_jvp(circuits, tangents, execution_config)[1]

    def execute_and_compute_jvp(self, circuits: Any, tangents: Any, execution_config: Any = None) -> Any:
        """Return results and Jacobian · tangents."""
        pairs = [self._jacobian(tape) for tape in circuits]
        products = [
            jacobian @ np.asarray([float(t) for t in tangent]) if len(tangent) else np.zeros(len(jacobian))
            for (jacobian, _), tangent in zip(pairs, tangents, strict=True)
        ]
        shaped = tuple(np.asarray(p[0]) if len(p) == 1 else tuple(map(np.asarray, p)) for p in products)
        return tuple(result for _, result in pairs), shaped

    def compute_vjp(self, circuits: Any, cotangents: Any, execution_config: Any = None) -> Any:
        """Return cotangents · Jacobian of each circuit, a tuple by parameter."""
        return tuple(
            self._vjp(tape, cotangent, with_values=False)[0]
            for tape, cotangent in zip(circuits, cotangents, strict=True)
        )

    def execute_and_compute_vjp(self, circuits: Any, cotangents: Any, execution_config: Any = None) -> Any:
        """Return results and cotangents · Jacobian, one forward run for both."""
        pairs = [
            self._vjp(tape, cotangent, with_values=True) for tape, cotangent in zip(circuits, cotangents, strict=True)
        ]
        return tuple(result for _, result in pairs), tuple(product for product, _ in pairs)

    def _forward(self, tape: Any) -> tuple[Circuit, StateVector, Register, Any]:
        """Return a circuit with its final state, the kept one if it is the same circuit at the same angles."""
        tape, register = self._standard(tape)
        circuit = self._engine.translate(tape.operations, register.qubit_of)
        if circuit.batched:
            raise DeviceError("Adjoint differentiation of broadcast circuits: expand them first.")
        if self._kept is not None:
            kept, state = self._kept
            if (
                kept.structure is circuit.structure
                and kept.initial is circuit.initial is None
                and np.array_equal(kept.angles, circuit.angles)
            ):
                return circuit, state, register, tape
        self._kept = None
        state = self._engine.run(circuit, circuit.angles)
        return circuit, state, register, tape

    def _jacobian(self, tape: Any) -> tuple[FloatArray, Any]:
        """Return the Jacobian by trainable parameters, shape (K, P), and the result."""
        try:
            circuit, state, register, tape = self._forward(tape)
            terms = [gradients.observable_terms(process.obs, register, self._engine) for process in tape.measurements]
            by_slot = gradients.jacobian(circuit, state, terms, self._engine)
            values = [measure(process, state, register, self._engine)[0] for process in tape.measurements]
        except QsimError as error:
            raise DeviceError(str(error)) from error
        return gradients.of_parameters(circuit, tape.trainable_params, by_slot), _shaped([values], tape)

    def _vjp(self, tape: Any, cotangent: Any, *, with_values: bool) -> tuple[tuple[Any, ...], Any]:
        weights = _cotangents(cotangent, len(tape.measurements))
        try:
            circuit, state, register, tape = self._forward(tape)
            terms = [gradients.observable_terms(process.obs, register, self._engine) for process in tape.measurements]
            values = None
            if with_values:
                values = [measure(process, state, register, self._engine)[0] for process in tape.measurements]
            if weights.ndim == 1:
                self._kept = None  # the walk uses the state up
                by_slot = gradients.vjp(circuit, state, terms, weights.tolist(), self._engine)
            else:  # a batch of cotangents: (K, B)
                by_slot = weights.T @ gradients.jacobian(circuit, state, terms, self._engine)
        except QsimError as error:
            raise DeviceError(str(error)) from error
        product = gradients.of_parameters(circuit, tape.trainable_params, by_slot)
        return tuple(np.moveaxis(product, -1, 0)), None if values is None else _shaped([values], tape)


def _has_adjoint(op: Any) -> bool:
    """Return whether an operation can stand in a circuit to differentiate: its parameters are angles, or constants."""
    if isinstance(op, MidMeasure):
        return False
    return is_differentiable(op) or (is_native(op) and not any(map(qml.math.requires_grad, op.data)))


@qml.transform
def _resolve_dynamic_wires(tape: QuantumScript, wires: Any, allow_resets: bool) -> Any:
    """Give wires to a circuit that allocates some; PennyLane's transform costs as much where it has nothing to do."""
    if any(op.name == "Allocate" for op in tape.operations):
        return device_resolve_dynamic_wires(tape, wires=wires, allow_resets=allow_resets)
    return (tape,), null_postprocessing


@qml.transform
def _expand_what_cannot_batch(tape: QuantumScript) -> Any:
    """Expand broadcast circuits that are not one native batch: batches of matrices, branches, and shadows."""
    arrays = any(getattr(value, "shape", ()) for op in tape.operations for value in op.data)
    if not arrays or tape.batch_size is None:
        return (tape,), null_postprocessing
    expand = measures(tape.operations) or any(map(is_shadow, tape.measurements))
    for op in tape.operations if not expand else ():
        if op.ndim_params and any(op.ndim_params) and not isinstance(op, qml.StatePrep) and op.batch_size is not None:
            expand = True
            break
    return qml.transforms.broadcast_expand(tape) if expand else ((tape,), null_postprocessing)


def _mcm_method(config: Any, circuit: Any) -> str:
    """Return how mid-circuit measurements are done: with shots natively, else deferred, or walked if postselected."""
    if config.postselect_mode not in _POSTSELECT_MODES:
        raise DeviceError(f"postselect_mode={config.postselect_mode!r} is not supported on qsim.qubit.")
    if config.mcm_method is None:
        if circuit is None:
            return "deferred"
        selects = any(isinstance(op, MidMeasure) and op.postselect is not None for op in circuit.operations)
        return "device" if circuit.shots or selects else "deferred"
    if config.mcm_method not in _MCM_METHODS:
        allowed = ", ".join(map(repr, _MCM_METHODS))
        raise DeviceError(f"mcm_method={config.mcm_method!r} is not supported on qsim.qubit, which has {allowed}.")
    return str(config.mcm_method)


def _generator(seed: Any) -> np.random.Generator:
    if isinstance(seed, str) and seed == "global":
        return np.random.default_rng(np.random.randint(2**31 - 1))
    if qml.math.get_interface(seed) == "jax":
        import jax

        seed = np.asarray(jax.random.key_data(seed)).ravel()
    return np.random.default_rng(seed)


def _shaped(rows: Sequence[Sequence[Any]], tape: Any) -> Any:
    """Return results as PennyLane nests them: shots entries outside, measurements inside, both dropped where single."""
    single = len(tape.measurements) == 1
    entries = tuple(row[0] if single else tuple(row) for row in rows)
    return entries if tape.shots.has_partitioned_shots else entries[0]


def _nested(jacobian: FloatArray) -> Any:
    if jacobian.shape[1] == 0:
        return ()
    rows = tuple(np.asarray(row[0]) if len(row) == 1 else tuple(map(np.asarray, row)) for row in jacobian)
    return rows[0] if len(rows) == 1 else rows


def _cotangents(cotangent: Any, count: int) -> FloatArray:
    """Return cotangents of ``count`` measurements as (K,), or (K, B) for a batch; zeros may come as scalars."""
    entries = (
        [cotangent] if count == 1 and np.ndim(cotangent) < 2 and not isinstance(cotangent, tuple | list) else cotangent
    )
    return np.stack(np.broadcast_arrays(*(np.asarray(entry, dtype=np.float64) for entry in entries)))


_GATE_SET = QubitDevice.capabilities.gate_set()
_DIFFERENTIABLE = QubitDevice.capabilities.gate_set(differentiable=True)
