"""Runs the kernels' text as g++ compiles it: ``python -m tests.cuda.shim LIBRARY`` uses every kernel beside the CPU core.

With ``--short-by BYTES`` shared memory is smaller than asked for, which a sanitizer must report.
"""
