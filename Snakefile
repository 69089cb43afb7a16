# The workflow's table of contents. `snakemake` makes the grids that params.yaml names under `active`.
from snakemake.utils import min_version

min_version("9.27")


include: "rules/common.smk"
include: "rules/resources.smk"


rule all:
    input:
        [stage(grid) for stage in STAGES.values() for grid in ACTIVE],


include: "rules/models.smk"
include: "rules/calibrate.smk"
include: "rules/compress.smk"
include: "rules/tune.smk"
include: "rules/redecompose.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"
include: "rules/stages.smk"


onstart:
    take_turn()


onerror:
    tell_failures(log)
