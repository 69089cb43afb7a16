rule calibrate:
    input:
        **STEPS.inputs("calibrate"),
    output:
        STEPS.outputs("calibrate"),
    log:
        STEPS.log("calibrate"),
    benchmark:
        STEPS.log("calibrate", "tsv")
    resources:
        **STEPS.resources("calibrate"),
    params:
        **STEPS.options("calibrate"),
    shell:
        FETCH_WEIGHTS
        + " lorap calibrate --spec {params.spec:q} --model {params.model} --out {params.out} >> {log} 2>&1"
