"""Where a filtered subspace is found in place of an eigendecomposition, and how wide its block is; no torch here."""

FILTERED_FROM = 1024  # rows; below, a GPU finds eigenvectors in less time than it is worth to save
GUARDS = 8  # there is a guard vector for so many rows of the matrix
WORTHWHILE = 0.6  # of all vectors; for larger blocks an eigensolver has less to do


def filtered_block(size: int, rank: int) -> int | None:
    """Vectors in the block for the first ``rank`` of ``size`` eigenvectors, guards included; None if too many."""
    block = rank + size // GUARDS
    return block if block <= WORTHWHILE * size else None
