rule report:
    input:
        compressed=lambda w: compressed_files(w.grid),
        adapters=lambda w: adapter_files(w.grid),
        redecomposed=lambda w: redecomposed_files(w.grid),
        evaluations=lambda w: evaluation_files(w.grid),
    output:
        [shown(f"results/{{grid}}/{file}") for file in REPORT_FILES],
    params:
        spec=lambda w: report_spec(PARAMS, w.grid).canonical(),
    resources:
        **asked(reporting),
    log:
        "logs/{grid}/report.log",
    benchmark:
        "logs/{grid}/report.tsv"
    shell:
        "lorap verify --grid {wildcards.grid} --until evaluate > {log} 2>&1;"
        " lorap report --spec {params.spec:q} --results results >> {log} 2>&1"
