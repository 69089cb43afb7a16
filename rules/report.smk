rule report:
    input:
        **STEPS.inputs("report"),
    output:
        [shown(file) for file in STEPS.outputs("report")],
    log:
        STEPS.log("report"),
    benchmark:
        STEPS.log("report", "tsv")
    resources:
        **STEPS.resources("report"),
    params:
        **STEPS.options("report"),
    shell:
        "lorap verify --grid {wildcards.grid} --until evaluate > {log} 2>&1;"
        " lorap report --spec {params.spec:q} --results results >> {log} 2>&1"
