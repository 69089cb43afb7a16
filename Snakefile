# The workflow's table of contents. `snakemake` makes the grids that params.yaml names under `active`.
from snakemake.utils import min_version

min_version("9.27")


include: "rules/common.smk"


rule all:
    input:
        [STEPS.stage(stage, grid) for stage in STAGES for grid in ACTIVE],


include: "rules/models.smk"
include: "rules/calibrate.smk"
include: "rules/survey.smk"
include: "rules/compress.smk"
include: "rules/tune.smk"
include: "rules/redecompose.smk"
include: "rules/evaluate.smk"
include: "rules/cost.smk"
include: "rules/report.smk"
include: "rules/stages.smk"


onstart:
    snakemake_inside.take_turn(workflow)
    snakemake_inside.wait_without_timers(workflow)
