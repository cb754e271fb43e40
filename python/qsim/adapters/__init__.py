"""Adapters: one package or file per framework. Importing qsim imports none of them, and none imports another."""
