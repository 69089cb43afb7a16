# One target for each stage of dvc.yaml: `snakemake stage_compress` makes all compressed models of the active grids.
for STAGE in STAGES:

    rule:
        name:
            f"stage_{STAGE}"
        input:
            [STEPS.stage(STAGE, grid) for grid in ACTIVE],
        localrule: True
