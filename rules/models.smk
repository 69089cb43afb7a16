# Base models are shared by the grids. They are fetched only when a job needs them: a pulled checkout may lack them.
rule fetch:
    output:
        "models/{model}/meta.json",
    params:
        spec=lambda w: plan.fetch_spec(PARAMS, w.model).canonical(),
    resources:
        **asked(fetching),
    log:
        "logs/models/{model}.log",
    benchmark:
        "logs/models/{model}.tsv"
    shell:
        "lorap fetch {wildcards.model} --spec {params.spec:q} --out models/{wildcards.model} > {log} 2>&1"


# What a grid's artifacts depend on in place of the weights: repository, revision and hashes.
rule manifest:
    input:
        ancient("models/{model}/meta.json"),
    output:
        "results/{grid}/models/{model}.json",
    params:
        spec=lambda w: plan.fetch_spec(PARAMS, w.model).canonical(),
    log:
        "logs/{grid}/models/{model}.log",
    benchmark:
        "logs/{grid}/models/{model}.tsv"
    shell:
        "cp {input} {output} 2> {log}"
