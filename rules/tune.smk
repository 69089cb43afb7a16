rule tune:
    input:
        [f"results/{CELL}/{file}" for file in MODEL_FILES],
    output:
        [f"results/{TUNED}/{file}" for file in ADAPTER_FILES],
    params:
        spec=lambda w: tune_spec(PARAMS, w.tuning).canonical(),
        of=f"--model results/{CELL}",
        out=f"results/{TUNED}",
    threads: HALF
    resources:
        **asked(tuning, GPU),
    log:
        f"logs/{TUNED}.log",
    benchmark:
        f"logs/{TUNED}.tsv"
    shell:
        "lorap tune --spec {params.spec:q} {params.of} --out {params.out} > {log} 2>&1"
