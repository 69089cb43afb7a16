# What a grid's results depend on is the manifest of a base model, with repository, revision and hashes of its files, and
# its configuration, which says what a job needs.
CONFIG, MANIFEST = STEPS.outputs("fetch")


rule fetch:
    output:
        config=CONFIG,
        manifest=MANIFEST,
    log:
        STEPS.log("fetch"),
    benchmark:
        STEPS.log("fetch", "tsv")
    resources:
        **STEPS.resources("fetch"),
    params:
        **STEPS.options("fetch"),
    shell:
        "lorap fetch {wildcards.model} --spec {params.spec:q} --out {params.out} > {log} 2>&1;"
        " cp {params.out}/config.json {output.config};"
        " cp {params.out}/meta.json {output.manifest}"


# The weights are no inputs of the jobs that read them: they lie in models/, which all grids share, which stays out of
# DVC, and which a pulled checkout lacks. As inputs, `ancient` or not, they would be made for the first job that reads
# them, and then Snakemake would run every other job again that names them: a new cell would rerun its whole grid (a test
# shows it). So a job first has the weights of its manifest fetched, unless they are there.
FETCH_WEIGHTS = "lorap fetch {input.model_meta} --out {params.model} > {log} 2>&1;"
