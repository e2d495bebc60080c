"""Rows of the op table for neural-network operators and their gradient kernels."""

TABLE_NN = """
[composite]
"""
