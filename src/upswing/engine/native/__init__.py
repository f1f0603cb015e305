"""PPO in compiled code: networks, losses, Adam and rollouts as kernels on flat buffers.

Importing a module of this room imports numba; engine/native_engine.py does so when a training needs it.
"""
