"""The registries of densevl: MMEngine registries, one for each family that users extend.

A config dictionary ``dict(type="CLIPEncoder", ...)`` becomes an object through ``ENCODERS.build``. Registered names
are looked up by importing the modules listed in ``locations`` on first use, so importing this file costs nothing.
"""

from mmengine.registry import Registry

__all__ = ["ENCODERS", "READOUTS", "REFINERS", "SEGMENTORS"]

ENCODERS = Registry("densevl encoder", scope="densevl", locations=["densevl.encoders"])
READOUTS = Registry("densevl readout", scope="densevl", locations=["densevl.readouts"])
REFINERS = Registry("densevl refiner", scope="densevl", locations=["densevl.refiners"])
SEGMENTORS = Registry("densevl segmentor", scope="densevl", locations=["densevl.segmentors"])
