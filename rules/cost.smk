# Times are taken alone on the machine, so these jobs take all cores. On one GPU of several, too: where one token is made
# at a time, the host's launching of kernels sets the pace, and jobs of the other GPUs would contend for its cores.


rule cost_dense:
    input:
        **STEPS.inputs("cost_dense"),
    output:
        STEPS.outputs("cost_dense"),
    log:
        STEPS.log("cost_dense"),
    benchmark:
        STEPS.log("cost_dense", "tsv")
    threads: ALL
    resources:
        **STEPS.resources("cost_dense"),
    params:
        **STEPS.options("cost_dense"),
    shell:
        FETCH_WEIGHTS
        + " lorap evaluate cost --spec {params.spec:q} --model {params.model} --out {params.out} >> {log} 2>&1"


rule cost_compressed:
    input:
        **STEPS.inputs("cost_compressed"),
    output:
        STEPS.outputs("cost_compressed"),
    log:
        STEPS.log("cost_compressed"),
    benchmark:
        STEPS.log("cost_compressed", "tsv")
    threads: ALL
    resources:
        **STEPS.resources("cost_compressed"),
    params:
        **STEPS.options("cost_compressed"),
    shell:
        "lorap evaluate cost --spec {params.spec:q} --model {params.model} --out {params.out} > {log} 2>&1"


rule cost_adapter:
    input:
        **STEPS.inputs("cost_adapter"),
    output:
        STEPS.outputs("cost_adapter"),
    log:
        STEPS.log("cost_adapter"),
    benchmark:
        STEPS.log("cost_adapter", "tsv")
    threads: ALL
    resources:
        **STEPS.resources("cost_adapter"),
    params:
        **STEPS.options("cost_adapter"),
    shell:
        "lorap evaluate cost --spec {params.spec:q} --model {params.model} --adapter {params.adapter} --out {params.out}"
        " > {log} 2>&1"


use rule cost_compressed as cost_redecomposed with:
    input:
        **STEPS.inputs("cost_redecomposed"),
    output:
        STEPS.outputs("cost_redecomposed"),
    log:
        STEPS.log("cost_redecomposed"),
    benchmark:
        STEPS.log("cost_redecomposed", "tsv")
    resources:
        **STEPS.resources("cost_redecomposed"),
    params:
        **STEPS.options("cost_redecomposed"),
