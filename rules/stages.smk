# One target for each stage of dvc.yaml: `snakemake stage_compress` makes all compressed models of the active grids.
for STAGE, FILES in STAGES.items():

    rule:
        name:
            f"stage_{STAGE}"
        localrule: True
        input:
            [FILES(grid) for grid in ACTIVE],
