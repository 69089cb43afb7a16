"""Tests of lorap."""

import os

os.environ["TQDM_DISABLE"] = "1"  # the command sets it too, but here tqdm, which reads it once, is imported before
