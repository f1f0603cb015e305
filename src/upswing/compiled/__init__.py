"""What compiled code needs, whatever it computes: a compiler, a cache of machine code, random numbers, BLAS.

Importing one of these modules imports numba; nothing imports them before a training needs them.
"""
