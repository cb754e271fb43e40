"""Runs PTX on the CPU, with checks: see :mod:`tests.cuda.ptx.runner`."""
