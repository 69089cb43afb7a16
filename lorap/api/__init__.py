"""lorap as a library: the steps as functions of paths, plain values and settings.

The command line has the same steps with the same defaults; both turn what was asked for into a spec and run its job.
"""

from lorap.api.making import compress, export, plan
from lorap.api.preparing import calibrate, fetch, survey
from lorap.api.using import evaluate, load, redecompose, tune

__all__ = ["calibrate", "compress", "evaluate", "export", "fetch", "load", "plan", "redecompose", "survey", "tune"]
