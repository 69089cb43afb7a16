# How good a model is; what it costs has rules of its own (cost.smk).


rule evaluate_dense:
    input:
        **STEPS.inputs("evaluate_dense"),
    output:
        STEPS.outputs("evaluate_dense"),
    log:
        STEPS.log("evaluate_dense"),
    benchmark:
        STEPS.log("evaluate_dense", "tsv")
    threads: SHARE
    resources:
        **STEPS.resources("evaluate_dense"),
    params:
        **STEPS.options("evaluate_dense"),
    shell:
        FETCH_WEIGHTS
        + " lorap evaluate suite --spec {params.spec:q} --model {params.model} --out {params.out} >> {log} 2>&1"


rule evaluate_compressed:
    input:
        **STEPS.inputs("evaluate_compressed"),
    output:
        STEPS.outputs("evaluate_compressed"),
    log:
        STEPS.log("evaluate_compressed"),
    benchmark:
        STEPS.log("evaluate_compressed", "tsv")
    threads: SHARE
    resources:
        **STEPS.resources("evaluate_compressed"),
    params:
        **STEPS.options("evaluate_compressed"),
    shell:
        "lorap evaluate suite --spec {params.spec:q} --model {params.model} --out {params.out} > {log} 2>&1"


# The compressed model with the adapter beside it, as the paper evaluates it.
rule evaluate_adapter:
    input:
        **STEPS.inputs("evaluate_adapter"),
    output:
        STEPS.outputs("evaluate_adapter"),
    log:
        STEPS.log("evaluate_adapter"),
    benchmark:
        STEPS.log("evaluate_adapter", "tsv")
    threads: SHARE
    resources:
        **STEPS.resources("evaluate_adapter"),
    params:
        **STEPS.options("evaluate_adapter"),
    shell:
        "lorap evaluate suite --spec {params.spec:q} --model {params.model} --adapter {params.adapter} --out {params.out}"
        " > {log} 2>&1"


use rule evaluate_compressed as evaluate_redecomposed with:
    input:
        **STEPS.inputs("evaluate_redecomposed"),
    output:
        STEPS.outputs("evaluate_redecomposed"),
    log:
        STEPS.log("evaluate_redecomposed"),
    benchmark:
        STEPS.log("evaluate_redecomposed", "tsv")
    resources:
        **STEPS.resources("evaluate_redecomposed"),
    params:
        **STEPS.options("evaluate_redecomposed"),


rule spectra:
    input:
        **STEPS.inputs("spectra"),
    output:
        STEPS.outputs("spectra"),
    log:
        STEPS.log("spectra"),
    benchmark:
        STEPS.log("spectra", "tsv")
    threads: SHARE
    resources:
        **STEPS.resources("spectra"),
    params:
        **STEPS.options("spectra"),
    shell:
        FETCH_WEIGHTS + " lorap evaluate spectra --spec {params.spec:q} --model {params.model}"
        " --calibration {params.calibration} --out {params.out} >> {log} 2>&1"
