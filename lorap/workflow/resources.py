"""What a job asks of a cluster: the need of its step, by its spec."""

from collections.abc import Callable

from lorap.artifacts import specs
from lorap.machine import needs
from lorap.machine.need import Need
from lorap.machine.streaming import Model
from lorap.settings.schema import Calibrate


def need_of(spec: specs.Spec, model: Callable[[], Model], windows: Calibrate) -> Need:
    """What a job needs of the machine that it runs on.

    Args:
        spec: The job's settings.
        model: Reads the sizes of its model, which may not be there yet; only called where the need depends on them.
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
            return needs.compress(model(), spec, windows)
        case specs.SurveySpec():
            return needs.survey(model(), spec, windows)
        case specs.TuneSpec():
            return needs.tune(model().sizes, spec)
        case specs.RedecomposeSpec():
            return needs.redecompose(model().sizes, spec, windows)
        case specs.SuiteSpec():
            return needs.evaluate(model().sizes, spec)
        case specs.CostSpec():
            return needs.cost(model().sizes, spec)
        case specs.SpectraSpec():
            return needs.spectra(model().sizes, windows, spec.batch)
        case specs.ReportSpec():
            return needs.report()
        case _:
            raise TypeError(f"{type(spec).__name__}: no step of the workflow has such a spec")
