"""Which optional packages come with which extra, as pyproject.toml has it."""

EXTRAS = {
    "evaluate": ("datasets", "lm_eval", "pyarrow"),
    "report": ("itables", "jinja2", "matplotlib", "pandas", "tabulate"),
    "tune": ("datasets", "peft"),
    "workflow": ("dvc", "snakemake"),
}


def missing_extra(command: str, error: ModuleNotFoundError) -> str | None:
    """What to install for a command that an optional package is missing for; None where it is another module."""
    module = (error.name or "").partition(".")[0]
    extra = next((extra for extra in (command, *EXTRAS) if module in EXTRAS.get(extra, ())), None)
    return f"{command}: needs {module}; pip install 'lorap[{extra}]'" if extra else None
