"""What a job asks of a cluster: the need of its step, by its spec."""

from collections.abc import Callable

from lorap.artifacts import specs
from lorap.machine import needs
from lorap.machine.need import Need
from lorap.model.sizes import Sizes
from lorap.settings.schema import Calibrate


def need_of(spec: specs.Spec, sizes: Callable[[], Sizes], windows: Calibrate) -> Need:
    """What a job needs of the machine that it runs on.

    Args:
        spec: The job's settings.
        sizes: Reads those of its model, which may not be there yet; only called where the need depends on them.
        windows: Its calibration.

    Raises:
        FileNotFoundError: The model is not there yet.
    """
    match spec:
        case specs.FetchSpec():
            return needs.fetch(spec.model)
        case specs.CalibrateSpec(source=source) if source is not None:
            return needs.calibrate(source)
        case specs.CompressSpec():
            return needs.compress(sizes(), spec, windows)
        case specs.SurveySpec():
            return needs.survey(sizes(), spec, windows)
        case specs.TuneSpec():
            return needs.tune(sizes(), spec)
        case specs.RedecomposeSpec():
            return needs.redecompose(sizes(), spec, windows)
        case specs.SuiteSpec():
            return needs.evaluate(sizes(), spec)
        case specs.CostSpec():
            return needs.cost(sizes(), spec)
        case specs.SpectraSpec():
            return needs.spectra(sizes(), windows, spec.batch)
        case specs.ReportSpec():
            return needs.report()
        case _:
            raise TypeError(f"{type(spec).__name__}: no step of the workflow has such a spec")
