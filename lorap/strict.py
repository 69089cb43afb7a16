"""The base of every setting that is read from a file or from the command line."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Unknown keys, and text in place of numbers, are faults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
