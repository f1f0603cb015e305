"""ManiSkill's tasks: one scene per environment on the CPU, all of them in one scene on a GPU.

This package may be imported without ManiSkill; what needs it is imported where it is used.
"""
