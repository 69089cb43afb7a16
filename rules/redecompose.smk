rule redecompose:
    input:
        **STEPS.inputs("redecompose"),
    output:
        STEPS.outputs("redecompose"),
    log:
        STEPS.log("redecompose"),
    benchmark:
        STEPS.log("redecompose", "tsv")
    threads: SHARE
    resources:
        **STEPS.resources("redecompose"),
    params:
        **STEPS.options("redecompose"),
    shell:
        "lorap redecompose --spec {params.spec:q} {params.model} {params.adapter}"
        " {params.calibration} --out {params.out} > {log} 2>&1"
