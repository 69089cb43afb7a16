"""``lorap report``: make the tables and figures of a grid from its result files."""

from argparse import ArgumentParser, Namespace

from lorap.artifacts.grid_specs import report_spec
from lorap.artifacts.specs import ReportSpec
from lorap.cli import options
from lorap.errors import LorapError
from lorap.settings.config import load_params, parse_spec


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap report``."""
    parser.add_argument("--grid", metavar="NAME", help="grid of params.yaml")
    options.add_results(parser)
    options.add_spec(parser)
    options.add_common(parser, run, "lorap report --grid demo")


def run(arguments: Namespace) -> None:
    """Writes the report and prints its main table."""
    import tabulate  # noqa: F401  (pandas asks for it late, and in other words)

    from lorap.report.build import build_report

    spec = parse_spec(ReportSpec, arguments.spec) if arguments.spec else _report_spec(arguments)
    print(build_report(spec, arguments.results / spec.name))


def _report_spec(arguments: Namespace) -> ReportSpec:
    if arguments.grid is None:
        raise LorapError("--grid: missing, expected the name of a grid of params.yaml")
    return report_spec(load_params(arguments.params), arguments.grid)
