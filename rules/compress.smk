rule compress:
    input:
        **STEPS.inputs("compress"),
    output:
        STEPS.outputs("compress"),
    log:
        STEPS.log("compress"),
    benchmark:
        STEPS.log("compress", "tsv")
    threads: SHARE
    resources:
        **STEPS.resources("compress"),
    params:
        **STEPS.options("compress"),
    shell:
        FETCH_WEIGHTS
        + " lorap compress --spec {params.spec:q} --model {params.model} {params.calibration} {params.survey}"
        " --out {params.out} >> {log} 2>&1"
