def shown(path):
    """Marks what `snakemake --report` puts into its page: tables as CSV, figures as PNG."""
    kind = {".csv": "Tables", ".png": "Figures"}.get(Path(path).suffix)
    return report(path, category=kind, subcategory="{grid}") if kind else path


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
        **STEPS.settings("report"),
    shell:
        "lorap verify --grid {wildcards.grid} --until evaluate > {log} 2>&1;"
        " lorap report --spec {params.spec:q} --results results >> {log} 2>&1"
