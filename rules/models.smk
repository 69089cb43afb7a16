# Base models are shared by the grids and stay out of DVC. What a grid's artifacts depend on is the manifest, with
# repository, revision and hashes; a job that reads the weights gets them by it, since a pulled checkout lacks them.
rule fetch:
    output:
        manifest="results/{grid}/models/{model}.json",
        config="results/{grid}/models/{model}/config.json",  # says what a job needs where the weights are not
    params:
        spec=lambda w: fetch_spec(PARAMS, w.model).canonical(),
    resources:
        **asked(fetching),
    log:
        "logs/{grid}/models/{model}.log",
    benchmark:
        "logs/{grid}/models/{model}.tsv"
    shell:
        "lorap fetch {wildcards.model} --spec {params.spec:q} --out models/{wildcards.model} > {log} 2>&1;"
        " cp models/{wildcards.model}/config.json {output.config};"
        " cp models/{wildcards.model}/meta.json {output.manifest}"
