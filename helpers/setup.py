"""Finds the packages of `helpers`, which setuptools does not do for a folder that is a package itself.

Run by pip when it installs `helpers`, and by no one else; `pyproject.toml` has all the rest.
"""

from setuptools import find_packages, setup

setup(packages=["helpers", *(f"helpers.{name}" for name in find_packages())])
