rule tune:
    input:
        **STEPS.inputs("tune"),
    output:
        STEPS.outputs("tune"),
    log:
        STEPS.log("tune"),
    benchmark:
        STEPS.log("tune", "tsv")
    threads: SHARE
    resources:
        **STEPS.resources("tune"),
    params:
        **STEPS.options("tune"),
    shell:
        "lorap tune --spec {params.spec:q} --model {params.model} --out {params.out} > {log} 2>&1"
