rule survey:
    input:
        **STEPS.inputs("survey"),
    output:
        STEPS.outputs("survey"),
    log:
        STEPS.log("survey"),
    benchmark:
        STEPS.log("survey", "tsv")
    threads: SHARE
    resources:
        **STEPS.resources("survey"),
    params:
        **STEPS.options("survey"),
    shell:
        FETCH_WEIGHTS
        + " lorap survey --spec {params.spec:q} --model {params.model} --calibration {params.calibration}"
        " --out {params.out} >> {log} 2>&1"
