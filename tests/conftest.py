"""Settings for all tests.

Made-up examples are the same ones in each run, and none is too slow: a test that finds
something today and nothing tomorrow, or that depends on how busy a machine is, tells nothing.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("the same anywhere", deadline=None, derandomize=True)
settings.load_profile("the same anywhere")
