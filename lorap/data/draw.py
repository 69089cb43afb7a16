"""Making a calibration file (``lorap calibrate``)."""

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from lorap.artifacts.specs import CalibrateSpec
from lorap.data.calibration import rows_hash, tokenizer_hash, write_calibration
from lorap.data.corpora import corpus_file, load_rows, read_text
from lorap.data.windows import draw_windows
from lorap.errors import LorapError
from lorap.settings.sources import FilesCorpus


def calibrate(spec: CalibrateSpec, tokenizer: PreTrainedTokenizerBase, text: Path | None, out: Path) -> dict[str, str]:
    """Draws calibration windows from a corpus, or from a text file, and writes them.

    Returns:
        Where the text came from: file, hash, and the hub's repository and commit if it is one's.

    Raises:
        LorapError: The corpus cannot be read or is too short.
    """
    if spec.source is None:
        if text is None:
            raise LorapError("calibrate: no text, give --text FILE or --corpus NAME")
        rows: Sequence[str] = [read_text(text)]
        origin = {"file": text.name}
    else:
        rows = load_rows(spec.source, "calibration")
        origin = corpus_file(spec.source, "calibration")
    if isinstance(spec.source, FilesCorpus) and "calibration" in spec.source.join:
        rows = [spec.source.join["calibration"].join(rows)]
    windows = draw_windows(tokenizer, rows, spec.nsamples, spec.seqlen, spec.seed, spec.corpus)
    text_sha256 = rows_hash(rows)
    metadata = {
        "corpus": spec.corpus,
        "text_sha256": text_sha256,
        "tokenizer": tokenizer_hash(tokenizer),
        "seed": str(spec.seed),
        "nsamples": str(spec.nsamples),
        "seqlen": str(spec.seqlen),
    }
    write_calibration(out, windows, metadata)
    return origin | {"text_sha256": text_sha256}
